"""Where freezes and windows are closed at an instant, and when that changes next.

The one rule: nothing here is stored or told from outside: everything follows from the fleet's facts and the instant.
"""

from __future__ import annotations

from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from pyroaring import BitMap

from libs.gates.cluster import Case, Explained
from libs.gates.rules import Closed, Rule, combined
from libs.gates.schedules import NEVER, Schedule, instant, micros, unreadable
from libs.gates.views import Document, View, as_they_are, as_withheld

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from libs.fleet import Fleet, Withheld


class Gates:
    """The gates of one fleet: asked again and again, they judge only what changed."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self._schedules: dict[int, Schedule] = {}
        self._now = View(self._schedule)
        self._withheld: dict[str, tuple[Withheld, View]] = {}

    def at(self, now: datetime) -> Instant:
        """Return what the gates say at an instant, of the facts as they are; ask it before the fleet folds on."""
        return Instant(self, now)

    def next_change(self, now: datetime) -> datetime | None:
        """Return the first instant after `now` at which any gate may change: perhaps too early, never too late."""
        return self.at(now).until

    def views(self) -> list[View]:
        """Return what gates look at now, and for each withheld change what they looked at before."""
        as_they_are(self._now, self.fleet)
        known, self._withheld = self._withheld, {}
        for name, withheld in self.fleet.policy.withheld.items():
            before = known.get(name)
            view = before[1] if before is not None and before[0] is withheld else View(self._schedule, name)
            as_withheld(view, self.fleet, withheld)
            self._withheld[name] = withheld, view
        views = [self._now, *(view for _, view in self._withheld.values())]
        used = {id(document) for view in views for document, _ in view.documents.values()}
        self._schedules = {key: schedule for key, schedule in self._schedules.items() if key in used}
        return views

    def _schedule(self, document: Document) -> Schedule:
        """Return a document's schedule; it holds the document, so that the identity stays its own."""
        known = self._schedules.get(id(document))
        if known is None:
            known = self._schedules[id(document)] = Schedule(document)
        return known


class Instant:
    """All gates at one instant. Bitmaps that it returns are shared: read them, never change them."""

    def __init__(self, gates: Gates, now: datetime) -> None:
        self.now = now
        self.fleet = gates.fleet
        self.overrides = list(gates.fleet.policy.active_overrides(now))
        self.views = gates.views()
        self._first = BitMap()
        self._closed: dict[tuple[str, str], Closed] = {}

    @cached_property
    def until(self) -> datetime | None:
        """The next instant at which any gate may change; nothing: never."""
        edges = [spread.until(self.now) for view in self.views for spread in view.spreads()]
        now = micros(self.now)
        edges += [edge for at in self._dated() if (edge := micros(at)) > now]
        return instant(min(edges, default=NEVER))

    def _dated(self) -> Iterator[datetime]:
        """Return when law begins and ends, and overrides."""
        policy = self.fleet.policy
        overrides = [each for each in policy.overrides.values() if each.revoked_at is None]
        pairs = [(law.begins, law.ends) for law in policy.laws.values()]
        pairs += [(override.begins, override.ends) for override in overrides]
        yield from (at for pair in pairs for at in pair if at is not None)

    @cached_property
    def _named(self) -> frozenset[str]:
        """The applications of which something says more than of all."""
        documents = [document for view in self.views for document, _ in view.documents.values()]
        named = {name for each in documents for name in each.applications}
        return frozenset(named.union(*(each.request.applications for each in self.overrides)))

    @cached_property
    def _freezes(self) -> list[Rule]:
        return [rule for view in self.views for rule in view.freeze_rules(self.now, self.overrides)]

    @cached_property
    def _windows(self) -> list[Rule]:
        return [view.level_rule(None, self.now, self.overrides) for view in self.views]

    def closed_by_freeze(self, application: str, *, first: BitMap) -> Closed:
        """Return where freezes keep an application back; `first` are the clusters whose first admission it would be."""
        return self._of("freeze", application, first)

    def closed_by_window(self, application: str, *, first: BitMap) -> Closed:
        """Return where calendars keep an application back; first admissions pass."""
        return self._of("window", application, first)

    def _of(self, gate: str, application: str, first: BitMap) -> Closed:
        if first != self._first:
            self._first, self._closed = first.copy(), {}
        key = gate, application if application in self._named else ""
        known = self._closed.get(key)
        if known is None:
            rules = self._freezes if gate == "freeze" else [*self._windows, *self._of_application(key[1])]
            known = self._closed[key] = combined(rules, key[1], first)
        return known

    def _of_application(self, application: str) -> list[Rule]:
        if not application:
            return []
        return [view.level_rule(application, self.now, self.overrides) for view in self.views]

    def opens_at(self, application: str, ordinal: int, *, first: bool = False) -> datetime | None:
        """Return when freeze and window will both be open, as far as the calendars know today; nothing: never."""
        return self._case(application, ordinal, first=first).opens_at(self.now)

    def explain_freeze(self, application: str, ordinal: int, first: bool) -> Explained:
        """Return whether freezes keep an application back on one cluster, and why."""
        return self._explained(application, ordinal, first, Case.explain_freeze)

    def explain_window(self, application: str, ordinal: int, first: bool) -> Explained:
        """Return whether calendars keep an application back on one cluster, and why."""
        return self._explained(application, ordinal, first, Case.explain_window)

    def _explained(
        self, application: str, ordinal: int, first: bool, explain: Callable[[Case], Explained]
    ) -> Explained:
        """Explain a gate; where one of its documents cannot be judged, it is closed."""
        try:
            return explain(self._case(application, ordinal, first=first))
        except Exception as error:  # noqa: BLE001 - the answer says what it is
            return Explained(open=False, reason=unreadable(error))

    def _case(self, application: str, ordinal: int, *, first: bool) -> Case:
        return Case(self.fleet.policy, self.views, application, ordinal, self.now, first=first)
