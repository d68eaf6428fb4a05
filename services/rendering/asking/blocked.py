"""What waits, for what, until when: the closed gates between target and admitted, with counts.

The one rule: a placement is counted under every gate that keeps it back, so that opening one of them is seen to be not
enough.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from pyroaring import BitMap

from libs.fleet import bitmap, held, ordinals
from services.rendering.deciding.gating import Gating
from services.rendering.target.inputs import distinct
from services.rendering.target.placements import split_key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from libs.gates import Explained
    from services.rendering.domain.fuse import Hold
    from services.rendering.model import Model

EXAMPLES_MAX = 5


@dataclass(slots=True)
class Waiting:
    """Placements of one application that wait for one gate, for one reason."""

    gate: str
    by: str
    application: str
    until: datetime | None
    reason: str
    clusters: BitMap = field(default_factory=BitMap)

    def shown(self, model: Model) -> dict[str, Any]:
        """Return it as it is answered."""
        name = model.fleet.selection.name
        return {
            "gate": self.gate,
            "by": self.by,
            "application": self.application,
            "count": len(self.clusters),
            "until": None if self.until is None else self.until.isoformat(),
            "reason": self.reason,
            "examples": [name(ordinal) for ordinal in islice(self.clusters, EXAMPLES_MAX)],
        }


def blocked(
    model: Model, hold: Hold | None, now: datetime, where: BitMap | None, application: str | None
) -> list[dict[str, Any]]:
    """Return what waits, by gate and application; `where` and `application` narrow it."""
    gating = Gating(model, now)
    found: list[Waiting] = []
    for key, placement in sorted(model.placements.by_key.items()):
        if application in {None, placement.application}:
            found += _of(gating, hold, key, where)
    return [each.shown(model) for each in found]


def _of(gating: Gating, hold: Hold | None, key: str, where: BitMap | None) -> Iterator[Waiting]:
    model = gating.model
    placement, owner = model.placements.by_key[key], split_key(key)[1]
    for refusal, clusters in sorted(model.placements.refusals.items(), key=lambda each: (each[0].code, each[0].detail)):
        if refusal.key == key and (there := _within(clusters, where)):
            yield Waiting("refused", refusal.code, owner, None, refusal.detail, there)
    if hold is not None and (there := _within(hold.applications.get(key, BitMap()), where)):
        yield Waiting("fuse", f"plan {hold.plan}", owner, None, f"`resedge confirm {hold.plan}` lets it go", there)
    if not placement.pending:
        return
    passing = gating.of(placement)
    for each in passing.settling:
        if there := _within(each.clusters, where):
            until = each.since + model.timing.settle
            yield Waiting("settled", "removal", owner, until, "it must be wanted for a while without a break", there)
    if there := _within(passing.approval, where):
        name = model.fleet.signoff_of(owner, placement.namespace) or ""
        yield Waiting("approval", f"sign-off {name}", owner, None, "nobody has approved this change yet", there)
    for gate, clusters, explain in (
        ("freeze", passing.freeze, gating.instant.explain_freeze),
        ("window", passing.window, gating.instant.explain_window),
    ):
        groups: dict[tuple[str, datetime | None, str], Waiting] = {}
        for alike in _alike(gating, _within(clusters, where)):
            explained = explain(owner, alike.min(), alike.min() in gating.first)
            by = _by(explained)
            waiting = groups.setdefault(
                (by, explained.opens_at, explained.reason),
                Waiting(gate, by, owner, explained.opens_at, explained.reason),
            )
            waiting.clusters |= alike
        yield from groups.values()


def _alike(gating: Gating, clusters: BitMap) -> list[BitMap]:
    """Return the clusters in groups that no calendar, freeze or override can tell apart."""
    if not clusters:
        return []
    fleet = gating.model.fleet
    among, size = ordinals(clusters), gating.model.size
    columns = [fleet.zone_of.values[among], fleet.hours_of.values[among]]
    policy = fleet.policy
    bounds = [fleet.bound("calendar", name) for name, each in policy.calendars.items() if each.clusters is not None]
    bounds += [fleet.bound("freeze", name) for name in policy.freezes]
    bounds += [each.clusters for each in policy.active_overrides(gating.now)]
    bounds += [members for each in policy.withheld.values() for members in (each.clusters, *each.freezes.values())]
    bounds += [gating.first]
    columns += [held(bound, among, size).astype(np.int32) for bound in bounds]
    for each in policy.withheld.values():
        for codes in (each.zones, each.hours):
            before = np.full(size, -1, np.int32)
            before[ordinals(each.clusters)] = codes
            columns.append(before[among])
    _, places = distinct(columns, len(among))
    return [bitmap(among[places == place]) for place in range(int(places.max()) + 1)]


def _by(explained: Explained) -> str:
    """Return what keeps it back: the documents that are cited."""
    return ", ".join(dict.fromkeys(f"{kind} {name}" for _, (kind, name), _ in explained.evidence))


def _within(clusters: BitMap, where: BitMap | None) -> BitMap:
    return clusters if where is None else clusters & where
