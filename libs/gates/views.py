"""The inputs of gates: calendars and freezes with their members, zones and hours, as now or before a withheld change.

Clusters of equal zone and hours are judged together, and unchanged ones are not grouped again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from pyroaring import BitMap

from libs.contracts import CalendarDeclared, FreezeDeclared
from libs.fleet import ordinals
from libs.gates.rules import GateRule
from libs.gates.schedules import NO_INSTANT, Pair, Schedule
from libs.selection.bitmaps import from_mask

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from libs.fleet import Fleet, Override, Policy, Withheld

GateDocument = CalendarDeclared | FreezeDeclared
T = TypeVar("T")
ScheduleOf = Callable[[GateDocument], Schedule]


@dataclass(slots=True)
class Spread:
    """One document over its members: which row of its schedule each member uses."""

    document: GateDocument
    members: BitMap
    schedule: Schedule
    places: NDArray[np.int64]
    row_of: NDArray[np.int64]
    rows: NDArray[np.int64]
    _states: bytes = b""
    _on: BitMap = field(default_factory=BitMap)

    def on(self, now: datetime) -> BitMap:
        """Return the members for which the calendar is open, or the freeze in force, at an instant."""
        self.schedule.judge(self.rows, now)
        states = self.schedule.on[self.rows]
        if states.all():
            return self.members
        if not states.any():
            return BitMap()
        if states.tobytes() != self._states:
            mask = np.zeros(int(self.places[-1]) + 1, np.bool_)
            mask[self.places] = self.schedule.on[self.row_of]
            self._states, self._on = states.tobytes(), from_mask(mask)
        return self._on

    def until(self, now: datetime) -> int:
        """Return when a member's answer changes next, in microseconds."""
        self.schedule.judge(self.rows, now)
        return int(self.schedule.until[self.rows].min()) if len(self.rows) else NO_INSTANT


class View:
    """The calendars and freezes of some clusters, with these clusters' zones and hours.

    `withheld` is the id of the withheld change before which this was so; with it, all members are among `clusters`.
    """

    def __init__(self, schedule_of: ScheduleOf, withheld: str | None = None) -> None:
        self.withheld = withheld
        self.clusters = BitMap()
        self.documents: dict[tuple[str, str], tuple[GateDocument, BitMap]] = {}
        self.identities: dict[tuple[str, str], int] = {}
        self._schedule_of = schedule_of
        self._codes: NDArray[np.int64] = np.zeros(0, np.int64)
        self._among: NDArray[np.int64] | None = None
        self._combination_of: NDArray[np.int64] = np.zeros(0, np.int64)
        self._pairs: list[Pair] = []
        self._spreads: dict[tuple[str, str], Spread] = {}

    def put(self, clusters: BitMap, codes: NDArray[np.int64], pair_of: Callable[[int], Pair]) -> None:
        """Take zones and hours: one code a cluster, all ordinals from 0 unless `clusters` are withheld."""
        if len(codes) == len(self._codes) and bool((codes == self._codes).all()):
            return
        self.clusters, self._codes = clusters, codes
        self._among = None if self.withheld is None else ordinals(clusters)
        distinct, self._combination_of = np.unique(codes, return_inverse=True)
        self._pairs = [pair_of(int(code)) for code in distinct]
        self._spreads = {}

    def bind(self, documents: dict[tuple[str, str], tuple[GateDocument, BitMap]], policy: Policy) -> None:
        """Take the calendars and freezes with their members."""
        self.documents = documents
        self.identities = {
            (kind, key): policy.identity_of(kind, key, self.withheld if kind == "calendar" else None)
            for kind, key in documents
        }
        self._spreads = {key: spread for key, spread in self._spreads.items() if key in documents}

    def spread(self, kind: str, name: str) -> Spread:
        """Return one document over its members."""
        document, members = self.documents[kind, name]
        known = self._spreads.get((kind, name))
        if known is None or known.document is not document or known.members != members:
            known = self._spreads[kind, name] = self._spread(document, members)
        return known

    def _spread(self, document: GateDocument, members: BitMap) -> Spread:
        schedule, places = self._schedule_of(document), ordinals(members)
        at = places if self._among is None else np.searchsorted(self._among, places)
        row_of = schedule.rows(self._pairs)[self._combination_of[at]]
        rows = np.flatnonzero(np.bincount(row_of)) if len(row_of) else np.zeros(0, np.int64)
        return Spread(document, members, schedule, places, row_of, rows)

    def pair(self, ordinal: int) -> Pair:
        """Return the zone and the hours of one cluster."""
        at = ordinal if self._among is None else int(np.searchsorted(self._among, ordinal))
        return self._pairs[int(self._combination_of[at])]

    def spreads(self, kind: str) -> Iterator[Spread]:
        """Return the calendars, or the freezes, over their members: all that may change with time."""
        for of, name in self.documents:
            if of == kind:
                yield self.spread(of, name)

    def freezes(self) -> Iterator[tuple[str, FreezeDeclared, BitMap]]:
        """Return the freezes with their members, each by what it is known under (`Policy.every_freeze`)."""
        for (_, key), (document, members) in self.documents.items():
            if isinstance(document, FreezeDeclared):
                yield key, document, members

    def calendars(self, application: str | None) -> Iterator[tuple[CalendarDeclared, BitMap]]:
        """Return the calendars that name an application, or (None) those that apply to clusters alone."""
        for document, members in self.documents.values():
            if isinstance(document, CalendarDeclared) and (
                application in document.applications
                if application is not None
                else not document.applications and document.clusters is not None
            ):
                yield document, members

    def freeze_rules(self, now: datetime, overrides: Sequence[Override]) -> Iterator[GateRule]:
        """Return one rule for each freeze that is in force somewhere."""
        for key, freeze, _ in self.freezes():
            closed = self.spread("freeze", key).on(now)
            if closed:
                opened = [
                    (each, where)
                    for each in overrides
                    if each.opens("freeze", freeze, self.identities["freeze", key])
                    and (where := each.clusters & closed)
                ]
                yield GateRule(closed, opened, freeze.applications, freeze.new_clusters != "hold")

    def level_rules(self, application: str | None, now: datetime, overrides: Sequence[Override]) -> list[GateRule]:
        """Return the rules of one level of calendars: one for each alternative (`alternatives`)."""
        found = alternatives(self.calendars(application), lambda each: each[0])
        return [self._rule(each, now, overrides) for each in found]

    def _rule(
        self, bound_by: Sequence[tuple[CalendarDeclared, BitMap]], now: datetime, overrides: Sequence[Override]
    ) -> GateRule:
        """Return the rule of calendars of which one must be open where any of them applies."""
        bound, is_open = BitMap(), BitMap()
        for calendar, members in bound_by:
            bound = bound | members
            is_open = is_open | self.spread("calendar", calendar.name).on(now)
        closed = bound - is_open
        opened = []
        for each in overrides:
            named = [members for calendar, members in bound_by if self._opens(each, calendar)]
            if named and (where := each.clusters & closed & BitMap.union(*named)):
                opened.append((each, where))
        return GateRule(closed, opened)

    def _opens(self, override: Override, calendar: CalendarDeclared) -> bool:
        return override.opens("calendar", calendar, self.identities["calendar", calendar.name])


def alternatives(level: Iterable[T], calendar_of: Callable[[T], CalendarDeclared]) -> list[list[T]]:
    """Return the groups of a level of which one calendar each must be open: each that requires it, then the others."""
    required, others = list[list[T]](), list[T]()
    for each in level:
        if calendar_of(each).require:
            required.append([each])
        else:
            others.append(each)
    return [*required, others] if others else required


def as_they_are(view: View, fleet: Fleet) -> None:
    """Bring the view of the facts up to date; `fleet` may have changed in any way."""
    policy, size = fleet.policy, fleet.selection.size
    everywhere = BitMap(range(size))
    zones, hours = fleet.zone_of.values[:size], fleet.hours_of.values[:size]
    view.put(everywhere, _codes(zones, hours), _pair_of(fleet))
    documents: dict[tuple[str, str], tuple[GateDocument, BitMap]] = {}
    for name, calendar in policy.calendars.items():
        members = everywhere if calendar.clusters is None else fleet.bound("calendar", name)
        documents["calendar", name] = calendar, members
    for key, freeze in policy.every_freeze.items():
        documents["freeze", key] = freeze, fleet.bound("freeze", key)
    view.bind(documents, fleet.policy)


def as_withheld(view: View, fleet: Fleet, withheld: Withheld) -> None:
    """Bring the view of what held before a withheld change up to date: its freezes are those in effect today."""
    view.put(withheld.clusters, _codes(withheld.zones, withheld.hours), _pair_of(fleet))
    documents: dict[tuple[str, str], tuple[GateDocument, BitMap]] = {}
    for name, (calendar, bound) in withheld.calendars.items():
        documents["calendar", name] = calendar, withheld.clusters if calendar.clusters is None else bound
    for key, freeze in fleet.policy.every_freeze.items():
        if members := withheld.froze(key):
            documents["freeze", key] = freeze, members
    view.bind(documents, fleet.policy)


def _codes(zones: NDArray[np.int32], hours: NDArray[np.int32]) -> NDArray[np.int64]:
    return (zones.astype(np.int64) << 32) | hours


def _pair_of(fleet: Fleet) -> Callable[[int], Pair]:
    return lambda code: (fleet.zones.names[code >> 32], fleet.hours.names[code & 0xFFFFFFFF])
