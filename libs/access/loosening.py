"""On which clusters a change of facts opens a gate, lifts a law, or removes a sign-off.

The one rule: a change that is not provably stricter is looser. A cluster that never existed has nothing to loosen; one
that is removed and comes back has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from pyroaring import BitMap

from libs.access.effects import Before
from libs.contracts import CalendarDeclared, Event, FreezeDeclared, PlacementPolicyDeclared, meaning_of
from libs.contracts.meaning import APPLICATION, FREEZE, LAW, NAMESPACE
from libs.fleet import Fleet, name_of
from libs.fleet.bitmaps import bitmap
from libs.fleet.columns import FleetColumn

FURTHEST_WEST = timedelta(hours=14)
"""The largest offset of a time zone behind UTC."""

_Bound = Mapping[str, tuple[CalendarDeclared, BitMap]]


def may_loosen(events: Iterable[Event]) -> bool:
    """Tell whether events are of a kind that can open a gate."""
    return any(meaning_of(event).reaches.loosens for event in events)


def may_unsign(events: Iterable[Event]) -> bool:
    """Tell whether events are of a kind that can remove a sign-off."""
    return any(meaning_of(event).reaches.unsigns for event in events)


@dataclass(frozen=True, slots=True)
class Unsigned:
    """An application whose changes `process` would no longer approve, and its clusters before or after."""

    application: str
    namespace: str
    process: str
    clusters: BitMap


def unsigned(change: Before, events: Iterable[Event]) -> list[Unsigned]:
    """Return the applications that lose their sign-off process, or that of the namespace that they move to."""
    before, after = change.before, change.after
    names: dict[str, None] = {}
    for event in events:
        reached = meaning_of(event).reaches
        if reached is APPLICATION:
            names[event.name] = None
        elif reached is NAMESPACE:
            names.update(dict.fromkeys(before.applications_of(event.name)))
    found = []
    for name in names:
        declared = before.applications.get(name) or after.applications[name]
        process = before.signoff_of(name)
        if process is None and (now := after.applications.get(name)) is not None:
            process = after.signoff_in(now.namespace)
        if process is not None and after.signoff_of(name) != process:
            clusters = before.placed(name) | after.placed(name)
            found.append(Unsigned(name, declared.namespace, process, clusters))
    return found


def loosened(change: Before, events: Iterable[Event], now: datetime) -> dict[str, BitMap]:
    """Return what a change opens: a text for each thing, with the clusters on which it opens.

    Freezes and laws that the events themselves declare or remove are judged by what they say (libs/access/relaxing.py).
    """
    before, after = change.before, change.after
    own = {event.name for event in events if meaning_of(event).reaches in (FREEZE, LAW)}
    known = before.selection.everything | BitMap(before.gone.remains)
    zones = _changed(before.zone_of, after.zone_of, before.selection.size)
    found: dict[str, BitMap] = {}
    for key, freeze in before.policy.every_freeze.items():
        if not has_ended(freeze, now) and name_of(key) not in own:
            bound = before.bound("freeze", key)
            left = bound - after.bound("freeze", key)
            found[f"freeze {freeze.name}"] = left | (bound & zones if freeze.local else BitMap())
    for key, law in before.policy.every_law.items():
        if not is_over(law, now) and name_of(key) not in own:
            found[f"placement policy {law.name}"] = before.bound("law", key) - after.bound("law", key)
    hours = _changed(before.hours_of, after.hours_of, before.selection.size)
    for application in _levels(before):
        was, is_now = _bound(before, application, known), _bound(after, application, known)
        what = "the windows of clusters" if application is None else f"the windows of {application}"
        found[what] = _level(was, is_now, zones, hours)
    return {what: clusters & known for what, clusters in found.items() if clusters & known}


def _changed(before: FleetColumn, after: FleetColumn, size: int) -> BitMap:
    return bitmap(np.flatnonzero(before.values[:size] != after.values[:size]))


def is_over(law: PlacementPolicyDeclared, now: datetime) -> bool:
    """Whether a law forbids nothing any more."""
    return law.ends is not None and law.ends <= now


def has_ended(freeze: FreezeDeclared, now: datetime) -> bool:
    """Whether a freeze is over on every clock on earth."""
    ends = datetime.fromisoformat(freeze.ends)
    if freeze.local or ends.tzinfo is None:
        return ends.replace(tzinfo=UTC) + FURTHEST_WEST <= now
    return ends <= now


def _levels(fleet: Fleet) -> list[str | None]:
    """Return the levels at which calendars apply: clusters (`None`), and each application that a calendar names."""
    named = {each for calendar in fleet.policy.calendars.values() for each in calendar.applications}
    return [None, *sorted(named)]


def _bound(fleet: Fleet, application: str | None, known: BitMap) -> _Bound:
    found = {}
    for name, calendar in fleet.policy.calendars.items():
        here = not calendar.applications if application is None else application in calendar.applications
        if here:
            found[name] = (calendar, known if calendar.clusters is None else fleet.bound("calendar", name) & known)
    return found


def _level(before: _Bound, after: _Bound, zones: BitMap, hours: BitMap) -> BitMap:
    """Return where a level may newly be open: one of those that require it, or the others together, open more."""
    others, others_now = _without_required(before), _without_required(after)
    answer = _windows(others, others_now, zones, hours)
    for name, (calendar, clusters) in after.items():
        old, bound = others.get(name, (None, BitMap()))
        if calendar.require and old is not None and stricter(old, calendar):
            # One of several became one that must be open: whatever the others do, it was open before when it is now.
            answer -= (clusters & bound) - (zones | hours)
    for name, (calendar, clusters) in before.items():
        if calendar.require:
            kept = {name: after[name]} if name in after and after[name][0].require else {}
            answer |= _windows({name: (calendar, clusters)}, kept, zones, hours)
    return answer


def _without_required(level: _Bound) -> _Bound:
    return {name: each for name, each in level.items() if not each[0].require}


def _windows(before: _Bound, after: _Bound, zones: BitMap, hours: BitMap) -> BitMap:
    """Return where windows may newly be open: no calendar applies any more, another one does, or one opens more."""
    had, has, by_hours = BitMap(), BitMap(), BitMap()
    for calendar, clusters in before.values():
        had |= clusters
        if any(window.closed is not None for window in calendar.windows):
            by_hours |= clusters
    answer = (had & zones) | (by_hours & hours)
    for name, (calendar, clusters) in after.items():
        has |= clusters
        old, bound = before.get(name, (None, BitMap()))
        answer |= (clusters - bound) & had
        if old is not None and not stricter(old, calendar):
            answer |= clusters & bound
    return answer | (had - has)


def stricter(before: CalendarDeclared, after: CalendarDeclared) -> bool:
    """Tell whether a calendar is open only at instants at which it was open before."""
    return (
        all(window in before.windows for window in after.windows)
        and all(exclusion in after.exclude for exclusion in before.exclude)
        and after.cutoff_minutes >= before.cutoff_minutes
    )
