"""A calendar says when changes may be admitted on what it applies to: clusters, applications, or both.

It holds edges in each store's own time; `libs/calendars` decides whether it is open.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, assert_never

import numpy as np
from pyroaring import BitMap

from libs.calendars import Timetable, never_opens
from libs.contracts.absent import Absent
from libs.contracts.refusals import Invalid
from libs.fleet import bitmap, ordinals
from libs.fleet.checks import check_signoff, read_expression
from services.policy.domain.checks import canonical_clusters, check_applications, check_clusters
from services.policy.domain.widening import widened
from services.policy.events import CalendarDeclared, CalendarRemoved

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from libs.fleet import Fleet

DISTINCT_MAX = 32
"""How many distinct hours and zones are checked for a warning, the most common ones: each may take 30 ms."""

State = Absent | CalendarDeclared
Event = CalendarDeclared | CalendarRemoved


@dataclass(frozen=True, slots=True)
class DeclareCalendar:
    """Declare the calendar, whole; its `clusters` are as they were written."""

    calendar: CalendarDeclared
    actor: str
    at: datetime


@dataclass(frozen=True, slots=True)
class RemoveCalendar:
    """Remove the calendar; its clusters and applications are open unless another one applies to them."""

    name: str
    actor: str
    at: datetime


Command = DeclareCalendar | RemoveCalendar


def decide(command: Command, state: State, facts: Fleet) -> Sequence[Event]:
    """Return what follows from `command`; nothing, if the calendar is so already.

    Raises:
        Invalid, UnknownReference, SelectsNothing: why not.
    """
    match command:
        case DeclareCalendar():
            return _declare(command.calendar, state, facts)
        case RemoveCalendar():
            return [] if isinstance(state, Absent) else [CalendarRemoved(command.name)]
        case _:
            assert_never(command)


def warnings(command: Command, facts: Fleet) -> list[str]:
    """Return on how many of its clusters the calendar never opens, and where it widens what others allow."""
    if not isinstance(command, DeclareCalendar):
        return []
    calendar = command.calendar
    if calendar.clusters is None:
        bound = BitMap.union(BitMap(), *(facts.placed(name) for name in calendar.applications))
    else:
        bound = facts.selection.select(read_expression(calendar.clusters))
    return [*_never(command, bound, facts), *widened(calendar, bound, facts, command.at, list(_alike(bound, facts)))]


def _never(command: DeclareCalendar, bound: BitMap, facts: Fleet) -> list[str]:
    """Say on how many of its clusters the calendar never opens, with the reason on one of them."""
    calendar = command.calendar
    by_hours = any(window.closed is not None for window in calendar.windows)
    never: list[tuple[str, str]] = []
    looked_at = 0
    for (zone, hours), among in _alike(bound, facts, by_hours=by_hours):
        looked_at += len(among)
        why = never_opens(calendar, zone, Timetable.from_text(hours), command.at)
        if why is not None:
            never += [(facts.selection.name(ordinal), why) for ordinal in among]
    if not never:
        return []
    example, why = min(never)
    least = "" if looked_at == len(bound) else "at least "
    return [f"{least}{len(never):,} of {len(bound):,} clusters never open, e.g. {example}: {why}"]


def _alike(bound: BitMap, facts: Fleet, *, by_hours: bool = True) -> Iterator[tuple[tuple[str, str], BitMap]]:
    """Yield clusters that share a time zone and (where they matter) hours, most of them first, up to a bound."""
    among = ordinals(bound)
    zones = facts.zone_of.values[among].astype(np.int64)
    hours = facts.hours_of.values[among].astype(np.int64) * by_hours
    distinct, places = np.unique(zones * (len(facts.hours.names) + 1) + hours, return_inverse=True)
    counts = np.bincount(places, minlength=len(distinct))
    for place in np.argsort(-counts, kind="stable")[:DISTINCT_MAX]:
        zone, hour = divmod(int(distinct[place]), len(facts.hours.names) + 1)
        yield (facts.zones.names[zone], facts.hours.names[hour]), bitmap(among[places == place])


def _declare(asked: CalendarDeclared, state: State, facts: Fleet) -> Sequence[Event]:
    if asked.clusters is None and not asked.applications:
        raise Invalid(
            "the calendar applies to nothing",
            pointer="/spec/clusters",
            fix="give clusters (an expression, /c/* for all), or applications, or both",
        )
    clusters = None if asked.clusters is None else canonical_clusters(asked.clusters)
    declared = replace(asked, clusters=clusters, applications=sorted(asked.applications))
    if declared == state:
        return []
    check_signoff(asked.signoff, facts)
    check_applications(asked.applications, facts)
    before = (None, None) if isinstance(state, Absent) else (state.clusters, state.allow_empty)
    if clusters is not None and before != (clusters, asked.allow_empty):
        check_clusters(clusters, facts, allow_empty=asked.allow_empty)
    return [declared]
