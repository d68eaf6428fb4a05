"""Keeps what was admitted where something is refused or set aside.

The one rule: a refusal never removes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from libs.fleet import ordinals
from libs.gates.refusals import SET_ASIDE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from pyroaring import BitMap

    from services.rendering.model import Model
    from services.rendering.target.placements import Placement


def keep_admitted(placement: Placement, clusters: BitMap) -> None:
    """Where a refusal applies, the admitted release stays the target."""
    among = ordinals(clusters)
    placement.target_release.values[among] = placement.release.values[among]
    placement.target_variant.values[among] = placement.variant.values[among]


def set_aside(model: Model, placement: Placement, clusters: BitMap, error: Exception, stage: str) -> None:
    """Keep a placement as admitted on some clusters, with a reason that replaces earlier refusals there."""
    reason = model.aside.tell(placement.key, error, stage)
    model.aside.begin(model.at)
    keep_admitted(placement, clusters)
    placement.pending = placement.pending - clusters
    model.placements.refuse(placement.key, clusters, {(SET_ASIDE, reason): clusters})


def again(model: Model, now: datetime) -> Mapping[str, BitMap]:
    """Return per placement where something is set aside, if it is time to try that again."""
    found = model.placements.refused(SET_ASIDE)
    model.aside.keep(found)
    if not found:
        model.aside.tried_at = None
    return found if found and model.aside.due(now) else {}
