"""Why a gate is open or closed on one cluster, in the store's own time, and when it opens."""

from __future__ import annotations

from datetime import timedelta

from tests.libs.gates.gates_words import (
    BERLIN,
    at,
    calendar,
    fleet_of,
    freeze,
    gates,
    override,
    store,
    weekly,
    while_closed,
)

NOW = at("2026-11-26T12:00")  # 06:00 in Chicago
SPAN = ("2026-11-26T00:00:00Z", "2026-12-01T06:00:00Z")
NIGHT = calendar("night", weekly("01:00", "05:00"))


def test_a_freeze_says_its_reason_its_owner_and_its_end_in_store_time() -> None:
    found = gates(fleet_of(store("tx"), freeze("sale", *SPAN)), NOW).explain_freeze("pos", 0, first=False)

    assert not found.open
    assert found.reason == (
        "freeze sale (reason of sale; operations) holds it until Tue 2026-12-01 00:00 America/Chicago"
    )
    assert found.opens_at == at(SPAN[1].rstrip("Z"))
    assert found.evidence == [("freeze sale", ("freeze", "sale"), {"until": found.opens_at})]


def test_a_freeze_gate_opens_when_the_last_freeze_ends() -> None:
    fleet = fleet_of(store("tx"), freeze("a", *SPAN), freeze("b", "2026-12-01T00:00:00Z", "2026-12-05T00:00:00Z"))
    found = gates(fleet, NOW).explain_freeze("pos", 0, first=False)

    assert "freeze a" in found.reason
    assert "freeze b" not in found.reason
    assert found.opens_at == at("2026-12-05T00:00")


def test_what_is_not_frozen_says_which_freeze_comes() -> None:
    fleet = fleet_of(store("tx"), freeze("sale", "2026-11-27T00:00:00", "2026-12-01T00:00:00", local=True))

    coming = gates(fleet, NOW).explain_freeze("pos", 0, first=False)
    assert coming.open
    assert coming.reason == "no freeze is in force; freeze sale begins Fri 2026-11-27 00:00 America/Chicago"
    over = gates(fleet, at("2027-01-01T00:00")).explain_freeze("pos", 0, first=False)
    assert over.reason == "no freeze is in force"
    unbound = gates(fleet_of(store("tx")), NOW).explain_freeze("pos", 0, first=False)
    assert (unbound.open, unbound.reason) == (True, "no freeze applies to it")


def test_an_override_that_opened_a_freeze_is_evidence() -> None:
    fleet = fleet_of(store("tx"), freeze("sale", *SPAN))
    override(fleet, "o", ["tx"], NOW, NOW + timedelta(hours=4), freeze="sale", ticket="CHG-1")
    found = gates(fleet, NOW).explain_freeze("pos", 0, first=False)

    assert found.open
    assert found.reason == "override o opens freeze sale until Thu 2026-11-26 10:00 America/Chicago: reason of o"
    assert [key for _, key, _ in found.evidence] == [("freeze", "sale"), ("override", "o")]
    assert found.evidence[1][2]["ticket"] == "CHG-1"
    assert found.evidence[1][2]["people"] == ["bo@example.com"]


def test_a_freeze_opens_when_an_override_begins() -> None:
    fleet = fleet_of(store("tx"), freeze("sale", *SPAN))
    override(fleet, "o", ["tx"], NOW + timedelta(hours=2), NOW + timedelta(hours=4), freeze="sale")

    assert gates(fleet, NOW).explain_freeze("pos", 0, first=False).opens_at == NOW + timedelta(hours=2)


def test_a_first_admission_says_that_it_passes() -> None:
    now = gates(fleet_of(store("tx"), freeze("sale", *SPAN), NIGHT), NOW)

    assert now.explain_freeze("pos", 0, first=True).reason == (
        "freeze sale would keep it back, but a cluster's first admission passes"
    )
    assert now.explain_window("pos", 0, first=True).open
    assert now.opens_at("pos", 0, first=True) == NOW


def test_a_closed_window_says_when_it_opens_in_store_time() -> None:
    fleet = fleet_of(
        store("tx"), store("bln", BERLIN), NIGHT, calendar("noon", weekly("12:00", "13:00"), clusters="/c/tx")
    )
    now = gates(fleet, NOW)

    both = now.explain_window("pos", 0, first=False)
    assert both.reason == ("calendar night and calendar noon are closed; it opens Thu 2026-11-26 12:00 America/Chicago")
    assert [key for _, key, _ in both.evidence] == [("calendar", "night"), ("calendar", "noon")]
    assert now.explain_window("pos", 1, first=False).reason == (
        "calendar night is closed; it opens Fri 2026-11-27 01:00 Europe/Berlin"
    )


def test_an_open_window_says_until_when() -> None:
    found = gates(fleet_of(store("tx"), NIGHT), at("2026-11-26T08:00")).explain_window("pos", 0, first=False)

    assert found.open
    assert found.reason == "calendar night is open until Thu 2026-11-26 05:00 America/Chicago"
    assert gates(fleet_of(store("tx")), NOW).explain_window("pos", 0, first=False).reason == "no calendar applies to it"


def test_two_levels_open_when_both_do() -> None:
    fleet = fleet_of(
        store("tx"),
        NIGHT,
        calendar("pos", weekly("03:00", "04:00", "sun"), clusters=None, applications=["pos"]),
    )
    found = gates(fleet, NOW).explain_window("pos", 0, first=False)

    assert found.opens_at == at("2026-11-29T09:00")
    assert gates(fleet, NOW).explain_window("signage", 0, first=False).opens_at == at("2026-11-27T07:00")


def test_a_window_that_never_opens_says_so() -> None:
    fleet = fleet_of(store("tx"), calendar("closed", while_closed()))
    found = gates(fleet, NOW).explain_window("pos", 0, first=False)

    assert not found.open
    assert found.opens_at is None
    assert found.reason == "calendar closed is closed; it never opens"


def test_levels_that_never_meet_never_open() -> None:
    fleet = fleet_of(store("tx"), NIGHT, calendar("pos", weekly("12:00", "13:00"), clusters=None, applications=["pos"]))

    assert gates(fleet, NOW).opens_at("pos", 0) is None


def test_both_gates_open_when_the_freeze_is_over_and_a_window_opens() -> None:
    fleet = fleet_of(store("tx"), NIGHT, freeze("sale", *SPAN))
    now = gates(fleet, NOW)

    assert now.opens_at("pos", 0) == at("2026-12-01T07:00")
    assert now.explain_window("pos", 0, first=False).opens_at == at("2026-11-27T07:00")
    assert gates(fleet, at("2026-12-01T08:00")).opens_at("pos", 0) == at("2026-12-01T08:00")


def test_seconds_are_told_where_there_are_any() -> None:
    fleet = fleet_of(store("tx"), freeze("f", SPAN[0], "2026-11-30T06:00:30Z"))

    assert (
        "until Mon 2026-11-30 00:00:30 America/Chicago" in gates(fleet, NOW).explain_freeze("", 0, first=False).reason
    )
