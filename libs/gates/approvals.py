"""What an application's content is, and which clusters approved runs of a sign-off let a change of it reach.

The one rule: an approval is of one content on resolved clusters: another content needs another approval, and so does a
cluster that another part of the same content reaches now, because of a label or a group.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from pyroaring import BitMap

from libs.contracts import encode
from libs.fleet import unpacked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from libs.fleet import Approval, Fleet, Policy


def covered(
    policy: Policy, application: str, content: str, parts: Mapping[str, BitMap] | None = None
) -> tuple[BitMap, list[str]]:
    """Return where this content of an application is approved, and the people who approved it, sorted.

    `parts` are the clusters that each part of the content reaches now.
    """
    clusters, people = BitMap(), set[str]()
    for approval in policy.changes_of(application):
        if approval.state == "approved" and approval.content == content:
            clusters |= unmoved(approval, parts or {})
            people.update(approval.people)
    return clusters, sorted(people)


def unmoved(approval: Approval, parts: Mapping[str, BitMap]) -> BitMap:
    """Return the clusters of a run that the same parts of its content reach now as when it was asked for."""
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
