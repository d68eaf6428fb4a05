"""Which directories are removed, and which clusters get another layout.

A store must see each step. A deleted cluster's directory stays empty for its grace, so that Flux prunes; a layout
changes one step at a time, where every gate of the cluster is open.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
from pyroaring import BitMap

from libs.contracts.instants import UNIX_EPOCH
from libs.fleet import bitmap, is_member, ordinals
from libs.fleet.parts import microseconds
from services.rendering.events import LayoutChosen
from services.rendering.writing.layout import LAYOUTS, NEWEST, OLDEST, for_new_clusters

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from services.rendering.deciding.gating import Gating
    from services.rendering.model import Model


def leaving(model: Model, going: Mapping[str, BitMap], now: datetime) -> tuple[BitMap, datetime | None]:
    """Return the deleted clusters whose directories may be removed, and when the next grace ends.

    After the `going` removals (by placement) nothing may stay admitted there, and the grace must be over.
    """
    retired = model.trees.registered - model.fleet.selection.everything
    next_end: datetime | None = None
    if not retired:
        return retired, next_end
    among = ordinals(retired)
    stays = np.zeros(len(among), np.bool_)
    goes_now = np.zeros(len(among), np.bool_)
    for key, placement in model.placements.by_key.items():
        goes = is_member(going.get(key, BitMap()), among, model.size)
        stays |= (placement.release.values[among] != 0) & ~goes
        goes_now |= goes
    ended = is_member(grace_ended(model, retired), among, model.size)
    if model.timing.grace:
        since = emptied_at(model, among)
        over = since + round(model.timing.grace.total_seconds() * 1e6)
        due = over <= microseconds(now)
        waiting = over[~stays & ~ended & ~due & ~goes_now]
        if len(waiting):
            next_end = UNIX_EPOCH + timedelta(microseconds=int(waiting.min()))
        ended |= due & ~goes_now
    else:
        ended[:] = True
    return bitmap(among[~stays & ended]), next_end


def grace_ended(model: Model, retired: BitMap) -> BitMap:
    """Return the deleted clusters whose directories somebody asked to remove, after their deletion."""
    among = ordinals(retired)
    said = model.trees.grace_ended.values[among] > model.fleet.declared_position.values[among]
    return bitmap(among[said])


def emptied_at(model: Model, among: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return since when each deleted cluster has had nothing admitted, in microseconds since 1970.

    That is its deletion, or the last removal from it where that came later.
    """
    since = model.fleet.declared_at.values[among].copy()
    admissions = model.placements.admissions
    for placement in model.placements.by_key.values():
        numbers = placement.admission.values[among]
        used, places = np.unique(numbers, return_inverse=True)
        times = [microseconds(admissions[number - 1].at) if number else 0 for number in used.tolist()]
        since = np.maximum(since, np.array(times, np.int64)[places])
    return since


def opening(model: Model) -> LayoutChosen | None:
    """Return the first layout of a branch: the newest, unless something was admitted before layouts existed."""
    if model.layout or model.placements.admissions:
        return None
    return LayoutChosen(model.branch, NEWEST.code, "a new branch begins with the newest layout")


def lay_out(model: Model, coming: BitMap, gating: Gating) -> dict[int, BitMap]:
    """Return the clusters that get a layout, by code: new clusters, and those that may make the next step."""
    found: dict[int, BitMap] = {}
    begins = for_new_clusters(model.layout)
    if coming and begins is not OLDEST:
        found[begins.code] = coming
    behind = layout_behind(model)
    if not behind:
        return found
    may_move = behind - cluster_closed(model, gating)
    among = ordinals(may_move)
    codes = model.trees.layout.values[among]
    for code in np.unique(codes).tolist():
        step = LAYOUTS[code + 1].code
        found[step] = found.get(step, BitMap()) | bitmap(among[codes == code])
    return found


def layout_behind(model: Model) -> BitMap:
    """Return the clusters whose layout is not the one that was chosen."""
    if model.layout <= OLDEST.code:
        return BitMap()
    among = ordinals(model.trees.registered & model.fleet.selection.everything)
    codes = model.trees.layout.values[among]
    return bitmap(among[(codes < model.layout) & (codes != NEWEST.code)])


def cluster_closed(model: Model, gating: Gating) -> BitMap:
    """Return the clusters on which some gate keeps back a change of all their namespaces."""
    closed = gating.everywhere_closed()
    for namespace, tree in model.trees.namespaces.items():
        there = bitmap(np.flatnonzero(tree.present.values).astype(np.int64))
        closed = closed | (gating.namespace_closed(namespace) & there)
    return closed


def layouts_now(model: Model) -> dict[int, int]:
    """Return how many live clusters have each layout, by its code."""
    among = ordinals(model.trees.registered & model.fleet.selection.everything)
    codes, counts = np.unique(model.trees.layout.values[among], return_counts=True)
    return dict(zip(codes.tolist(), counts.tolist(), strict=True))


def moved_at(model: Model) -> datetime | None:
    """Return when the last cluster got its present layout, if any was moved."""
    among = ordinals(model.trees.registered & model.fleet.selection.everything)
    last = int(model.trees.layout_at.values[among].max(initial=0))
    return UNIX_EPOCH + timedelta(microseconds=last) if last else None
