"""Which placements differ between two states of a fleet: added, removed, or with another release.

A placement counts if the expressions select the cluster, no law in force forbids it and, once an application has
release choices, one of them selects it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyroaring import BitMap

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from libs.fleet.fleet import Fleet


@dataclass(frozen=True, slots=True)
class Moved:
    """The clusters where one application is added, removed, or gets another release."""

    application: str
    added: BitMap
    removed: BitMap
    other_release: BitMap

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.other_release)


def placements(fleet: Fleet, application: str, at: datetime) -> Mapping[str, BitMap]:
    """Return by version the clusters where an application is placed; the version is empty before it has choices."""
    where = fleet.placed(application) - fleet.forbidden(application, at)
    if not fleet.choices.get(application):
        return {"": where}
    found: dict[str, BitMap] = {}
    for version, members in fleet.chosen(application):
        found[version] = found.get(version, BitMap()) | (members & where)
    return found


def moved(before: Fleet, after: Fleet, at: datetime) -> Iterator[tuple[Moved, int]]:
    """Yield the differences for each application, and how many placements it had."""
    for application in sorted(before.applications.keys() | after.applications.keys()):
        was, now = (placements(fleet, application, at) for fleet in (before, after))
        had, has = (BitMap.union(*each.values()) if each else BitMap() for each in (was, now))
        other = BitMap()
        for version, members in now.items():
            other |= members & (had - was.get(version, BitMap()))
        yield Moved(application, has - had, had - has, other), len(had)
