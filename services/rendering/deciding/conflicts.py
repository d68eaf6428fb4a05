"""Conflicts: two applications of a namespace with the same object, which Flux would refuse with the whole namespace.

The one rule: if one of them already has the object on a cluster, it keeps it and the other is refused; otherwise both
are refused.
"""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from pyroaring import BitMap

from libs.fleet import bitmap, ordinals
from libs.gates.refusals import OBJECT_CONFLICT
from services.rendering.deciding.keeping import set_aside
from services.rendering.target.placements import RefusalKey

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from services.rendering.model import Model
    from services.rendering.target.placements import Placement

Identity = tuple[str, str]


def refuse_conflicts(model: Model, dirty: Mapping[str, BitMap]) -> None:
    """Refuse placements with objects of another one, on the clusters that were evaluated."""
    for namespace in sorted({key.split("/", 1)[0] for key, clusters in dirty.items() if clusters}):
        inside = model.placements.of_namespace(namespace)
        try:
            _within(model, inside, dirty)
        except Exception as error:  # noqa: BLE001 - what would fail every namespace is raised again
            for placement in inside:
                set_aside(model, placement, dirty.get(placement.key, BitMap()), error, "conflicts")


def _within(model: Model, inside: Sequence[Placement], dirty: Mapping[str, BitMap]) -> None:
    """Refuse conflicts within one namespace."""
    if not _may_meet(model, inside):
        return
    clusters = BitMap.union(BitMap(), *(dirty[each.key] for each in inside if each.key in dirty))
    among = ordinals(clusters)
    holding = [_objects_by_code(model, each, among) for each in inside]
    for (one, ones), (other, others) in combinations(zip(inside, holding, strict=True), 2):
        for identity in sorted(set(ones) & set(others)):
            _refuse(model, one, other, identity, (ones[identity], others[identity]), among)


def _may_meet(model: Model, inside: Sequence[Placement]) -> bool:
    """Whether any release that was ever a target here has an object of another application."""
    owner: dict[Identity, str] = {}
    for placement in inside:
        for version in model.placements.used_versions(placement.application):
            for identity in _identities(model, placement.application, version):
                if owner.setdefault(identity, placement.application) != placement.application:
                    return True
    return False


def _identities(model: Model, application: str, version: str) -> list[Identity]:
    objects = model.fleet.releases[application, version].objects
    return [(f"{each.api_version.rpartition('/')[0]}/{each.kind}", each.name) for each in objects]


def _objects_by_code(model: Model, placement: Placement, among: NDArray[np.int64]) -> dict[Identity, set[int]]:
    """Return for each object the codes of the releases in use that hold it."""
    codes = np.union1d(placement.release.values[among], placement.target_release.values[among])
    found: dict[Identity, set[int]] = {}
    for code in codes.tolist():
        if code:
            application, version = model.placements.versions.names[code].split("/", 1)
            for identity in _identities(model, application, version):
                found.setdefault(identity, set()).add(code)
    return found


def _refuse(
    model: Model,
    one: Placement,
    other: Placement,
    identity: Identity,
    codes: tuple[set[int], set[int]],
    among: NDArray[np.int64],
) -> None:
    meet = _effective(one, codes[0], among) & _effective(other, codes[1], among)
    if not meet.any():
        return
    where = among[meet]
    for each, rival, own in ((one, other, codes[0]), (other, one, codes[1])):
        keeps = np.isin(each.release.values[where], list(own))
        refused = bitmap(where[~keeps])
        if refused:
            kind, name = identity
            detail = (
                f"{kind.lstrip('/')} {name} of {each.application} is held by {rival.application} too, "
                f"in namespace {each.namespace}"
            )
            _hold_back(model, each, refused, detail)


def _effective(placement: Placement, codes: set[int], among: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether the object exists after the next step: pending removals still count, as they may be held back."""
    target = placement.target_release.values[among]
    after = np.where(target == 0, placement.release.values[among], target)
    return np.isin(after, list(codes))


def _hold_back(model: Model, placement: Placement, clusters: BitMap, detail: str) -> None:
    among = ordinals(clusters)
    placement.target_release.values[among] = placement.release.values[among]
    placement.target_variant.values[among] = placement.variant.values[among]
    placement.pending -= clusters
    name = RefusalKey(placement.key, OBJECT_CONFLICT, detail)
    model.placements.refusals[name] = model.placements.refusals.get(name, BitMap()) | clusters
