"""The judge of a history: every decision at the instant at which the log took it, and what is left undone after it.

A change passes at a closed gate only as the first admission of its cluster, as what immediate law takes away, or
through an override that is in force.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from libs.contracts import AdmissionDecided, CalendarDeclared, Recorded
from tests.policy_model.model_people import People, Violation, demand
from tests.policy_model.model_time import calendar_open, freeze_in_force
from tests.policy_model.model_world import Variant, View, World

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime


def _all_and_one(level: list[CalendarDeclared]) -> list[list[CalendarDeclared]]:
    """Return the groups of a level of which one must be open: each that is required, and all the others."""
    required = [[each] for each in level if each.require]
    return [*required, [each for each in level if not each.require]]


class Judge:
    """Knows what is admitted where because the log says so, and what may be because it worked it out."""

    def __init__(self) -> None:
        self.world = World()
        self.people = People(self.world)
        self.registered: set[str] = set()
        self.admitted: dict[tuple[str, str], Variant] = {}
        self.decisions = 0

    def fold(self, recorded: Recorded) -> None:
        """Take one event of the log, in order.

        Raises:
            Violation: it should not have been recorded.
        """
        if isinstance(recorded.event, AdmissionDecided):
            self._decided(recorded.event, recorded.at)
        else:
            self.people.fold(recorded.event, recorded.at)
            self.world.fold(recorded)

    # --- safety ------------------------------------------------------------------------------------------------------

    def _decided(self, event: AdmissionDecided, at: datetime) -> None:
        self.decisions += 1
        after: dict[tuple[str, str], Variant | None] = {}
        for key, clusters in event.applications.items():
            application = key.split("/", 1)[1]
            for name in sorted(self.world.resolved(clusters)):
                wanted = self.world.target(application, name, at)
                closed = self.closed(application, name, wanted, at)
                if closed:
                    what = "removed from" if wanted is None else f"admitted as {wanted} on"
                    raise Violation(f"{application} was {what} {name} at {at} though closed: {'; '.join(closed)}")
                after[application, name] = wanted
        for name in sorted(self.world.resolved(event.clusters)):
            closed = list(self.gates("", name, at))
            demand(not closed, f"{name} was registered or left at {at} though closed: {'; '.join(closed)}")
        for where, variant in after.items():
            self.admitted.pop(where, None)
            if variant is not None:
                self.admitted[where] = variant
        for name in self.world.resolved(event.clusters):
            (self.registered.add if name in self.world.clusters else self.registered.discard)(name)

    def closed(self, application: str, name: str, wanted: Variant | None, at: datetime) -> list[str]:
        """Return the gates that keep a change back."""
        if wanted is None and self.at_once(application, name, at):
            return []
        found = list(self.gates(application, name, at))
        if self.world.signoff(application) is not None and not self.people.approved(application, name, wanted):
            laws = self.world.laws_on(application, name, at)
            if wanted is not None or (self.world.placed(application, name) and not laws):
                found.append("nobody approved it")
        return found

    def at_once(self, application: str, name: str, at: datetime) -> bool:
        """Whether immediate law takes an application away."""
        return any(law.enforcement == "immediate" for law in self.world.laws_on(application, name, at))

    def gates(self, application: str, name: str, at: datetime) -> Iterator[str]:
        """Yield the freezes and windows that keep an application back on a cluster."""
        first = name not in self.registered
        for view in self.world.views(name):
            yield from self._freezes(view, application, name, at, first=first)
            if not first:
                yield from self._windows(view, application, name, at)

    def _freezes(self, view: View, application: str, name: str, at: datetime, *, first: bool) -> Iterator[str]:
        for freeze in self.world.freezes.values():
            if freeze.name not in view.freezes or (freeze.applications and application not in freeze.applications):
                continue
            if first and freeze.new_clusters != "hold":
                continue
            overridden = self.people.opens(freeze, application, name, at)
            if freeze_in_force(freeze, view.zone, at) and not overridden:
                yield f"freeze {freeze.name}"

    def _windows(self, view: View, application: str, name: str, at: datetime) -> Iterator[str]:
        of_clusters = [each for each in view.calendars if not each.applications and each.clusters is not None]
        of_applications = [each for each in view.calendars if application in each.applications]
        for level in (*_all_and_one(of_clusters), *_all_and_one(of_applications)):
            if not level or any(calendar_open(each, view.zone, view.hours, at) for each in level):
                continue
            if not any(self.people.opens(each, application, name, at) for each in level):
                yield f"calendars {' and '.join(each.name for each in level)}"

    # --- liveness ----------------------------------------------------------------------------------------------------

    def settled(self, held: Mapping[str, set[str]], now: datetime) -> None:
        """Check what is left undone when rendering has nothing more to do; `held` the fuse keeps back.

        Raises:
            Violation: something waits for no reason.
        """
        for application, name in self.places():
            wanted = self.world.target(application, name, now)
            if wanted == self.admitted.get((application, name)):
                continue
            closed = self.closed(application, name, wanted, now)
            if wanted is None and name in held.get(application, ()):
                closed.append("the fuse holds it")
            demand(bool(closed), f"{application} on {name} waits for nothing at {now}: {wanted} is not admitted")
            if "nobody approved it" in closed:
                asked = self.people.asked(application, name, wanted, now)
                demand(asked, f"{application} on {name} waits for an approval that nobody was asked for")
        self._registrations(now)

    def done(self, refused: Mapping[str, set[str]], now: datetime) -> None:
        """Check that everything is as it should be, for every gate is open; somebody `refused` to let the fuse go."""
        for application, name in self.places():
            wanted, known = self.world.target(application, name, now), self.admitted.get((application, name))
            excused = wanted is None and (
                name in refused.get(application, ()) or self.people.said_no(application, name, wanted)
            )
            demand(excused or wanted == known, f"{application} on {name} should end as {wanted}, and is {known}")
        left = self.registered - set(self.world.clusters) if refused else set[str]()
        demand(self.registered - left == set(self.world.clusters), f"{self.registered} end registered")

    def places(self) -> list[tuple[str, str]]:
        """Return every application with every cluster that ever was."""
        applications = {*self.world.applications, *(application for application, _ in self.admitted)}
        return [(application, name) for application in sorted(applications) for name in self.world.names]

    def _registrations(self, now: datetime) -> None:
        for name in self.world.names:
            there = [application for application, on in self.admitted if on == name]
            demand(not there or name in self.registered, f"{there} run on {name}, which is not registered")
            wanted = name in self.world.clusters
            if wanted != (name in self.registered) and not (there and not wanted):
                closed = list(self.gates("", name, now))
                demand(bool(closed), f"{name} should {'be' if wanted else 'not be'} registered, and waits for nothing")
