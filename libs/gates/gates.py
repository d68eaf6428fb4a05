"""The gates of one fleet, evaluated at one instant after another.

The result of a schedule is cached until the document or the stores' hours change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from libs.gates.instant import Instant
from libs.gates.ordered import GATES
from libs.gates.schedules import Schedule
from libs.gates.views import GateDocument, View, as_they_are, as_withheld

if TYPE_CHECKING:
    from datetime import datetime

    from libs.fleet import Fleet, Withheld


class Gates:
    """The gates of one fleet, with caches: each evaluation judges only what changed."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self._schedules: dict[int, Schedule] = {}
        self._now = View(self._schedule)
        self._withheld: dict[str, tuple[Withheld, View]] = {}

    def at(self, now: datetime) -> Instant:
        """Return the gates at an instant, on the current facts; use it before the fleet folds more events."""
        return Instant(self.fleet, self.views(), now, [gate.next_change for gate in GATES])

    def next_change(self, now: datetime) -> datetime | None:
        """Return the first instant after `now` at which any gate may change; it may be too early, never too late."""
        return self.at(now).until

    def views(self) -> list[View]:
        """Return the view that gates use now, and for each withheld change the view before it."""
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

    def _schedule(self, document: GateDocument) -> Schedule:
        """Return a document's schedule; it holds the document, so that the identity stays its own."""
        known = self._schedules.get(id(document))
        if known is None:
            known = self._schedules[id(document)] = Schedule(document)
        return known
