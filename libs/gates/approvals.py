"""Which clusters approved runs of a sign-off let an application's change reach.

The one rule: an approval is of one content; another content needs another approval.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyroaring import BitMap

if TYPE_CHECKING:
    from libs.fleet import Policy


def covered(policy: Policy, application: str, content: str) -> tuple[BitMap, list[str]]:
    """Return where this content of an application is approved, and the people who approved it, sorted."""
    clusters, people = BitMap(), set[str]()
    for approval in policy.changes_of(application):
        if approval.state == "approved" and approval.content == content:
            clusters |= approval.clusters
            people.update(approval.people)
    return clusters, sorted(people)
