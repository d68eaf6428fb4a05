"""The content of an application's change, and on which clusters approved runs of a sign-off let it through.

An approval is for the effect on each cluster: one variant there. If the variant changes (by content, a label, a zone, a
group), a new approval is needed; an edit that does not change it needs none.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from pyroaring import BitMap

from libs.contracts import encode
from libs.fleet import content_digest, effect_of, unpacked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from libs.fleet import Approval, Effect, Fleet

NO_AUTHOR = ""
"""Who approved where a run was completed without people."""


def covered(fleet: Fleet, application: str, wanted: Effect) -> dict[str, BitMap]:
    """Return who approved what of a change: people, each with the clusters on which a run of theirs covers it.

    On a cluster the newest approved run counts, and covers what is `wanted` there if it is the same variant. A run that
    was recorded without its effect covers its content, where the same parts of it reach the same clusters.
    """
    left, found = wanted.clusters.copy(), dict[str, BitMap]()
    for run in reversed(fleet.policy.changes_of(application)):
        if not left:
            break
        if run.state != "approved":
            continue
        here = _covered(fleet, application, run, wanted) & left
        left -= run.clusters if run.request.effect else here
        if here:
            found.update({person: found.get(person, BitMap()) | here for person in run.people or (NO_AUTHOR,)})
    return found


def _covered(fleet: Fleet, application: str, run: Approval, wanted: Effect) -> BitMap:
    """Return where a run that is approved, or asked for, is about what is wanted."""
    if run.request.effect:
        effect = effect_of(run.request, fleet.blob)
        return BitMap() if effect is None else effect.shared(wanted)
    if run.content != content_digest(items_of(fleet, application)):
        return BitMap()
    return unmoved(run, parts_of(fleet, application))


def about(fleet: Fleet, application: str, run: Approval, wanted: Effect) -> bool:
    """Whether a run is about all that is wanted."""
    return not wanted.clusters - _covered(fleet, application, run, wanted)


def unmoved(approval: Approval, parts: Mapping[str, BitMap]) -> BitMap:
    """Return the clusters of a run without an effect that the same parts of its content reach as when it was asked."""
    clusters = approval.clusters
    for name, packed_clusters in approval.request.parts.items():
        clusters = clusters - (unpacked(packed_clusters) ^ (parts.get(name, BitMap()) & approval.clusters))
    return clusters


def items_of(fleet: Fleet, application: str) -> dict[str, str]:
    """Return an application's content by part, each with its digest: releases, choices, configurations."""
    choices = fleet.choices.get(application, ())
    items = {
        f"release {version}": fleet.releases[application, version].digest
        for version in sorted({choice.version for choice in choices})
        if (application, version) in fleet.releases
    }
    said = "\0".join(f"{choice.expression}\0{choice.version}" for choice in choices)
    items["choices"] = hashlib.sha256(said.encode()).hexdigest()
    for layer in fleet.layers(application).configurations:
        items[f"configuration {layer.name}"] = hashlib.sha256(encode(layer)).hexdigest()
    return items


def parts_of(fleet: Fleet, application: str) -> dict[str, BitMap]:
    """Return the clusters that each part of an application's content reaches now: its releases, its configurations."""
    found: dict[str, BitMap] = {}
    for version, clusters in fleet.chosen(application):
        name = f"release {version}"
        found[name] = found.get(name, BitMap()) | clusters
    layers = fleet.layers(application)
    for layer, clusters in zip(layers.configurations, layers.covered, strict=True):
        found[f"configuration {layer.name}"] = clusters
    return found
