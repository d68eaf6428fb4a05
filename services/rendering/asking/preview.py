"""A release seen before it is chosen: its file on one cluster, and what it would change on many.

The one rule: the target is computed as the planner does it (`services/rendering/target`), with the release given; the
model is only read. Capacity and objects of other applications are checked when the release is chosen.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from pyroaring import BitMap

from libs.fleet import bitmap, ordinals
from services.rendering.asking.blocked import EXAMPLES_MAX
from services.rendering.target.inputs import Inputs
from services.rendering.target.placements import Placement, placement_key
from services.rendering.target.target import wanted
from services.rendering.turns import pause
from services.rendering.writing.families import family_of

if TYPE_CHECKING:
    from datetime import datetime

    from services.rendering.model import Model
    from services.rendering.target.target import Wanted


async def previewed(model: Model, application: str, version: str, on: BitMap, now: datetime) -> dict[str, Any]:
    """Return what a release would change on the clusters of `on`: counts, what runs there now, and refusals.

    `files` has the file, as it would be committed, if `on` is one cluster on which it renders.
    """
    fleet = model.fleet
    placed = on & fleet.placed(application) & fleet.selection.everything
    forbidden = placed & fleet.forbidden(application, now)
    found = wanted(fleet, Inputs(fleet), application, ordinals(placed), now, {version: placed}, isolating=True)
    key = placement_key(fleet.applications[application].namespace, application)
    placement = model.placements.by_key.get(key) or Placement.new(key, fleet.extent)
    rendered = BitMap.union(BitMap(), *(bitmap(part.among) for part in found.parts))
    same = _same(model, placement, found)
    files = await _files(placement, found) if len(on) == 1 else []
    await pause()
    refusals = [
        {"code": code, "detail": detail, "count": len(where), "examples": _examples(model, where)}
        for (code, detail), where in sorted(found.refused.items(), key=lambda each: each[0])
    ]
    if forbidden:
        detail = "a placement policy forbids the application here; see `resedge get placementpolicies`"
        count, examples = len(forbidden), _examples(model, forbidden)
        refusals.append({"code": "forbidden", "detail": detail, "count": count, "examples": examples})
    return {
        "application": application,
        "version": version,
        "selected": len(on),
        "placed": len(placed),
        "changed": len(rendered - same),
        "unchanged": len(same),
        "refused": len(placed - rendered),
        "before": _before(model, placement, rendered - same),
        "refusals": refusals,
        "files": files,
        "position": model.position,
    }


def _examples(model: Model, clusters: BitMap) -> list[str]:
    return [model.fleet.selection.name(ordinal) for ordinal in islice(clusters, EXAMPLES_MAX)]


def _same(model: Model, placement: Placement, found: Wanted) -> BitMap:
    """Return where the release is admitted already, with the same bytes."""
    same = BitMap()
    codes = {name: code for code, name in enumerate(model.placements.versions.names)}
    for part in found.parts:
        # Only looked up: a code that is given is state.
        code = codes.get(f"{part.release.application}/{part.release.version}", -1)
        equal = placement.release.values[part.among] == code
        equal &= (placement.variant.values[part.among] == part.variants).all(axis=1)
        same |= bitmap(part.among[equal])
    return same


def _before(model: Model, placement: Placement, among: BitMap) -> list[dict[str, Any]]:
    """Return which versions are admitted on some clusters, with counts."""
    codes, counts = np.unique(placement.release.values[ordinals(among)], return_counts=True)
    names = model.placements.versions.names
    return [
        {"version": names[code].partition("/")[2] if code else None, "clusters": count}
        for code, count in zip(codes.tolist(), counts.tolist(), strict=True)
    ]


async def _files(placement: Placement, found: Wanted) -> list[dict[str, str]]:
    files = []
    for part in found.parts:
        family, _ = await family_of(part)
        body = family.parts[0]
        for column, after in zip(family.columns, family.parts[1:], strict=True):
            body += column.rows()[0] + after
        files.append({"path": f"{placement.namespace}/{placement.file}", "content": body.decode()})
    return files
