"""Waiting changes: the closed gates between target and admitted, with counts, and until when.

A placement is counted under every gate that keeps it back, so that the reader sees that opening one of them is not
enough.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from libs.gates import KEEPING, Waiting
from services.rendering.deciding.gating import Gating
from services.rendering.target.placements import split_key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from pyroaring import BitMap

    from services.rendering.domain.fuse import Hold
    from services.rendering.model import Model

EXAMPLES_MAX = 5
REFUSED_GATE = "refused"
"""The pseudo gate of refusals at rendering."""
LISTED = sorted(KEEPING, key=lambda gate: gate.blocked_rank)


def blocked(
    model: Model, hold: Hold | None, now: datetime, where: BitMap | None, application: str | None
) -> list[dict[str, Any]]:
    """Return the waiting changes, by gate and application; `where` and `application` narrow them."""
    gating = Gating(model, now, hold)
    return [
        _shown(model, gate, owner, waiting)
        for key in sorted(model.placements.by_key)
        if application in {None, owner := split_key(key)[1]}
        for gate, waiting in _of(gating, key, where)
    ]


def _of(gating: Gating, key: str, where: BitMap | None) -> Iterator[tuple[str, Waiting]]:
    """Yield each gate's name and the changes that wait for it: refusals first."""
    placements = gating.model.placements
    for refusal, clusters in sorted(placements.refusals.items(), key=lambda each: (each[0].code, each[0].detail)):
        if refusal.key == key and (there := _within(clusters, where)):
            yield REFUSED_GATE, Waiting(refusal.code, None, refusal.detail, there)
    change = gating.change(placements.by_key[key])
    for gate in LISTED:
        if there := _within(gate.keeps_back(change).clusters, where):
            for waiting in gate.waiting(change, there):
                yield gate.name, waiting


def _shown(model: Model, gate: str, application: str, waiting: Waiting) -> dict[str, Any]:
    name = model.fleet.selection.name
    return {
        "gate": gate,
        "by": waiting.by,
        "application": application,
        "count": len(waiting.clusters),
        "until": None if waiting.until is None else waiting.until.isoformat(),
        "reason": waiting.reason,
        "examples": [name(ordinal) for ordinal in islice(waiting.clusters, EXAMPLES_MAX)],
    }


def _within(clusters: BitMap, where: BitMap | None) -> BitMap:
    return clusters if where is None else clusters & where
