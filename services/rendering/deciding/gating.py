"""Which pending changes of a placement may be admitted at an instant, and which gates keep back the others.

The one rule: every change passes every gate of the list, whatever caused it, removals too. Exceptions (a cluster's
first admission, removals by immediate law) are in the gates themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pyroaring import BitMap

from libs.fleet import Fact, bitmap, ordinals
from libs.gates import KEEPING, Admitted, Held, PendingChange, Standing, Unsettled
from services.rendering.target.aside import isolates, reason_text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from libs.fleet import Combination
    from libs.gates import Instant
    from services.rendering.domain.fuse import Hold
    from services.rendering.model import Model
    from services.rendering.target.placements import Placement


@dataclass(slots=True)
class Passing:
    """The result for one placement's pending changes: `admitted` may be written, those in `closed` (by gate) not.

    `used` are the overrides without which some of `admitted` would have been kept back; `people` approved
    some of what is pending, each with where.
    """

    admitted: BitMap
    removals: BitMap
    closed: dict[str, BitMap] = field(default_factory=dict)
    used: dict[str, BitMap] = field(default_factory=dict)
    people: dict[str, BitMap] = field(default_factory=dict)
    until: datetime | None = None
    """When some closed changes pass although no gate changes then."""

    def by(self, gate: str) -> BitMap:
        """Return the changes that a gate keeps back."""
        return self.closed.get(gate, BitMap())


class Gating:
    """The gates of the whole model at one instant; `hold` is the plan that the fuse holds, once there is one."""

    def __init__(self, model: Model, now: datetime, hold: Hold | None = None) -> None:
        self.model = model
        self.now = now
        self.hold = hold
        self.instant: Instant = model.gates.at(now)
        self.first = model.fleet.selection.everything - model.trees.registered

    def of(self, placement: Placement) -> Passing:
        """Return the pending changes of one placement that may be admitted."""
        change = self.change(placement)
        answer = Passing(change.pending, change.removals)
        if not change.bound:
            return answer
        used: list[Mapping[str, BitMap]] = []
        for gate in KEEPING:
            closed = gate.keeps_back(change)
            if closed.clusters:
                answer.closed[gate.name] = closed.clusters
            if closed.until is not None:
                answer.until = closed.until if answer.until is None else min(answer.until, closed.until)
            answer.people.update(closed.people)
            used.append(closed.used)
        answer.admitted = change.pending - BitMap.union(BitMap(), *answer.closed.values())
        for by_override in used:
            for override, clusters in by_override.items():
                if through := clusters & answer.admitted:
                    answer.used[override] = answer.used.get(override, BitMap()) | through
        return answer

    def everywhere_closed(self) -> BitMap:
        """Return where things of no application, such as a cluster's registration, may not change."""
        return self._closed_for("")

    def namespace_closed(self, namespace: str) -> BitMap:
        """Return where files that the applications of a namespace share may not change."""
        applications = self.model.fleet.applications_of(namespace)
        return BitMap.union(self.everywhere_closed(), *map(self._closed_for, applications))

    def _closed_for(self, application: str) -> BitMap:
        closed = (gate.closed_for(self.instant, application, self.first).clusters for gate in KEEPING)
        return BitMap.union(BitMap(), *closed)

    # --- what gates are told -----------------------------------------------------------------------------------------

    def change(self, placement: Placement) -> PendingChange:
        """Return one placement's pending changes, as gates know them."""
        among = ordinals(placement.pending)
        settle = self.model.timing.settle
        held = None if self.hold is None else self.hold.applications.get(placement.key)
        return PendingChange(
            instant=self.instant,
            first=self.first,
            namespace=placement.namespace,
            application=placement.application,
            pending=placement.pending,
            removals=bitmap(among[placement.target_release.values[among] == 0]),
            unsettled=[
                Unsettled(each.since, each.since + settle, each.clusters)
                for each in placement.settling(self.now, settle)
            ],
            held=Held(self.hold.plan, self.hold.count, self.hold.cause, held) if self.hold and held else None,
            stands=lambda ordinal: self._standing(placement, ordinal),
            variants=lambda clusters: placement.target_variant.values[ordinals(clusters)],
        )

    def _standing(self, placement: Placement, ordinal: int) -> Standing:
        values, unreadable = self._values(placement.application, ordinal)
        return Standing(
            runs=self.version(int(placement.release.values[ordinal])),
            wanted=self.version(int(placement.target_release.values[ordinal])),
            variant=placement.target_variant.values[ordinal].tobytes().hex(),
            fell_back=any(ordinal in clusters for clusters in placement.fallbacks.values()),
            refusals=[
                (refusal.code, refusal.detail)
                for refusal, clusters in self.model.placements.refusals.items()
                if refusal.key == placement.key and ordinal in clusters
            ],
            values=values,
            unreadable=unreadable,
            admitted=self._admitted(placement, ordinal),
        )

    def version(self, code: int) -> str | None:
        """Return the version that a code in a placement's columns stands for; 0 is none."""
        return self.model.placements.versions.names[code].split("/", 1)[1] if code else None

    def _values(self, application: str, ordinal: int) -> tuple[Combination | None, str]:
        """Return the configured values on a cluster, and why they cannot be read, if so."""
        try:
            return self.model.fleet.resolve(application, ordinal), ""
        except Exception as error:
            if not isolates(error):
                raise
            return None, reason_text(error)

    def _admitted(self, placement: Placement, ordinal: int) -> Admitted | None:
        number = int(placement.admission.values[ordinal])
        if not number:
            return None
        admission = self.model.placements.admissions[number - 1]
        path = f"{placement.namespace}/{placement.file}"
        return Admitted(Fact(admission.position, admission.at, ""), path, admission.commit)
