"""Where a further calendar of a level widens: at some instants changes pass only because of it.

The one rule: the answer is an example that the gates would give: a cluster and an instant at which no other calendar of
the level is open, every one that is required is, and no freeze of the cluster is in force.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from pyroaring import BitMap

from libs.calendars import Timetable, is_open, on_the_clock, openings
from libs.contracts import CalendarDeclared
from libs.gates.schedules import freeze_interval

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from libs.contracts import FreezeDeclared
    from libs.fleet import Fleet

LOOKED_AHEAD_DAYS = (8, 60, 400)
"""How far an example is looked for, step by step."""
CASES_MAX = 8
"""How many different cases are looked at, the most common zones and hours first."""
NAMES_SHOWN = 3

Alike = tuple[tuple[str, str], BitMap]
"""A time zone and hours, and the clusters that share them."""


class _Case(NamedTuple):
    """One cluster with what applies there besides the new calendar."""

    cluster: str
    zone: str
    hours: Timetable
    others: Sequence[CalendarDeclared]
    required: Sequence[CalendarDeclared]
    freezes: Sequence[tuple[datetime, datetime]]


def widened(calendar: CalendarDeclared, bound: BitMap, facts: Fleet, at: datetime, alike: Sequence[Alike]) -> list[str]:
    """Return a warning for each level at which the calendar, declared with `bound`, opens more than the others do.

    `alike` are the groups of its clusters that share a time zone and hours.
    """
    if calendar.require:
        return []
    found = []
    levels: Sequence[str | None] = calendar.applications or [None]
    for application in levels:
        for case in _cases(calendar, application, bound, facts, alike):
            if (instant := _only_by(calendar, case, at)) is not None:
                found.append(_told(calendar, application, case, instant))
                break
    return found


def _told(calendar: CalendarDeclared, application: str | None, case: _Case, instant: datetime) -> str:
    names = ", ".join(each.name for each in case.others[:NAMES_SHOWN])
    more = f" and {len(case.others) - NAMES_SHOWN} more" if len(case.others) > NAMES_SHOWN else ""
    plural = "" if len(case.others) == 1 else "s"
    what = "changes" if application is None else f"changes of {application}"
    return (
        f"it widens calendar{plural} {names}{more}: one open calendar is enough, so on {case.cluster} {what} may pass"
        f" {on_the_clock(instant, case.zone)} only because of {calendar.name}; with `require: true` it must be open"
        " besides the others"
    )


def _cases(
    calendar: CalendarDeclared, application: str | None, bound: BitMap, facts: Fleet, alike: Sequence[Alike]
) -> Iterator[_Case]:
    """Yield one cluster for each of the cases at which another calendar of the level applies."""
    level = [
        (each, bound if each.clusters is None else facts.bound("calendar", name) & bound)
        for name, each in sorted(facts.policy.calendars.items())
        if name != calendar.name
        and (application in each.applications if application is not None else not each.applications)
    ]
    elsewhere = BitMap.union(BitMap(), *(where for each, where in level if not each.require))
    count = 0
    for (zone, hours), among in alike:
        left = among & elsewhere
        while left and count < CASES_MAX:
            count += 1
            ordinal = left[0]
            here = [each for each, where in level if ordinal in where]
            freezes = [
                freeze_interval(freeze, zone)
                for key, freeze in facts.policy.every_freeze.items()
                if _freezes(freeze, application) and ordinal in facts.bound("freeze", key)
            ]
            yield _Case(
                facts.selection.name(ordinal),
                zone,
                Timetable.from_text(hours),
                [each for each in here if not each.require],
                [each for each in here if each.require],
                freezes,
            )
            same = left
            for _, where in level:
                same = same & where if ordinal in where else same - where
            left = left - same


def _freezes(freeze: FreezeDeclared, application: str | None) -> bool:
    return not freeze.applications or application in freeze.applications


def _only_by(calendar: CalendarDeclared, case: _Case, at: datetime) -> datetime | None:
    """Return the first instant from `at` on at which changes pass only because of the calendar."""
    begin = at
    for days in LOOKED_AHEAD_DAYS:
        end = at + timedelta(days=days)
        edges = {begin, *(ends for _, ends in case.freezes)}
        for each in (calendar, *case.others, *case.required):
            edges.update(edge for opening in openings(each, case.zone, case.hours, begin, end) for edge in opening)
        for instant in sorted(edge for edge in edges if begin <= edge < end):
            if _passes(calendar, case, instant):
                return instant
        begin = end
    return None


def _passes(calendar: CalendarDeclared, case: _Case, instant: datetime) -> bool:
    def opens(each: CalendarDeclared) -> bool:
        return is_open(each, case.zone, case.hours, instant)

    return (
        opens(calendar)
        and not any(map(opens, case.others))
        and all(map(opens, case.required))
        and not any(begins <= instant < ends for begins, ends in case.freezes)
    )
