"""A plan: which differences between target and admitted may be closed now, and which removals are held back.

The one rule: planning changes the targets, the refusals and nothing else; only the log's answer makes it a decision.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from pyroaring import BitMap

from libs.fleet import bitmap, held, ordinals
from services.rendering.conflicts import refuse_conflicts
from services.rendering.domain import Hold, fuse_trips, plan_id
from services.rendering.placements import Placement, placement_key
from services.rendering.target import over_capacity, template_of, wanted
from services.rendering.turns import pause

if TYPE_CHECKING:
    from datetime import datetime

    from libs.fleet import Touched
    from services.rendering.model import Model

CAPACITY = "capacity-exceeded"


@dataclass(slots=True)
class Plan:
    """What may be admitted now (`applications`, by placement key; `namespaces`; `clusters`), and what is held."""

    applications: dict[str, BitMap] = field(default_factory=dict)
    namespaces: dict[str, BitMap] = field(default_factory=dict)
    clusters: BitMap = field(default_factory=BitMap)
    removals: int = 0
    confirmed: list[str] = field(default_factory=list)
    hold: Hold | None = None

    @property
    def empty(self) -> bool:
        """Whether there is nothing to admit."""
        return not (self.applications or self.namespaces or self.clusters)

    @property
    def placements(self) -> int:
        """How many placements change."""
        return sum(map(len, self.applications.values()))

    def digest(self, parent: str, position: int) -> str:
        """Return what names the decision: everything in it."""
        content = (
            f"{parent}\0{position}\0{plan_id(self.applications, self.clusters)}\0{plan_id(self.namespaces, BitMap())}"
        )
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def subject(self) -> str:
        """Return the first line of the commit."""
        applications = sorted({key.split("/", 1)[1] for key in self.applications})
        where = BitMap.union(*self.applications.values(), self.clusters, *self.namespaces.values())
        what = applications[0] if len(applications) == 1 else f"{len(applications)} applications"
        on = f"{len(where):,} cluster{'s' if len(where) != 1 else ''}"
        if not applications:
            return f"Update {'namespaces' if self.namespaces else 'the registration'} of {on}"
        if self.removals == self.placements:
            return f"Remove {what} from {on}"
        removed = f", {self.removals:,} removals among them" if self.removals else ""
        return f"Update {what} on {on}{removed}"


async def plan(model: Model, now: datetime) -> Plan:
    """Bring the targets up to date and return what may be admitted at `now`."""
    await evaluate(model)
    return _close(model, now)


async def evaluate(model: Model) -> None:
    """Bring targets and refusals up to date with the facts, on the clusters that they touched."""
    touched = model.fleet.take_touched()
    model.placements.size = model.size
    dirty = _dirty(model, touched)
    among = ordinals(BitMap.union(BitMap(), *dirty.values()))
    crowded = over_capacity(model.fleet, _admitted(model), among) if model.fleet.capacity and len(among) else {}
    for key, clusters in sorted(dirty.items()):
        if clusters:
            _evaluate(model, model.placements.at(key), clusters, crowded)
            await pause()
    refuse_conflicts(model, dirty)


def _dirty(model: Model, touched: Touched) -> dict[str, BitMap]:
    """Return per placement the clusters on which its target may have changed."""
    everywhere = BitMap()
    everywhere.add_range(0, model.size)
    recheck = {**model.placements.refused(CAPACITY)}
    for key, clusters in model.placements.refused("object-conflict").items():
        recheck[key] = recheck.get(key, BitMap()) | clusters
    crowding = any(namespace in touched.namespaces for namespace in model.fleet.namespaces) and model.fleet.capacity
    answer: dict[str, BitMap] = {}
    for name, application in model.fleet.applications.items():
        key = placement_key(application.namespace, name)
        if key not in model.placements.by_key and name not in model.fleet.choices:
            continue  # Nothing was ever to run, so nothing can differ.
        if name in touched.whole or crowding:
            answer[key] = everywhere
            continue
        clusters = touched.clusters | touched.applications.get(name, BitMap()) | recheck.get(key, BitMap())
        for label in _labels(model, name) if touched.labels else ():
            clusters |= touched.labels.get(label, BitMap())
        answer[key] = clusters
    for key, placement in model.placements.by_key.items():
        declared = model.fleet.applications.get(placement.application)
        gone = declared is None or declared.namespace != placement.namespace
        if gone and (placement.application in touched.whole or touched.clusters):
            answer[key] = everywhere
    return answer


def _labels(model: Model, application: str) -> set[str]:
    """Return the label keys that the releases in force of an application read."""
    found: set[str] = set()
    for version in {choice.version for choice in model.fleet.choices.get(application, ())}:
        release = model.fleet.releases.get((application, version))
        if release is not None:
            found |= {each.key for each in template_of(model.fleet, release).inputs if each.source == "labels"}
    return found


class _admitted:  # noqa: N801 - reads as a question
    """Answers whether a namespace has something admitted on a cluster."""

    def __init__(self, model: Model) -> None:
        self._trees = model.trees
        self._size = model.size

    def __call__(self, namespace: str, ordinal: int) -> bool:
        return namespace in self._trees.namespaces and bool(
            self._trees.at(namespace, self._size).present.values[ordinal]
        )


def _evaluate(model: Model, placement: Placement, clusters: BitMap, crowded: dict[str, tuple[str, BitMap]]) -> None:
    among = ordinals(clusters)
    release, variant = placement.target_release.values, placement.target_variant.values
    release[among] = 0
    variant[among] = 0
    refused: dict[tuple[str, str], BitMap] = {}
    declared = model.fleet.applications.get(placement.application)
    if declared is not None and declared.namespace == placement.namespace:
        found = wanted(model.fleet, model.inputs, placement.application, among)
        for part in found.parts:
            release[part.among] = model.version_code(part)
            variant[part.among] = part.variants
        refused = dict(found.refused)
        if placement.namespace in crowded:
            resource, full = crowded[placement.namespace]
            chosen = BitMap.union(BitMap(), *(members for _, members in found.chosen))
            if chosen & full:
                detail = f"the cluster has not enough {resource} left for namespace {placement.namespace}"
                refused[CAPACITY, detail] = chosen & full
    keep_admitted(placement, BitMap.union(BitMap(), *refused.values()))
    model.placements.refuse(placement.key, clusters, refused)
    note_pending(placement, clusters)


def keep_admitted(placement: Placement, clusters: BitMap) -> None:
    """A refusal never removes: where it holds, what was admitted stays the target."""
    among = ordinals(clusters)
    placement.target_release.values[among] = placement.release.values[among]
    placement.target_variant.values[among] = placement.variant.values[among]


def note_pending(placement: Placement, clusters: BitMap) -> None:
    """Note where target and admitted differ now."""
    among = ordinals(clusters)
    placement.pending = (placement.pending - clusters) | bitmap(among[placement.differs(among)])


def _close(model: Model, now: datetime) -> Plan:
    answer = Plan()
    removals: dict[str, BitMap] = {}
    for key, placement in sorted(model.placements.by_key.items()):
        placement.reach(model.size)
        if placement.pending:
            among = ordinals(placement.pending)
            gone = bitmap(among[placement.target_release.values[among] == 0])
            if gone:
                removals[key] = gone
            if placement.pending - gone:
                answer.applications[key] = placement.pending - gone
    _fuse(model, removals, now, answer)
    live = model.fleet.selection.everything
    answer.clusters = (live - model.trees.registered) | _leaving(model, answer)
    _contents(model, answer)
    return answer


def _fuse(model: Model, removals: dict[str, BitMap], now: datetime, answer: Plan) -> None:
    leaving = model.trees.registered - model.fleet.selection.everything
    count = sum(map(len, removals.values()))
    admitted = model.placements.admitted_count() if count else 0
    recent = model.recent_removals(now)
    plan_name = plan_id(removals, leaving)
    confirmed = plan_name in model.confirmed
    if not confirmed and fuse_trips(count, recent, admitted):
        cause = "; ".join(model.reasons.lines()) or "facts of an earlier time"
        answer.hold = Hold(plan_name, removals, leaving, count, admitted, recent, cause)
        return
    answer.confirmed = [plan_name] if confirmed and count else []
    answer.removals = count
    for key, gone in removals.items():
        answer.applications[key] = answer.applications.get(key, BitMap()) | gone


def _leaving(model: Model, answer: Plan) -> BitMap:
    """Return the clusters that are gone and on which nothing stays admitted."""
    leaving = model.trees.registered - model.fleet.selection.everything
    if not leaving:
        return leaving
    among = ordinals(leaving)
    stays = np.zeros(len(among), np.bool_)
    for key, placement in model.placements.by_key.items():
        goes = held(answer.applications.get(key, BitMap()), among, model.size)
        stays |= (placement.release.values[among] != 0) & ~goes
    return bitmap(among[~stays])


def _contents(model: Model, answer: Plan) -> None:
    """Find where `namespace.yaml` is new or other than it should be."""
    for namespace in sorted({placement.namespace for placement in model.placements.by_key.values()}):
        code = model.namespace_content(namespace)
        if code is None:
            continue
        content = model.trees.at(namespace, model.size).content.values
        there = BitMap()
        for placement in model.placements.of_namespace(namespace):
            changed = answer.applications.get(placement.key, BitMap())
            among = ordinals(changed)
            there |= bitmap(among[placement.target_release.values[among] != 0])
        among = ordinals(there)
        stale = np.flatnonzero((content[: model.size] != 0) & (content[: model.size] != code)).astype(np.int64)
        found = bitmap(among[content[among] != code]) | bitmap(stale)
        if found:
            answer.namespaces[namespace] = found
