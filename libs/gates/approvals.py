"""Which clusters approved runs of a sign-off let an application's change reach.

The one rule: an approval is of one content on resolved clusters: another content needs another approval, and so does a
cluster that another part of the same content reaches now, because of a label or a group.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyroaring import BitMap

from libs.fleet import unpacked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from libs.fleet import Approval, Policy


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
