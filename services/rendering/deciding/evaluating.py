"""Brings targets and refusals up to date with the facts: which clusters are evaluated again, and the result there.

Each placement is evaluated by itself; one that fails is set aside, and the others continue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyroaring import BitMap

from libs.fleet import bitmap, ordinals
from libs.gates.refusals import CAPACITY, OBJECT_CONFLICT, SET_ASIDE
from services.rendering.deciding.conflicts import refuse_conflicts
from services.rendering.deciding.keeping import again, keep_admitted, set_aside
from services.rendering.target.aside import isolates
from services.rendering.target.placements import Placement, placement_key
from services.rendering.target.target import fall_back, over_capacity, template_of, wanted
from services.rendering.turns import pause

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from libs.fleet import Touched
    from services.rendering.model import Model

_PREVIOUS = "previous"


async def evaluate_touched(model: Model, now: datetime) -> None:
    """Bring targets and refusals up to date with the facts and the law at `now`, on the affected clusters."""
    touched = model.fleet.take_touched()
    try:
        touched.whole |= _law_changed(model, now)
        dirty = _dirty(model, touched, again(model, now))
        among = ordinals(BitMap.union(BitMap(), *dirty.values()))
        crowded = over_capacity(model.fleet, _admitted(model), among) if model.fleet.capacity and len(among) else {}
        for key, clusters in sorted(dirty.items()):
            if clusters:
                _evaluate_apart(model, model.placements.at(key), clusters, crowded, now)
                _note_authors(model, key)
                await pause()
        refuse_conflicts(model, dirty)
    except BaseException:  # for example if the log does not answer: the affected clusters are evaluated again
        named = {each.application for each in model.placements.by_key.values()}
        model.fleet.touched.whole |= named | set(model.fleet.applications)
        raise
    for placement in model.placements.by_key.values():
        if placement.pending or placement.unwanted:
            placement.note_removals(model.at, model.evaluated)
    model.evaluated = model.position
    model.reasons.fresh.clear()


def _note_authors(model: Model, key: str) -> None:
    """Remember the authors of the facts behind waiting changes of a placement, while any of it waits."""
    aside = any(each.key == key and each.code == SET_ASIDE for each in model.placements.refusals)
    if model.placements.by_key[key].pending or aside:
        model.behind.setdefault(key, set()).update(model.reasons.fresh)
    else:
        model.behind.pop(key, None)


def _dirty(model: Model, touched: Touched, aside: Mapping[str, BitMap]) -> dict[str, BitMap]:
    """Return per placement the clusters on which its target may have changed, or must be tried again."""
    everywhere = BitMap()
    everywhere.add_range(0, model.size)
    refused = model.placements.refused() if touched.whole else {}
    recheck = {**model.placements.refused(CAPACITY)}
    for more in (model.placements.refused(OBJECT_CONFLICT), aside):
        for key, clusters in more.items():
            recheck[key] = recheck.get(key, BitMap()) | clusters
    answer: dict[str, BitMap] = {}
    for name, application in model.fleet.applications.items():
        key = placement_key(application.namespace, name)
        if key not in model.placements.by_key and name not in model.fleet.choices:
            continue  # It never had a target, so nothing can differ.
        clusters = touched.clusters | touched.applications.get(name, BitMap()) | recheck.get(key, BitMap())
        if name in touched.whole:
            clusters |= _concerned(model, name, key) | refused.get(key, BitMap())
        for label in _labels(model, name, touched.labels) if touched.labels else ():
            clusters |= touched.labels.get(label, BitMap())
        answer[key] = clusters
    for key, placement in model.placements.by_key.items():
        declared = model.fleet.applications.get(placement.application)
        gone = declared is None or declared.namespace != placement.namespace
        if gone and (placement.application in touched.whole or touched.clusters):
            answer[key] = everywhere
        elif gone and key in recheck:
            answer[key] = recheck[key]
    return answer


def _concerned(model: Model, application: str, key: str) -> BitMap:
    """Return where an application is or should be: its declarations do not matter elsewhere."""
    placement = model.placements.by_key.get(key)
    placed = model.fleet.placed(application)
    return placed if placement is None else placed | placement.present()


def _labels(model: Model, application: str, touched: Mapping[str, BitMap]) -> set[str]:
    """Return the label keys that an application's releases in force read; all, if that is unknown."""
    found: set[str] = set()
    for version in {choice.version for choice in model.fleet.choices.get(application, ())}:
        release = model.fleet.releases.get((application, version))
        try:
            inputs = () if release is None else template_of(model.fleet, release).inputs
        except Exception as error:
            if not isolates(error):
                raise
            return set(touched)
        found |= {each.key for each in inputs if each.source == "labels"}
    return found


class _admitted:  # noqa: N801 - reads as a question
    """Answers whether a namespace has something admitted on a cluster."""

    def __init__(self, model: Model) -> None:
        self._namespaces = model.trees.namespaces

    def __call__(self, namespace: str, ordinal: int) -> bool:
        tree = self._namespaces.get(namespace)
        return tree is not None and bool(tree.present.values[ordinal])


def _law_changed(model: Model, now: datetime) -> set[str]:
    """Return the applications with a law that began or ended since the last evaluation."""
    laws = model.fleet.policy.every_law
    in_force_now = set(model.fleet.policy.laws_in_force(now))
    changed = in_force_now ^ model.laws_in_force
    model.laws_in_force = in_force_now
    return {application for name in changed if name in laws for application in laws[name].applications}


def _evaluate_apart(
    model: Model, placement: Placement, clusters: BitMap, crowded: dict[str, tuple[str, BitMap]], now: datetime
) -> None:
    """Evaluate a placement; if that fails it is set aside, and the others continue."""
    try:
        _evaluate(model, placement, clusters, crowded, now)
    except Exception as error:  # noqa: BLE001 - what would fail every placement is raised again
        set_aside(model, placement, clusters, error, "evaluate")


def _evaluate(
    model: Model, placement: Placement, clusters: BitMap, crowded: dict[str, tuple[str, BitMap]], now: datetime
) -> None:
    among = ordinals(clusters)
    release, variant = placement.target_release.values, placement.target_variant.values
    release[among] = 0
    variant[among] = 0
    refused: dict[tuple[str, str], BitMap] = {}
    fallen: dict[str, BitMap] = {}
    declared = model.fleet.applications.get(placement.application)
    if declared is not None and declared.namespace == placement.namespace:
        found = wanted(model.fleet, model.inputs, placement.application, among, now, isolating=True)
        for version, error in found.failed.items():
            model.aside.begin(model.at)
            model.aside.tell(f"{placement.key}@{version}", error, "evaluate")
        if declared.fallback == _PREVIOUS and found.refused:
            fallen = fall_back(model.fleet, model.inputs, placement.application, now, found)
        for part in found.parts:
            release[part.among] = model.placements.version_code(part.release)
            variant[part.among] = part.variants
        refused = dict(found.refused)
        if placement.namespace in crowded:
            resource, full = crowded[placement.namespace]
            chosen = BitMap.union(BitMap(), *(members for _, members in found.chosen))
            if chosen & full:
                detail = f"the cluster does not have enough {resource} left for namespace {placement.namespace}"
                refused[CAPACITY, detail] = chosen & full
    rest = {version: left for version, known in placement.fallbacks.items() if (left := known - clusters)}
    for version, given in fallen.items():
        rest[version] = rest.get(version, BitMap()) | given
    placement.fallbacks = rest
    full = refused_by(refused, CAPACITY)
    keep_admitted(
        placement, (BitMap.union(BitMap(), *refused.values()) - BitMap.union(BitMap(), *fallen.values())) | full
    )
    model.placements.refuse(placement.key, clusters, refused)
    note_pending(placement, clusters)


def refused_by(refused: Mapping[tuple[str, str], BitMap], code: str) -> BitMap:
    """Return the clusters that are refused for a reason of this code."""
    return BitMap.union(BitMap(), *(clusters for (name, _), clusters in refused.items() if name == code))


def note_pending(placement: Placement, clusters: BitMap) -> None:
    """Record where target and admitted differ now."""
    among = ordinals(clusters)
    placement.pending = (placement.pending - clusters) | bitmap(among[placement.differs(among)])
