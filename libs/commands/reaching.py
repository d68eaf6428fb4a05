"""What a change reaches: how many clusters of how many, and which releases were chosen there before.

The one rule: the clusters are those by which rights are judged (`libs/access/effects`), so that what a person is told
is what the change is judged by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pyroaring import BitMap

from libs.access.effects import Before, chosen_and_placed, parts, tried
from libs.contracts import Event
from libs.fleet import Fleet

RELEASES_TOLD_MAX = 50
"""Lines about releases in an answer; the log keeps answers, so they are bounded."""


async def reach_of(facts: Fleet, events: Sequence[Event]) -> dict[str, Any]:
    """Return what `events` reach: `clusters` of `fleet`, and for each release that moves what was there before.

    A thing that applies to the whole fleet reaches all of it; one that has no clusters reaches none.
    """
    change = await tried(facts, events)
    everything = change.before.selection.everything | change.after.selection.everything
    # Parts follow their own events: what a group or a label moves as well is in `moved`.
    reached = BitMap(change.moved)
    for part in parts(events, change):
        if part.fleetwide:
            reached |= everything
        elif part.clusters is not None:
            reached |= part.clusters
    releases = list(_releases(change))
    return {
        "clusters": len(reached),
        "fleet": len(everything),
        "releases": releases[:RELEASES_TOLD_MAX],
        "releases_count": len(releases),
    }


def _releases(change: Before) -> list[dict[str, Any]]:
    """Return each (application, version) that gets other clusters, with what those had before."""
    found = []
    for application in sorted(change.before.choices.keys() | change.after.choices.keys()):
        was, now = (chosen_and_placed(fleet, application) for fleet in (change.before, change.after))
        anywhere = [BitMap.union(BitMap(), *each.values()) for each in (was, now)]
        # A version that only loses clusters is told by what they have now.
        gaining = [version for version in sorted(now) if now[version] - was.get(version, BitMap())]
        found += [_release(application, version, now[version], was) for version in gaining]
        if gone := anywhere[0] - anywhere[1]:
            found.append(_release(application, None, gone, was))
    return found


def _release(application: str, version: str | None, on: BitMap, was: Mapping[str, BitMap]) -> dict[str, Any]:
    before: list[dict[str, Any]] = [
        {"version": earlier, "clusters": len(here)} for earlier, there in sorted(was.items()) if (here := there & on)
    ]
    if none := on - BitMap.union(BitMap(), *was.values()):
        before.append({"version": None, "clusters": len(none)})
    return {"application": application, "version": version, "clusters": len(on), "before": before}
