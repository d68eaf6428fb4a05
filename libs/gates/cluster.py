"""Freezes and windows of one application on one cluster: explanations, and when they open.

The judgement is the same as that of the bitmaps, but for one cluster at any instant, so that it can also look ahead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from libs.calendars import on_the_clock
from libs.contracts import CalendarDeclared, FreezeDeclared
from libs.fleet import change_of, kept_key
from libs.gates.explained import Evidence, Explained
from libs.gates.rules import covers
from libs.gates.schedules import Pair, calendar_at, freeze_at, freeze_interval
from libs.gates.views import alternatives

if TYPE_CHECKING:
    from libs.fleet import Override, Policy
    from libs.gates.views import View

STEPS_MAX = 1_000
"""The number of gate changes that are searched for an instant when all are open; after that the answer is never."""


@dataclass(frozen=True, slots=True)
class _Bound:
    """What applies to the application on the cluster in one view: of each of `groups`, one calendar must be open."""

    pair: Pair
    withheld: str | None
    freezes: Sequence[FreezeDeclared]
    groups: Sequence[Sequence[CalendarDeclared]]
    identities: Mapping[tuple[str, str], int]

    def opened_by(self, override: Override, document: FreezeDeclared | CalendarDeclared) -> bool:
        """Whether an override is for one of the documents here."""
        kind, name = _kind(document), document.name
        kept = kind, name if self.withheld is None else kept_key(name, self.withheld)
        return override.opens(kind, document, self.identities[kept if kept in self.identities else (kind, name)])


@dataclass(frozen=True, slots=True)
class _Found:
    """A freeze in force, or a group without an open calendar, unless `override` opens it until `until`."""

    documents: Sequence[FreezeDeclared | CalendarDeclared]
    bound: _Bound
    until: datetime | None
    override: Override | None = None
    passed: bool = False

    @property
    def holds(self) -> bool:
        """Whether it keeps the application back."""
        return self.override is None and not self.passed


class OnCluster:
    """One application on one cluster; `first` says that this would be the cluster's first admission."""

    def __init__(
        self, policy: Policy, views: Sequence[View], application: str, ordinal: int, now: datetime, *, first: bool
    ) -> None:
        self.now, self.first = now, first
        self.overrides = [
            each
            for each in policy.overrides.values()
            if each.begins is not None and ordinal in each.clusters and covers(each, application)
        ]
        there = (view for view in views if view.withheld is None or ordinal in view.clusters)
        self.bound = [bound for view in there for bound in _bound(view, application, ordinal)]

    # --- judging -----------------------------------------------------------------------------------------------------

    def freezes(self, at: datetime) -> Iterator[_Found]:
        """Return the freezes that are in force at an instant."""
        for bound in self.bound:
            for freeze in bound.freezes:
                in_force, until = freeze_at(freeze, bound.pair, at)
                if in_force:
                    passed = self.first and freeze.new_clusters != "hold"
                    yield self._found([freeze], bound, until, at, passed=passed)

    def windows(self, at: datetime) -> Iterator[_Found]:
        """Return the groups without an open calendar at an instant."""
        for bound in self.bound:
            for group in bound.groups:
                judged = [calendar_at(calendar, bound.pair, at) for calendar in group]
                if not any(is_open for is_open, _ in judged):
                    until = min((change for _, change in judged if change is not None), default=None)
                    yield self._found(group, bound, until, at, passed=self.first)

    def _found(
        self,
        documents: Sequence[FreezeDeclared | CalendarDeclared],
        bound: _Bound,
        until: datetime | None,
        at: datetime,
        *,
        passed: bool,
    ) -> _Found:
        naming = [each for each in self.overrides if any(bound.opened_by(each, document) for document in documents)]
        override = next((each for each in naming if each.active(at)), None)
        later = [
            each.begins for each in naming if each.begins is not None and each.begins > at and each.revoked_at is None
        ]
        edges = [edge for edge in (until, *later) if edge is not None]
        return _Found(documents, bound, min(edges, default=None), override, passed)

    def opens_at(self, at: datetime) -> datetime | None:
        """Return the first instant from `at` on at which nothing keeps the application back; None: never."""
        return self._first_open(at, self._both)

    def earliest(self, at: datetime) -> tuple[datetime | None, list[str]]:
        """Return what `opens_at` does, and what is waited for until then, one after the other."""
        waits: list[str] = []
        opens = self._first_open(at, self._both, waits)
        return opens, list(dict.fromkeys(waits))

    def closes_at(self, at: datetime) -> datetime | None:
        """Return the first instant from `at` on at which something keeps the application back; None: never."""
        for _ in range(STEPS_MAX):
            if any(found.holds for found in self._both(at)):
                return at
            edge = min(self._edges_after(at), default=None)
            if edge is None:
                return None
            at = edge
        return at

    def _both(self, at: datetime) -> Iterator[_Found]:
        yield from self.freezes(at)
        yield from self.windows(at)

    def _edges_after(self, at: datetime) -> Iterator[datetime]:
        """Yield the next change of each document, and when overrides begin and end."""
        for bound in self.bound:
            judged = [freeze_at(freeze, bound.pair, at)[1] for freeze in bound.freezes]
            judged += [calendar_at(each, bound.pair, at)[1] for group in bound.groups for each in group]
            yield from (edge for edge in judged if edge is not None)
        for override in self.overrides:
            yield from (edge for edge in (override.begins, override.ends) if edge is not None and edge > at)

    @staticmethod
    def _first_open(
        at: datetime, found_at: Callable[[datetime], Iterable[_Found]], waits: list[str] | None = None
    ) -> datetime | None:
        """Return the first instant at which nothing holds; `waits` gets what is waited for until then."""
        waits = [] if waits is None else waits
        for _ in range(STEPS_MAX):
            holding = [found for found in found_at(at) if found.holds]
            if not holding:
                return at
            edges = [found.until for found in holding]
            if None in edges:
                waits += [_waits_for(found) for found in holding if found.until is None]
                return None
            # Everything that is closed now must change before all can be open.
            at = max(edge for edge in edges if edge is not None)
            waits += [_waits_for(found) for found in holding if found.until == at]
        return None

    # --- words -------------------------------------------------------------------------------------------------------

    def explain_freeze(self) -> Explained:
        """Explain the freezes."""
        found = list(self.freezes(self.now))
        holding = [each for each in found if each.holds]
        if holding:
            told = "; ".join(dict.fromkeys(_freeze_told(each) for each in holding))
            opens_at = self._first_open(self.now, self.freezes)
            return Explained(open=False, reason=told, opens_at=opens_at, evidence=_cited(holding))
        if found:
            told = "; ".join(dict.fromkeys(self._let_through(each) for each in found))
            return Explained(open=True, reason=told, evidence=_cited(found))
        bound = [(freeze, each) for each in self.bound for freeze in each.freezes]
        if not bound:
            return Explained(open=True, reason="no freeze applies to it")
        coming = [(begins, *each) for each in bound if (begins := _begins(*each)) > self.now]
        if not coming:
            return Explained(open=True, reason="no freeze is in force")
        begins, freeze, by = min(coming, key=lambda each: each[0])
        told = f"no freeze is in force; freeze {freeze.name} begins {on_the_clock(begins, by.pair[0])}"
        cited: Evidence = (f"freeze {freeze.name}", ("freeze", freeze.name), {"begins": begins})
        return Explained(open=True, reason=told, evidence=[cited])

    def explain_window(self) -> Explained:
        """Explain the calendars."""
        found = list(self.windows(self.now))
        holding = [each for each in found if each.holds]
        if holding:
            opens_at = self._first_open(self.now, self.windows)
            zone = holding[0].bound.pair[0]
            closed = "; ".join(dict.fromkeys(_closed_told(each) for each in holding))
            when = "it never opens" if opens_at is None else f"it opens {on_the_clock(opens_at, zone)}"
            return Explained(open=False, reason=f"{closed}; {when}", opens_at=opens_at, evidence=_cited(holding))
        if found:
            told = "; ".join(dict.fromkeys(self._let_through(each) for each in found))
            return Explained(open=True, reason=told, evidence=_cited(found))
        return self._open_windows()

    def _open_windows(self) -> Explained:
        told, evidence = list[str](), list[Evidence]()
        for bound in self.bound:
            for calendar in (each for group in bound.groups for each in group):
                is_open, until = calendar_at(calendar, bound.pair, self.now)
                if is_open:
                    ends = "" if until is None else f" until {on_the_clock(until, bound.pair[0])}"
                    told.append(f"calendar {calendar.name} is open{ends}{_as_withheld(bound)}")
                    evidence.append((f"calendar {calendar.name}", ("calendar", calendar.name), {"until": until}))
        reason = "; ".join(dict.fromkeys(told)) or "no calendar applies to it"
        return Explained(open=True, reason=reason, evidence=evidence)

    def _let_through(self, found: _Found) -> str:
        names = _names_of(found.documents)
        if found.passed:
            return f"{names} would keep it back, but a cluster's first admission passes"
        assert found.override is not None  # noqa: S101 - what neither passed nor was overridden holds
        override = found.override
        ends = "" if override.ends is None else f" until {on_the_clock(override.ends, found.bound.pair[0])}"
        return f"override {override.request.id} opens {names}{ends}: {override.request.reason}"


def _bound(view: View, application: str, ordinal: int) -> Iterator[_Bound]:
    """Yield what applies in a view: as it is there, then each freeze that a withheld change keeps in effect."""
    freezes: list[FreezeDeclared] = []
    kept: list[tuple[str, FreezeDeclared]] = []
    for key, freeze, members in view.freezes():
        if ordinal in members and (not freeze.applications or application in freeze.applications):
            change = change_of(key)
            if change is None:
                freezes.append(freeze)
            else:
                kept.append((change, freeze))
    groups = [
        group
        for level in (None, application)
        for group in alternatives((each for each, members in view.calendars(level) if ordinal in members), _itself)
    ]
    yield _Bound(view.pair(ordinal), view.withheld, freezes, groups, view.identities)
    yield from (_Bound(view.pair(ordinal), change, [freeze], [], view.identities) for change, freeze in kept)


def _itself(calendar: CalendarDeclared) -> CalendarDeclared:
    return calendar


def _names_of(documents: Sequence[FreezeDeclared | CalendarDeclared]) -> str:
    return " and ".join(f"{_kind(each)} {each.name}" for each in documents)


def _kind(document: FreezeDeclared | CalendarDeclared) -> str:
    return "freeze" if isinstance(document, FreezeDeclared) else "calendar"


def _begins(freeze: FreezeDeclared, bound: _Bound) -> datetime:
    return freeze_interval(freeze, bound.pair[0])[0]


def _as_withheld(bound: _Bound) -> str:
    return "" if bound.withheld is None else f" (as it was before withheld change {bound.withheld})"


def _freeze_told(found: _Found) -> str:
    zone = found.bound.pair[0]
    told = [
        f"freeze {each.name} ({each.reason}; {each.owner}) holds it until"
        f" {on_the_clock(freeze_interval(each, zone)[1], zone)}"
        for each in found.documents
        if isinstance(each, FreezeDeclared)
    ]
    return " and ".join(told) + _as_withheld(found.bound)


def _waits_for(found: _Found) -> str:
    """Name what is waited for; the end of a freeze is told, since something else may be closed then."""
    if not any(isinstance(each, FreezeDeclared) for each in found.documents) or found.until is None:
        return f"window {' or '.join(each.name for each in found.documents)}{_as_withheld(found.bound)}"
    until = on_the_clock(found.until, found.bound.pair[0])
    return f"{_names_of(found.documents)} until {until}{_as_withheld(found.bound)}"


def _closed_told(found: _Found) -> str:
    verb = "is" if len(found.documents) == 1 else "are"
    return f"{_names_of(found.documents)} {verb} closed{_as_withheld(found.bound)}"


def _cited(found: Iterable[_Found]) -> list[Evidence]:
    """Return the documents that were found, the overrides that open them, the withheld changes that bring them back."""
    cited: dict[tuple[str, str], Evidence] = {}
    for each in found:
        for document in each.documents:
            key = (_kind(document), document.name)
            cited.setdefault(key, (" ".join(key), key, {"until": each.until}))
        if each.override is not None:
            asked = each.override.request
            more = {"reason": asked.reason, "ticket": asked.ticket, "people": list(each.override.people)}
            key = ("override", asked.id)
            cited.setdefault(key, (f"override {asked.id}", key, {**more, "until": each.override.ends}))
        if each.bound.withheld is not None:
            key = ("withheld", each.bound.withheld)
            cited.setdefault(key, (f"withheld change {each.bound.withheld}", key, {}))
    return list(cited.values())
