"""Conflicts: two applications of a cluster with the same object, which Flux refuses or writes over and over.

Objects are the same if group, kind, namespace and name are. If one of them already has the object on a cluster, it
keeps it and the other is refused; otherwise both are refused.
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
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from services.rendering.model import Model
    from services.rendering.target.placements import Placement

Identity = tuple[str, str, str]
"""Group and kind, namespace (empty for what is cluster-wide), name."""


def refuse_conflicts(model: Model, dirty: Mapping[str, BitMap]) -> None:
    """Refuse placements with objects of another one, on the clusters that were evaluated."""
    for one, other in _meeting(model, dirty):
        try:
            _between(model, one, other, dirty)
        except Exception as error:  # noqa: BLE001 - what would fail every placement is raised again
            for placement in (one, other):
                set_aside(model, placement, dirty.get(placement.key, BitMap()), error, "conflicts")


def _meeting(model: Model, dirty: Mapping[str, BitMap]) -> list[tuple[Placement, Placement]]:
    """Return the pairs, one of them evaluated, whose releases that were ever a target share an object."""
    by_key, known = model.placements.by_key, model.sharing
    # What a release holds never changes, and a version that was a target once stays in the list of those.
    rests_on: tuple[int | str, ...] = (len(model.placements.versions.names), *by_key)
    pairs = known.get(rests_on)
    if pairs is None:
        pairs, whole = _sharing(model, dirty)
        known.clear()
        if whole:
            known[rests_on] = pairs
    return [(by_key[one], by_key[other]) for one, other in pairs if dirty.get(one) or dirty.get(other)]


def _sharing(model: Model, dirty: Mapping[str, BitMap]) -> tuple[list[tuple[str, str]], bool]:
    """Return the keys of all pairs of placements that share an object, and whether every release could be read."""
    holders: dict[Identity, dict[str, str]] = {}
    whole = True
    for key, placement in sorted(model.placements.by_key.items()):
        try:
            for version in model.placements.used_versions(placement.application):
                for identity in _identities(model, placement.application, version):
                    holders.setdefault(identity, {})[key] = placement.application
        except Exception as error:  # noqa: BLE001 - what would fail every placement is raised again
            set_aside(model, placement, dirty.get(key, BitMap()), error, "conflicts")
            whole = False
    found = {
        (one, other) for held in holders.values() for one, other in combinations(held, 2) if held[one] != held[other]
    }
    return sorted(found), whole


def _between(model: Model, one: Placement, other: Placement, dirty: Mapping[str, BitMap]) -> None:
    """Refuse what two placements both hold on a cluster."""
    among = ordinals(dirty.get(one.key, BitMap()) | dirty.get(other.key, BitMap()))
    ones, others = (_objects_by_code(model, each, among) for each in (one, other))
    for identity in sorted(set(ones) & set(others)):
        _refuse(model, one, other, identity, (ones[identity], others[identity]), among)


def _identities(model: Model, application: str, version: str) -> list[Identity]:
    objects = model.fleet.releases[application, version].objects
    return [(f"{each.api_version.rpartition('/')[0]}/{each.kind}", each.namespace, each.name) for each in objects]


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
            kind, namespace, name = identity
            what = f"{kind.lstrip('/')} {name}" + (f" in namespace {namespace}" if namespace else "")
            other_one = f"{rival.application} (namespace {rival.namespace})"
            detail = f"{what} belongs to {each.application} and also to {other_one}; rename it in one of them"
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
