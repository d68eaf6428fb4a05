"""Which pending changes of a placement may be admitted at an instant, and what keeps the others back.

The one rule: every change passes here, whatever caused it, removals too. Only two things are let through: the first
admission of a cluster (windows, and freezes that say so), and removals that immediate law asks for.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pyroaring import BitMap

from libs.contracts import encode
from libs.fleet import bitmap, content_digest, in_force, ordinals
from libs.gates import covered

if TYPE_CHECKING:
    from datetime import datetime

    from libs.fleet import Fleet
    from libs.gates import Instant
    from services.rendering.model import Model
    from services.rendering.target.placements import Placement, Unwanted


@dataclass(slots=True)
class Passing:
    """What became of the pending changes of one placement: `admitted` may go, each of the others has a closed gate.

    `settling` are removals that have not been wanted for long enough.

    `used` are the overrides without which some of `admitted` would have been kept back; `people` approved some of it.
    """

    admitted: BitMap
    removals: BitMap
    approval: BitMap = field(default_factory=BitMap)
    freeze: BitMap = field(default_factory=BitMap)
    window: BitMap = field(default_factory=BitMap)
    settling: list[Unwanted] = field(default_factory=list)
    used: dict[str, BitMap] = field(default_factory=dict)
    people: list[str] = field(default_factory=list)

    @property
    def unsettled(self) -> BitMap:
        """The clusters of `settling`."""
        return BitMap.union(BitMap(), *(each.clusters for each in self.settling))


def items_of(fleet: Fleet, application: str) -> dict[str, str]:
    """Return an application's content by part, each with its digest: releases, choices, configurations."""
    choices = fleet.choices.get(application, ())
    items = {
        f"release {version}": fleet.releases[application, version].digest
        for version in sorted({choice.version for choice in choices})
        if (application, version) in fleet.releases
    }
    said = "\0".join(f"{choice.expression}\0{choice.version}" for choice in choices)
    items["choices"] = hashlib.sha256(said.encode()).hexdigest()
    for layer in fleet.layers(application).configurations:
        items[f"configuration {layer.name}"] = hashlib.sha256(encode(layer)).hexdigest()
    return items


def parts_of(fleet: Fleet, application: str) -> dict[str, BitMap]:
    """Return the clusters that each part of an application's content reaches now: its releases, its configurations."""
    found: dict[str, BitMap] = {}
    for version, clusters in fleet.chosen(application):
        name = f"release {version}"
        found[name] = found.get(name, BitMap()) | clusters
    layers = fleet.layers(application)
    for layer, clusters in zip(layers.configurations, layers.covered, strict=True):
        found[f"configuration {layer.name}"] = clusters
    return found


class Gating:
    """The gates of the whole model at one instant."""

    def __init__(self, model: Model, now: datetime) -> None:
        self.model = model
        self.now = now
        self.instant: Instant = model.gates.at(now)
        self.first = model.fleet.selection.everything - model.trees.registered

    def of(self, placement: Placement) -> Passing:
        """Return what may be admitted of one placement's pending changes."""
        pending = placement.pending
        among = ordinals(pending)
        removals = bitmap(among[placement.target_release.values[among] == 0])
        answer = Passing(pending, removals)
        immediate = removals & self.forbidden_at_once(placement.application)
        free = pending - immediate
        if not free:
            return answer
        settling = placement.settling(self.now, self.model.timing.settle)
        answer.settling = [each._replace(clusters=left) for each in settling if (left := each.clusters & free)]
        unsettled = answer.unsettled
        self._approval(placement, removals, answer)
        if self.model.fleet.policy.empty:
            answer.admitted = pending - answer.approval - unsettled
            return answer
        freeze = self.instant.closed_by_freeze(placement.application, first=self.first)
        window = self.instant.closed_by_window(placement.application, first=self.first)
        answer.freeze, answer.window = freeze.clusters & free, window.clusters & free
        answer.admitted = pending - answer.approval - answer.freeze - answer.window - unsettled
        for closed in (freeze, window):
            for override, clusters in closed.used.items():
                through = clusters & answer.admitted & free
                if through:
                    answer.used[override] = answer.used.get(override, BitMap()) | through
        return answer

    def forbidden_at_once(self, application: str) -> BitMap:
        """Return where law whose enforcement is immediate forbids an application now."""
        fleet = self.model.fleet
        answer = BitMap()
        for name, law in fleet.policy.laws.items():
            if law.enforcement == "immediate" and application in law.applications and in_force(law, self.now):
                answer |= fleet.bound("law", name)
                for withheld in fleet.policy.withheld.values():
                    answer |= withheld.laws.get(name, BitMap())
        return answer

    def _approval(self, placement: Placement, removals: BitMap, answer: Passing) -> None:
        """Keep back what nobody approved: changes of content; what facts or law take away is nobody's content."""
        fleet, application = self.model.fleet, placement.application
        if application not in fleet.applications or fleet.signoff_of(application, placement.namespace) is None:
            return
        content = content_digest(items_of(fleet, application))
        clusters, people = covered(fleet.policy, application, content, parts_of(fleet, application))
        taken = removals - (fleet.placed(application) - fleet.forbidden(application, self.now))
        answer.approval = placement.pending - clusters - taken
        if (placement.pending - answer.approval) & clusters:
            answer.people = people

    def everywhere_closed(self) -> BitMap:
        """Return where what belongs to no application may not change, such as a cluster's registration."""
        if self.model.fleet.policy.empty:
            return BitMap()
        freeze = self.instant.closed_by_freeze("", first=self.first)
        return freeze.clusters | self.instant.closed_by_window("", first=self.first).clusters

    def namespace_closed(self, namespace: str) -> BitMap:
        """Return where what the applications of a namespace share may not change."""
        closed = self.everywhere_closed()
        if not self.model.fleet.policy.empty:
            for application in self.model.fleet.applications_of(namespace):
                closed = closed | self.instant.closed_by_freeze(application, first=self.first).clusters
                closed = closed | self.instant.closed_by_window(application, first=self.first).clusters
        return closed
