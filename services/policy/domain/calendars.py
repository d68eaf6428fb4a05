"""A calendar says when changes may be admitted on what it binds: clusters, applications, or both.

The one rule to know: it holds edges in each store's own time; whether it is open is asked of `libs/calendars`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, assert_never

from libs.contracts.refusals import Invalid
from libs.fleet.checks import check_signoff
from services.policy.domain.checks import (
    Absent,
    canonical_clusters,
    check_applications,
    check_clusters,
)
from services.policy.events import CalendarDeclared, CalendarRemoved

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from libs.fleet import Fleet

State = Absent | CalendarDeclared
Event = CalendarDeclared | CalendarRemoved


@dataclass(frozen=True, slots=True)
class DeclareCalendar:
    """Let the calendar be as this says, whole; its `clusters` are as they were written."""

    calendar: CalendarDeclared
    actor: str
    at: datetime


@dataclass(frozen=True, slots=True)
class RemoveCalendar:
    """Take the calendar back; what it bound is open unless another one binds it."""

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


def evolve(_state: State, event: Event) -> State:
    """Return the calendar after `event`."""
    match event:
        case CalendarDeclared():
            return event
        case CalendarRemoved():
            return Absent()
        case _:
            assert_never(event)


def _declare(asked: CalendarDeclared, state: State, facts: Fleet) -> Sequence[Event]:
    if asked.clusters is None and not asked.applications:
        raise Invalid(
            "the calendar binds nothing",
            pointer="/spec/clusters",
            fix="say clusters (an expression, /c/* for all), or applications, or both",
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
