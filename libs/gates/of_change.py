"""The gates of people and time, in order: each may keep a change back. The last one reports the result."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pyroaring import BitMap

from libs.fleet import bitmap, distinct, is_member, ordinals
from libs.gates.approvals import covered
from libs.gates.explained import Explained, opened, shut
from libs.gates.gate import NOWHERE, Gate, Waiting
from libs.gates.rules import Closed
from libs.kinds.categories import PLACES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from libs.gates.change import Case, PendingChange
    from libs.gates.instant import Instant


class Approved(Gate):
    """The sign-off has approved what the cluster is to get. What facts or law take away needs nobody's approval."""

    name = "approval"
    open_when = "the sign-off of the application or namespace has approved these bytes there, or there is none"
    reads = ("application", "namespace", "release", "choices", "configuration", "approval")

    def keeps_back(self, change: PendingChange) -> Closed:
        """Return the clusters without approval, and who approved the rest."""
        fleet, application = change.fleet, change.application
        if not change.bound or application not in fleet.applications:
            return NOWHERE
        if fleet.signoff_of(application, change.namespace) is None:
            return NOWHERE
        people = covered(fleet, application, change.wanted(change.pending))
        taken = change.removals - (fleet.placed(application) - fleet.forbidden(application, change.now))
        return Closed(change.pending - BitMap.union(taken, *people.values()), people=people)

    def told(self, case: Case) -> Explained:
        """Name the sign-off that has approved it, or must."""
        name = case.fleet.signoff_of(case.application, case.namespace)
        if name is None:
            return opened(f"changes of {case.application} need no approval")
        runs = [
            run
            for run in case.fleet.policy.approvals.values()
            if run.request.kind == "change" and run.request.subject == case.application and case.ordinal in run.clusters
        ]
        last = runs[-1] if runs else None
        if case.ordinal in self.keeps_back(case.change).clusters:
            asked = "" if last is None else f"; approval {last.request.id} is {last.state_at(case.now)}"
            said = shut(f"sign-off {name} has not approved this change{asked}")
        else:
            given = "" if last is None or not last.people else f", approved by {', '.join(last.people)}"
            said = opened(f"no change waits for sign-off {name}{given}")
        if last is not None:
            source = "approval", last.request.id
            said.cite(f"approval {last.request.id}", source, state=last.state_at(case.now), people=list(last.people))
        return said.cite(f"sign-off {name}", ("signoff", name))

    def waiting(self, change: PendingChange, clusters: BitMap) -> Iterator[Waiting]:
        """Name the sign-off, once for all clusters."""
        name = change.fleet.signoff_of(change.application, change.namespace) or ""
        yield Waiting(f"sign-off {name}", None, "nobody has approved this change yet", clusters)


class Unfrozen(Gate):
    """No freeze is in force for the application, or each of them is overridden."""

    name = "freeze"
    open_when = "no freeze is in force for it, or each of them is overridden"
    reads = (*PLACES, "freeze", "override", "withheld")

    def closed_for(self, instant: Instant, application: str, first: BitMap) -> Closed:
        """Return where freezes are in force."""
        return instant.closed_by_freeze(application, first=first)

    def next_change(self, instant: Instant) -> datetime | None:
        """Return when a freeze, or an override of one, begins or ends."""
        return instant.next_of("freeze", instant.spans_of_overrides("freeze"))

    def told(self, case: Case) -> Explained:
        """Name the freezes in force, or the overrides that open them."""
        return case.change.instant.explain_freeze(case.application, case.ordinal, case.first)

    def alike(self, change: PendingChange, clusters: BitMap) -> list[BitMap]:
        """Group the clusters so that freezes and overrides treat all of a group alike."""
        return _alike(change, clusters)


class InWindow(Gate):
    """A calendar of each level that applies to the application is open."""

    name = "window"
    open_when = (
        "at each level, all calendars that apply and say `require`, and one of the others, are open or overridden"
    )
    reads = (*PLACES, "calendar", "override", "withheld")

    def closed_for(self, instant: Instant, application: str, first: BitMap) -> Closed:
        """Return where no calendar of a level is open."""
        return instant.closed_by_window(application, first=first)

    def next_change(self, instant: Instant) -> datetime | None:
        """Return when a calendar, or an override of one, opens or closes."""
        return instant.next_of("calendar", instant.spans_of_overrides("calendar"))

    def told(self, case: Case) -> Explained:
        """Say which calendars are open or closed, and until when."""
        return case.change.instant.explain_window(case.application, case.ordinal, case.first)

    def alike(self, change: PendingChange, clusters: BitMap) -> list[BitMap]:
        """Group the clusters so that calendars and overrides treat all of a group alike."""
        return _alike(change, clusters)


class Settled(Gate):
    """A removal has been wanted for a while without interruption."""

    name = "settled"
    open_when = (
        "the removal has been wanted without interruption for 15 seconds (a setting); "
        "a removal by immediate law does not wait"
    )
    blocked_rank = 1

    def keeps_back(self, change: PendingChange) -> Closed:
        """Return the removals that have not settled, and when the first of them do."""
        found = [(each.until, left) for each in change.unsettled if (left := each.clusters & change.bound)]
        if not found:
            return NOWHERE
        return Closed(BitMap.union(*(left for _, left in found)), until=min(until for until, _ in found))

    def told(self, case: Case) -> Explained:
        """Say since when the removal has been wanted."""
        for each in case.change.unsettled:
            if case.ordinal in each.clusters & case.change.bound:
                said = shut(
                    "the removal is admitted once it has been wanted for a while without interruption", each.until
                )
                return said.cite("removal wanted", None, since=each.since)
        return opened("no removal is waiting to settle")

    def waiting(self, change: PendingChange, clusters: BitMap) -> Iterator[Waiting]:
        """List the removals by when they settle."""
        for each in change.unsettled:
            if there := each.clusters & clusters:
                yield Waiting("removal", each.until, "it must be wanted for a while without interruption", there)


class Fused(Gate):
    """A removal is not part of a plan that the fuse holds."""

    name = "fuse"
    open_when = "the removal is not part of a held plan"
    lets_law_through = False
    blocked_rank = 0

    def keeps_back(self, change: PendingChange) -> Closed:
        """Return the held removals, whatever their cause."""
        return NOWHERE if change.held is None else Closed(change.held.clusters)

    def told(self, case: Case) -> Explained:
        """Name the plan that is held, and how to confirm it."""
        plan = case.change.held
        if plan is None or case.ordinal not in plan.clusters:
            return opened("no removal of it is held")
        said = shut(f"its removal is one of {plan.count:,} held as plan {plan.plan}: `resedge confirm {plan.plan}`")
        return said.cite(f"plan {plan.plan}", None, count=plan.count, cause=plan.cause)

    def waiting(self, change: PendingChange, clusters: BitMap) -> Iterator[Waiting]:
        """Name the plan, once for all clusters."""
        plan = "" if change.held is None else change.held.plan
        yield Waiting(f"plan {plan}", None, f"confirm it with `resedge confirm {plan}`", clusters)


class AsAdmitted(Gate):
    """The target was admitted. This gate keeps nothing back: it reports the result of the others."""

    name = "admitted"
    open_when = "the target of the cluster was admitted"
    keeps = False

    def told(self, case: Case) -> Explained:
        """Name the admitted release, and the one that waits."""
        stands, pending = case.stands, case.ordinal in case.change.pending
        if not pending and stands.runs is not None:
            said = opened(f"release {stands.runs} is admitted")
        elif not pending:
            said = shut("it is not placed on this cluster, so nothing is admitted")
        elif stands.runs is None:
            said = shut(f"release {stands.wanted} waits for the next admission")
        else:
            said = shut(f"release {stands.runs} is admitted; {stands.wanted or 'its removal'} waits")
        if stands.admitted is not None:
            commit = {"commit": stands.admitted.commit} if stands.admitted.commit else {}
            said.cite("admission", stands.admitted.fact, path=stands.admitted.path, **commit)
        return said


def _alike(change: PendingChange, clusters: BitMap) -> list[BitMap]:
    """Group clusters so that calendars, freezes and overrides treat all of a group alike."""
    fleet, policy = change.fleet, change.fleet.policy
    among, size = ordinals(clusters), fleet.selection.size
    columns = [fleet.zone_of.values[among], fleet.hours_of.values[among]]
    bounds = [fleet.bound("calendar", name) for name, each in policy.calendars.items() if each.clusters is not None]
    bounds += [fleet.bound("freeze", name) for name in policy.every_freeze]
    bounds += [each.clusters for each in policy.active_overrides(change.now)]
    bounds += [members for each in policy.withheld.values() for members in (each.clusters, *each.freezes.values())]
    bounds += [change.first]
    columns += [is_member(bound, among, size).astype(np.int32) for bound in bounds]
    for each in policy.withheld.values():
        for codes in (each.zones, each.hours):
            before = np.full(size, -1, np.int32)
            before[ordinals(each.clusters)] = codes
            columns.append(before[among])
    _, places = distinct(columns, len(among))
    return [bitmap(among[places == place]) for place in range(int(places.max()) + 1)]
