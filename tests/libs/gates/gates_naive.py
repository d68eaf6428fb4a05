"""The gates as their sentences say, for one cluster after the other: slow, without a cache, an index or a bitmap."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from datetime import datetime
from functools import singledispatchmethod
from typing import Any

from libs.calendars import Timetable, interval, is_open
from libs.contracts import (
    CalendarDeclared,
    CalendarRemoved,
    FreezeDeclared,
    FreezeRemoved,
    LooseningConfirmed,
    LooseningWithheld,
    OverrideRequested,
    OverrideRevoked,
    OverrideStarted,
    StoreDeclared,
    StoreRemoved,
)
from libs.fleet import unpacked


@dataclass
class Granted:
    request: OverrideRequested
    begins: datetime | None = None
    ends: datetime | None = None

    def opens(self, kind: str, name: str, cluster: int, application: str, now: datetime) -> bool:
        asked = self.request
        return (
            (asked.freeze if kind == "freeze" else asked.calendar) == name
            and cluster in unpacked(asked.clusters)
            and (not asked.applications or application in asked.applications)
            and self.begins is not None
            and self.ends is not None
            and self.begins <= now < self.ends
        )


@dataclass
class Facts:
    """What gates look at: stores by the ordinal of their one cluster, gone ones as they were."""

    stores: dict[int, StoreDeclared] = field(default_factory=dict)
    calendars: dict[str, CalendarDeclared] = field(default_factory=dict)
    freezes: dict[str, FreezeDeclared] = field(default_factory=dict)

    def bound(self, expression: str | None, cluster: int) -> bool:
        store = self.stores[cluster]
        if expression in {None, "/c/*"}:
            return True
        key, _, value = str(expression).partition(" = ")
        return store.labels.get(key) == value


Answer = tuple[bool, set[str]]
"""Whether it is closed, and which overrides opened it."""


class Naive:
    def __init__(self) -> None:
        self.facts = Facts()
        self.ordinals: dict[str, int] = {}
        self.withheld: dict[str, tuple[set[int], Facts]] = {}
        self.overrides: dict[str, Granted] = {}

    @singledispatchmethod
    def take(self, event: Any) -> None:
        raise NotImplementedError(event)

    @take.register
    def _(self, event: StoreDeclared) -> None:
        self.facts.stores[self.ordinals.setdefault(event.name, len(self.ordinals))] = event

    @take.register
    def _(self, event: StoreRemoved) -> None:
        """What is still admitted there keeps its store as it was."""

    @take.register
    def _(self, event: CalendarDeclared) -> None:
        self.facts.calendars[event.name] = event

    @take.register
    def _(self, event: CalendarRemoved) -> None:
        self.facts.calendars.pop(event.name, None)

    @take.register
    def _(self, event: FreezeDeclared) -> None:
        self.facts.freezes[event.name] = event

    @take.register
    def _(self, event: FreezeRemoved) -> None:
        self.facts.freezes.pop(event.name, None)

    @take.register
    def _(self, event: OverrideRequested) -> None:
        self.overrides[event.id] = Granted(event)

    @take.register
    def _(self, event: OverrideStarted) -> None:
        self.overrides[event.id].begins, self.overrides[event.id].ends = event.begins, event.ends

    @take.register
    def _(self, event: OverrideRevoked) -> None:
        self.overrides.pop(event.id, None)

    @take.register
    def _(self, event: LooseningWithheld) -> None:
        self.withheld[event.id] = set(unpacked(event.clusters)), deepcopy(self.facts)

    @take.register
    def _(self, event: LooseningConfirmed) -> None:
        self.withheld.pop(event.id, None)

    # --- gates -------------------------------------------------------------------------------------------------------

    def frozen(self, application: str, cluster: int, now: datetime, *, first: bool) -> Answer:
        rules = []
        for facts in self._looked_at(cluster):
            for name, past in facts.freezes.items():
                freeze = self.facts.freezes.get(name)
                if freeze is None or not facts.bound(past.clusters, cluster):
                    continue
                if freeze.applications and application not in freeze.applications:
                    continue
                if freeze.local:
                    begins, ends = interval(freeze.begins, freeze.ends, facts.stores[cluster].timezone)
                else:
                    begins, ends = datetime.fromisoformat(freeze.begins), datetime.fromisoformat(freeze.ends)
                if begins <= now < ends and not (first and freeze.new_clusters == "pass"):
                    rules.append(self._openers("freeze", [name], cluster, application, now))
        return _together(rules)

    def shut(self, application: str, cluster: int, now: datetime, *, first: bool) -> Answer:
        if first:
            return False, set()
        rules = []
        for facts in self._looked_at(cluster):
            store = facts.stores[cluster]
            hours = Timetable.of(store.hours, store.exceptions)
            binding = [each for each in facts.calendars.values() if facts.bound(each.clusters, cluster)]
            levels = (
                [each for each in binding if not each.applications],
                [each for each in binding if application in each.applications],
            )
            for level in levels:
                others = [each for each in level if not each.require]
                shut = {each.name for each in level if not is_open(each, store.timezone, hours, now)}
                rules += [
                    self._openers("calendar", [each.name], cluster, application, now)
                    for each in level
                    if each.require and each.name in shut
                ]
                if others and all(each.name in shut for each in others):
                    rules.append(self._openers("calendar", [each.name for each in others], cluster, application, now))
        return _together(rules)

    def _looked_at(self, cluster: int) -> list[Facts]:
        return [self.facts, *(facts for clusters, facts in self.withheld.values() if cluster in clusters)]

    def _openers(self, kind: str, names: list[str], cluster: int, application: str, now: datetime) -> set[str]:
        return {
            each.request.id
            for each in self.overrides.values()
            if any(each.opens(kind, name, cluster, application, now) for name in names)
        }


def _together(rules: list[set[str]]) -> Answer:
    if not all(rules):
        return True, set()
    return False, {opener for openers in rules for opener in openers}
