"""Time zones by other names, and of places."""

import subprocess
import sys

import pytest
import zipcodes
from tzlocal.windows_tz import win_tz

from libs.contracts.refusals import Invalid
from services.inventory.documents.places import Place, place_of, zone_of_zip
from services.inventory.documents.zones import NO_ZONES, check_zone, zones


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Central Standard Time", "America/Chicago"),
        ("Eastern Standard Time", "America/New_York"),
        ("US Mountain Standard Time", "America/Phoenix"),
        ("US Eastern Standard Time", "America/Indianapolis"),
        ("Alaskan Standard Time", "America/Anchorage"),
        ("W. Europe Standard Time", "Europe/Berlin"),
        ("Pacific Time (US & Canada)", "America/Los_Angeles"),
        ("(UTC-06:00) Central Time (US & Canada)", "America/Chicago"),
        ("Mountain Daylight Time", "America/Denver"),
        ("Eastern", "America/New_York"),
        ("Hawaii", "Pacific/Honolulu"),
        ("ET", "America/New_York"),
        ("edt", "America/New_York"),
        ("PST", "America/Los_Angeles"),
        ("CST", "America/Chicago"),
        ("UTC-6", "America/Chicago"),
        ("GMT-05:00", "America/New_York"),
        ("\u22128", "America/Los_Angeles"),
        ("america/chicago", "America/Chicago"),
        ("AMERICA/NEW YORK", "America/New_York"),
        ("US/Pacific-New", "America/Los_Angeles"),
        ("chicago", "America/Chicago"),
        ("America/Chicgo", "America/Chicago"),
    ],
)
def test_another_name_gets_the_iana_name_as_a_hint(name: str, meant: str) -> None:
    with pytest.raises(Invalid) as refusal:
        check_zone(name)
    assert refusal.value.extra["nearest"] == meant
    assert meant in (refusal.value.fix or "")


@pytest.mark.parametrize(
    ("name", "others"), [("CST", "Asia/Shanghai"), ("IST", "Europe/Dublin"), ("MT", "America/Phoenix")]
)
def test_a_name_of_several_zones_is_said_to_be_ambiguous(name: str, others: str) -> None:
    with pytest.raises(Invalid) as refusal:
        check_zone(name)
    assert "ambiguous" in (refusal.value.fix or "")
    assert others in (refusal.value.fix or "")


def test_an_offset_is_said_to_be_none_and_the_sign_of_etc_is_turned() -> None:
    with pytest.raises(Invalid, match="an offset, not an IANA time zone") as refusal:
        check_zone("UTC+3")
    assert "Etc/GMT-3" in (refusal.value.fix or "")


@pytest.mark.parametrize("name", [*sorted(NO_ZONES), "", " ", "x" * 10_000])
def test_what_is_no_zone_of_a_place_is_refused(name: str) -> None:
    assert name not in zones()
    with pytest.raises(Invalid) as refusal:
        check_zone(name)
    assert "America/Chicago" in (refusal.value.fix or "")
    assert len(refusal.value.detail) < 200


@pytest.mark.parametrize(
    "name",
    [
        "US/Central",
        "Asia/Calcutta",
        "Europe/Kyiv",
        "Europe/Kiev",
        "EST5EDT",
        "GMT",
        "Etc/GMT+5",
        "America/Buenos_Aires",
    ],
)
def test_old_names_that_iana_keeps_are_taken(name: str) -> None:
    assert check_zone(name) == name


def test_every_hint_is_a_zone_that_is_taken() -> None:
    for name in win_tz:
        if name in zones():
            continue
        with pytest.raises(Invalid) as refusal:
            check_zone(name)
        assert refusal.value.extra["nearest"] in zones()
        assert refusal.value.extra["nearest"] == win_tz[name] or win_tz[name] not in zones()


@pytest.mark.parametrize(
    ("cells", "zone"),
    [
        ({"latitude": "30.2713", "longitude": "-97.7426"}, "America/Chicago"),
        ({"latitude": "33.45", "longitude": "-112.07"}, "America/Phoenix"),
        ({"latitude": "39.77", "longitude": "-86.16", "state": "xx", "zip": "1"}, "America/Indiana/Indianapolis"),
        ({"state": "TX", "zip": "78701"}, "America/Chicago"),
        ({"state": "tx", "zip": "78701-1234"}, "America/Chicago"),
        ({"state": "TX", "zip": "79901"}, "America/Denver"),
        ({"state": "MA", "zip": "2108"}, "America/New_York"),
        ({"latitude": "30.27", "state": "HI", "zip": "96813"}, "Pacific/Honolulu"),
    ],
)
def test_a_place_has_a_zone(cells: dict[str, str], zone: str) -> None:
    place = place_of(cells)
    assert place is not None
    assert place.zone() == zone


@pytest.mark.parametrize(
    "cells", [{}, {"state": "TX"}, {"zip": "78701"}, {"latitude": "1"}, {"latitude": "", "longitude": "2"}]
)
def test_half_a_place_is_none(cells: dict[str, str]) -> None:
    assert place_of(cells) is None


@pytest.mark.parametrize(
    ("given", "column", "words"),
    [
        ((("latitude", "-97.74"), ("longitude", "30.27")), "latitude", "not a latitude"),
        ((("latitude", "30,27"), ("longitude", "-97.74")), "latitude", "decimal comma; write 30.27"),
        ((("latitude", "nan"), ("longitude", "1")), "latitude", "not a latitude"),
        ((("latitude", "0"), ("longitude", "-150")), "latitude", "swapped"),
        ((("state", "CA"), ("zip", "78701")), "zip", "is in TX, not in CA"),
        ((("state", "Texas"), ("zip", "78701")), "state", "not the code of a state"),
        ((("state", "TX"), ("zip", "\uff17\uff18\uff17\uff10\uff11")), "zip", "not a ZIP code"),
        ((("state", "TX"), ("zip", "00000")), "zip", "not known"),
    ],
)
def test_a_place_without_a_certain_zone_is_refused(given: tuple[tuple[str, str], ...], column: str, words: str) -> None:
    with pytest.raises(Invalid) as refusal:
        Place(given).zone()
    assert refusal.value.pointer == f"/{column}"
    assert words in f"{refusal.value.detail}; {refusal.value.fix}"
    assert "timezone" in (refusal.value.fix or "") or "decimal" in (refusal.value.fix or "")


def test_a_zip_code_on_a_border_of_zones_is_refused_with_both() -> None:
    found = 0
    for entry in zipcodes.filter_by(state="ND"):  # type: ignore[no-untyped-call]  # the library has no annotations
        try:
            assert zone_of_zip("ND", entry["zip_code"]) in zones()
        except Invalid as refusal:
            found += " or " in refusal.detail
    assert found


def test_map_and_table_are_only_loaded_for_a_row_without_a_zone() -> None:
    code = (
        "import sys, services.inventory.app\n"
        "from services.inventory.importing import Rows\n"
        "Rows().take(2, {'name': 'a', 'timezone': 'UTC', 'state': 'TX', 'zip': '78701'})\n"
        "print([each for each in ('timezonefinder', 'zipcodes', 'tzlocal') if each in sys.modules])\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert ran.stdout.strip() == "[]"
