"""How far changes have come: how many placements are admitted, waiting and refused, and for what they wait.

The one rule: each placement is counted once. A refused one is refused even if something earlier runs there; one that
waits for several gates waits once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pyroaring import BitMap

from services.rendering.asking.blocked import REFUSED_GATE, blocked
from services.rendering.target.placements import Placement, placement_key, split_key
from services.rendering.turns import pause

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from services.rendering.domain.fuse import Hold
    from services.rendering.model import Model

WAITING_MAX = 5
"""Gates that are listed; `resedge get blocked` lists all."""


@dataclass(slots=True)
class _Count:
    admitted: int = 0
    waiting: int = 0
    refused: int = 0
    applications: set[str] = field(default_factory=set)

    def plain(self) -> dict[str, int]:
        """Return the counts as JSON has them."""
        return {"admitted": self.admitted, "waiting": self.waiting, "refused": self.refused}


async def outcome(model: Model, hold: Hold | None, now: datetime, asked: Iterable[str] | None) -> dict[str, Any]:
    """Return the counts of all placements, or of those of the applications that were `asked` for.

    `refused_everywhere` names those of `asked` that are chosen somewhere, and refused wherever they are chosen.
    """
    total = _Count()
    everywhere: list[str] = []
    named = None if asked is None else set(asked)
    for key in sorted(model.placements.by_key):
        application = split_key(key)[1]
        if named is not None and application not in named:
            continue
        placement = model.placements.by_key.get(key)
        if placement is None:
            continue
        refused, waiting, admitted = _parted(model, placement)
        total.admitted += len(admitted)
        total.waiting += len(waiting)
        total.refused += len(refused)
        if waiting or refused:
            total.applications.add(application)
        if named is not None and refused and not _running(model, key) - refused:
            everywhere.append(application)
        await pause()
    gates = [
        each for application in sorted(total.applications) for each in blocked(model, hold, now, None, application)
    ]
    return {
        **total.plain(),
        "gates": sorted((each for each in gates if each["gate"] != REFUSED_GATE), key=_first)[:WAITING_MAX],
        "refusals": [each for each in gates if each["gate"] == REFUSED_GATE][:WAITING_MAX],
        "refused_everywhere": everywhere,
    }


def _parted(model: Model, placement: Placement) -> tuple[BitMap, BitMap, BitMap]:
    """Return where a placement is refused, where it waits, and where what it should be is admitted."""
    refused = BitMap.union(
        BitMap(), *(on for refusal, on in model.placements.refusals.items() if refusal.key == placement.key)
    )
    waiting = placement.pending - refused
    return refused, waiting, placement.admitted() - refused - waiting


def _running(model: Model, key: str) -> BitMap:
    """Return where some release of a placement is chosen."""
    namespace, application = split_key(key)
    declared = model.fleet.applications.get(application)
    if declared is None or placement_key(namespace, application) != placement_key(declared.namespace, application):
        return BitMap()
    chosen = BitMap.union(BitMap(), *(on for _, on in model.fleet.chosen(application)))
    return chosen & model.fleet.placed(application)


def _first(waiting: dict[str, Any]) -> tuple[bool, str]:
    """Order by when the gate opens, those without a time last."""
    return waiting["until"] is None, waiting["until"] or ""


def asked_at(model: Model, position: int) -> list[str]:
    """Return the applications whose release choices were declared by the event at a position."""
    return sorted(
        name
        for name in model.fleet.applications
        if (fact := model.fleet.facts.get(("choices", name))) is not None and fact.position == position
    )
