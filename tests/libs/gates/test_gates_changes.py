"""The next instant at which any gate changes: every kind of edge is one, and none is later than it is."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from libs.calendars import Timetable, openings
from libs.contracts import CalendarWindow, OverrideRevoked, RecurringWindow
from libs.fleet import Fleet
from libs.gates import Gates
from tests.libs.gates.gates_words import (
    BY,
    MICROSECOND,
    NEW_YORK,
    NOBODY,
    at,
    calendar,
    fleet_of,
    freeze,
    gates,
    law,
    names,
    override,
    store,
    weekly,
    while_closed,
)

NOW = at("2026-11-26T12:00")
LATER = NOW + timedelta(hours=5)


def next_change(fleet: Fleet, now: datetime = NOW) -> datetime | None:
    return Gates(fleet).next_change(now)


def test_without_any_document_nothing_changes_ever() -> None:
    assert next_change(fleet_of(store("tx"))) is None
    assert next_change(fleet_of()) is None


def test_what_binds_nobody_changes_nothing() -> None:
    assert next_change(fleet_of(store("tx"), calendar("c", weekly("01:00", "05:00"), clusters="size = xl"))) is None


def test_a_freeze_begins_and_ends() -> None:
    fleet = fleet_of(store("tx"), freeze("f", "2026-11-27T06:00:00Z", "2026-12-01T06:00:00Z"))

    assert next_change(fleet) == at("2026-11-27T06:00")
    assert next_change(fleet, at("2026-11-27T06:00") - MICROSECOND) == at("2026-11-27T06:00")
    assert next_change(fleet, at("2026-11-27T06:00")) == at("2026-12-01T06:00")
    assert next_change(fleet, at("2026-12-01T06:00")) is None


def test_a_local_freeze_begins_and_ends_in_every_zone() -> None:
    fleet = fleet_of(
        store("tx"), store("ny", NEW_YORK), freeze("f", "2026-11-27T00:00:00", "2026-12-01T00:00:00", local=True)
    )
    found, now = [], NOW
    while (following := next_change(fleet, now)) is not None:
        found.append(following)
        now = following

    assert found == [at("2026-11-27T05:00"), at("2026-11-27T06:00"), at("2026-12-01T05:00"), at("2026-12-01T06:00")]


def test_law_begins_and_ends() -> None:
    fleet = fleet_of(store("tx"), law("utah", LATER, LATER + timedelta(hours=1)))

    assert next_change(fleet) == LATER
    assert next_change(fleet, LATER) == LATER + timedelta(hours=1)
    assert next_change(fleet, LATER + timedelta(hours=1)) is None


def test_an_override_begins_and_ends_unless_it_was_revoked() -> None:
    fleet = fleet_of(store("tx"), freeze("f", "2026-11-01T00:00:00Z", "2026-12-31T00:00:00Z"))
    override(fleet, "o", ["tx"], LATER, LATER + timedelta(hours=1), freeze="f")

    assert next_change(fleet) == LATER
    assert next_change(fleet, LATER) == LATER + timedelta(hours=1)
    fleet.assume(OverrideRevoked("o", "enough", BY))
    assert next_change(fleet) == at("2026-12-31T00:00")


def test_the_earliest_of_all_counts() -> None:
    fleet = fleet_of(
        store("tx"),
        calendar("c", weekly("01:00", "05:00")),
        calendar("a", weekly("08:15", "09:00"), clusters=None, applications=["pos"]),
        freeze("f", "2026-11-27T06:00:00Z", "2026-12-01T06:00:00Z"),
    )

    assert next_change(fleet) == at("2026-11-26T14:15")
    assert gates(fleet, NOW).until == at("2026-11-26T14:15")


@pytest.mark.parametrize(
    "window",
    [
        weekly("22:00", "06:00", "sat"),
        while_closed(30, 60),
        CalendarWindow(recurring=RecurringWindow("FREQ=MONTHLY;BYDAY=2TU", "01:30", 600)),
    ],
    ids=["weekly", "closed", "monthly"],
)
def test_gates_that_are_asked_for_months_say_what_the_calendar_says(window: CalendarWindow) -> None:
    document, hours = calendar("c", window), store("tx", hours=("08:00", "20:00"))
    fleet = fleet_of(hours, document)
    known, now, end = Gates(fleet), NOW, NOW + timedelta(days=130)
    expected = openings(document, "America/Chicago", Timetable.of(hours.hours, []), NOW, end)
    edges = [edge for opening in expected for edge in opening if NOW < edge < end]
    found = []
    while (following := known.next_change(now)) is not None and following < end:
        before = names(fleet, known.at(following - MICROSECOND).closed_by_window("pos", first=NOBODY).clusters)
        after = names(fleet, known.at(following).closed_by_window("pos", first=NOBODY).clusters)
        assert before != after
        found.append(following)
        now = following

    assert found == edges


def test_gates_may_be_asked_about_the_past() -> None:
    fleet = fleet_of(store("tx"), calendar("c", weekly("01:00", "05:00")))
    known = Gates(fleet)
    forth = [NOW + timedelta(hours=3 * step) for step in range(40)]
    there = [(known.at(now).until, known.at(now).closed_by_window("", first=NOBODY).clusters) for now in forth]
    back = [(known.at(now).until, known.at(now).closed_by_window("", first=NOBODY).clusters) for now in forth[::-1]]

    assert there == back[::-1]
