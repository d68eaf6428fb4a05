"""Calendars: given a fleet, when one is declared, then it is kept in canonical form and says where it never opens."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from libs.contracts import (
    ApplicationDeclared,
    CalendarDeclared,
    CalendarWindow,
    ClosedWindow,
    ClusterSpec,
    NamespaceDeclared,
    OpeningHours,
    StoreDeclared,
    WeeklyWindow,
)
from libs.contracts.absent import Absent
from libs.fleet import Fleet
from services.policy.api import CALENDAR
from services.policy.domain.calendars import DISTINCT_MAX, DeclareCalendar, decide, warnings

AT = datetime(2026, 11, 24, 12, tzinfo=UTC)
WEEK = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
CLOSED = CalendarWindow(closed=ClosedWindow(30, 60))
NIGHT = CalendarWindow(weekly=WeeklyWindow(["mon"], "01:00", "05:00"))


def fleet(*hours: list[OpeningHours]) -> Fleet:
    facts = Fleet()
    for index, each in enumerate(hours):
        name = f"s-{index:03}"
        facts.assume(StoreDeclared(name, "America/Chicago", hours=each, clusters=[ClusterSpec(name)]))
    facts.assume(NamespaceDeclared("pos", "/c/*"))
    facts.assume(ApplicationDeclared("pos-api", "pos", "/c/s-000"))
    return facts


def daily(opens: str, closes: str) -> list[OpeningHours]:
    return [OpeningHours(WEEK, opens, closes)]


def declare(*windows: CalendarWindow, **more: Any) -> DeclareCalendar:
    return DeclareCalendar(CalendarDeclared("night", list(windows), **more), "ada", AT)


def test_deciding_twice_adds_nothing() -> None:
    facts = fleet(daily("06:00", "23:00"))
    command = declare(NIGHT, clusters="not not /c/*", applications=["pos-api"])

    (event,) = decide(command, Absent(), facts)

    assert event == CalendarDeclared("night", [NIGHT], clusters="/c/*", applications=["pos-api"])
    assert decide(command, CALENDAR.evolve(Absent(), event), facts) == []


def test_stores_without_hours_or_never_closed_never_open_while_closed() -> None:
    facts = fleet(daily("06:00", "23:00"), [], daily("00:00", "24:00"))

    (said,) = warnings(declare(CLOSED, clusters="/c/*"), facts)

    assert said.startswith("2 of 3 clusters never open, e.g. s-001: ")
    assert warnings(declare(CLOSED, NIGHT, clusters="/c/*"), facts) == []


def test_a_calendar_of_applications_is_judged_where_they_are() -> None:
    facts = fleet([], [])

    assert warnings(declare(CLOSED, applications=["pos-api"]), facts)[0].startswith("1 of 1 clusters never open")


def test_of_very_many_different_hours_the_most_common_are_looked_at() -> None:
    hours = [daily("00:00", f"23:{minute:02}") for minute in range(DISTINCT_MAX + 8)]
    facts = fleet(*hours)

    (said,) = warnings(declare(CLOSED, clusters="/c/*"), facts)

    assert said.startswith(f"at least {DISTINCT_MAX} of {DISTINCT_MAX + 8} clusters never open")
