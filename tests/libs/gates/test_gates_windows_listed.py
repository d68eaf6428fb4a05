"""The openings of calendars: a row for each distinct calendar, hours and zone, in store time."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from pyroaring import BitMap

from libs.fleet import Fleet
from libs.gates import WindowRow, windows
from tests.libs.gates.gates_words import (
    BERLIN,
    CHICAGO,
    at,
    calendar,
    fleet_of,
    ordinal,
    store,
    weekly,
    while_closed,
)

NOW = at("2026-11-26T12:00")
START, END = at("2026-11-26T00:00"), at("2026-11-28T00:00")
NIGHT = calendar("night", weekly("01:00", "05:00"))
FLEET = (
    store("a", CHICAGO, hours=("08:00", "20:00")),
    store("b", CHICAGO, hours=("08:00", "20:00")),
    store("c", CHICAGO, hours=("10:00", "22:00")),
    store("d", BERLIN),
)


def rows(fleet: Fleet, *clusters: str) -> list[WindowRow]:
    where = BitMap([ordinal(fleet, each) for each in clusters]) if clusters else fleet.selection.everything
    return windows(fleet, where, START, END, NOW)


def chicago(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(CHICAGO))


def test_stores_of_equal_zone_share_a_row_where_hours_do_not_matter() -> None:
    found = rows(fleet_of(*FLEET, NIGHT))

    assert [(row.calendar, row.zone, row.hours, row.clusters, row.example) for row in found] == [
        ("night", CHICAGO, "", 3, "a"),
        ("night", BERLIN, "", 1, "d"),
    ]


def test_openings_are_in_store_time() -> None:
    found = rows(fleet_of(*FLEET, NIGHT), "a")[0]

    assert not found.open
    assert found.never_opens is None
    assert found.next_change == chicago("2026-11-27T01:00")
    assert [[edge.isoformat() for edge in opening] for opening in found.openings] == [
        ["2026-11-26T01:00:00-06:00", "2026-11-26T05:00:00-06:00"],
        ["2026-11-27T01:00:00-06:00", "2026-11-27T05:00:00-06:00"],
    ]


def test_hours_part_the_rows_of_a_calendar_that_looks_at_them() -> None:
    found = rows(fleet_of(*FLEET, calendar("closed", while_closed())))

    assert [(row.zone, row.clusters, row.example) for row in found] == [
        (CHICAGO, 2, "a"),
        (CHICAGO, 1, "c"),
        (BERLIN, 1, "d"),
    ]
    assert [row.openings[0][0] for row in found[:2]] == [chicago("2026-11-25T20:00"), chicago("2026-11-25T22:00")]
    assert [row.open for row in found] == [True, True, False]


def test_a_store_that_is_never_closed_never_opens_and_says_why() -> None:
    found = rows(fleet_of(*FLEET, calendar("closed", while_closed())), "d")[0]

    assert found.openings == ()
    assert found.next_change is None
    assert found.never_opens == "the store has no opening hours, so it never counts as closed"


def test_only_calendars_that_bind_what_is_asked_about_are_listed() -> None:
    fleet = fleet_of(*FLEET, calendar("x", weekly("01:00", "02:00"), clusters="/c/d"), calendar("y", clusters="/c/a"))

    assert [row.calendar for row in rows(fleet, "d")] == ["x"]
    assert rows(fleet, "b") == []
    assert rows(fleet_of(*FLEET)) == []


def test_a_calendar_of_applications_is_listed_wherever_it_applies() -> None:
    fleet = fleet_of(*FLEET, calendar("pos", weekly("01:00", "02:00"), clusters=None, applications=["pos"]))

    assert [(row.applications, row.clusters) for row in rows(fleet)] == [(("pos",), 3), (("pos",), 1)]
