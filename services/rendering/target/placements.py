"""The target and the admitted release of each cluster, as columns over ordinals.

A placement's key is `<namespace>/<application>`, since an application in another namespace has another place in the
tree. The one rule: `admitted` changes by admissions only.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from pyroaring import BitMap

from libs.fleet import Codes, Extent, FleetColumn, bitmap, ordinals
from libs.fleet.state import (
    Part,
    Parts,
    begin_parts,
    codes,
    columns_of,
    dump_parts,
    load_parts,
    mapping,
    never,
    plain_bitmap,
    plain_columns,
    typed,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from libs.contracts import ReleasePublished


class Admission(NamedTuple):
    """One decision, as `why` cites it; `commit` is empty until it is written."""

    position: int
    at: datetime
    commit: str


class Unwanted(NamedTuple):
    """Removals that began to be wanted together: since when, and after which position of the log."""

    since: datetime
    after: int
    clusters: BitMap


@dataclass(slots=True)
class Placement:
    """One application in one namespace, over all clusters. Release code 0 is absent."""

    namespace: str
    application: str
    release: FleetColumn
    variant: FleetColumn
    blob: FleetColumn
    admission: FleetColumn
    target_release: FleetColumn
    target_variant: FleetColumn
    pending: BitMap = field(default_factory=BitMap)
    unwanted: list[Unwanted] = field(default_factory=list)
    """The pending removals, each since it has been wanted without interruption."""
    fallbacks: dict[str, BitMap] = field(default_factory=dict)
    """Where the target is not the chosen release, as that is refused, but this version."""

    @classmethod
    def new(cls, key: str, extent: Extent) -> Placement:
        """Return a placement that is on no cluster yet."""
        release, admission, target = (FleetColumn(extent, np.int32) for _ in range(3))
        variant, target_variant = (FleetColumn(extent, np.uint64, width=2) for _ in range(2))
        blob = FleetColumn(extent, np.uint8, width=20)
        return cls(*split_key(key), release, variant, blob, admission, target, target_variant)

    @property
    def key(self) -> str:
        """`<namespace>/<application>`."""
        return placement_key(self.namespace, self.application)

    @property
    def file(self) -> str:
        """The application's file name in its namespace's directory."""
        return f"{self.application}.yaml"

    def note_removals(self, at: datetime, after: int) -> None:
        """Record which removals are wanted at `at`, and forget those that no longer are."""
        among = ordinals(self.pending)
        leaving = bitmap(among[self.target_release.values[among] == 0])
        kept = [each._replace(clusters=left) for each in self.unwanted if (left := each.clusters & leaving)]
        new = leaving - BitMap.union(BitMap(), *(each.clusters for each in kept))
        self.unwanted = [*kept, Unwanted(at, after, new)] if new else kept

    def settling(self, now: datetime, settle: timedelta) -> list[Unwanted]:
        """Return the removals that have not been wanted for long enough yet."""
        return [each for each in self.unwanted if now < each.since + settle]

    def differs(self, among: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return for each ordinal whether target and admitted differ."""
        release = self.release.values[among] != self.target_release.values[among]
        variant = self.variant.values[among] != self.target_variant.values[among]
        differs: NDArray[np.bool_] = release | variant[:, 0] | variant[:, 1]
        return differs

    def present(self) -> BitMap:
        """Return the clusters that have been given, or should have, some release."""
        return self.admitted() | bitmap(np.flatnonzero(self.target_release.values).astype(np.int64))

    def admitted(self) -> BitMap:
        """Return the clusters that have been given some release."""
        return bitmap(np.flatnonzero(self.release.values).astype(np.int64))


@dataclass(frozen=True, slots=True)
class RefusalKey:
    """Why an application cannot be rendered on some clusters."""

    key: str
    code: str
    detail: str


_SETS: Parts = {
    "pending": typed(BitMap),
    "unwanted": typed(list[Unwanted]),
    "fallbacks": typed(dict[str, BitMap]),
}
"""The state of a placement besides its names and its columns."""


def _placement(key: str, plain: tuple[dict[str, Any], dict[str, Any]], extent: Extent) -> Placement:
    columns, sets = plain
    placement = Placement.new(key, extent)
    for name, each in columns_of(columns, extent).items():
        setattr(placement, name, each)
    load_parts(placement, _SETS, sets, extent)
    return placement


PARTS: Parts = {
    "versions": codes(),
    "by_key": Part(
        lambda _: {},
        never,
        lambda it: {key: (plain_columns(each), dump_parts(each, _SETS)) for key, each in it.items()},
        lambda plain, extent: {key: _placement(key, each, extent) for key, each in plain.items()},
    ),
    "refusals": mapping(
        lambda it: [(*astuple(each), plain_bitmap(members)) for each, members in it.items()],
        lambda plain: {RefusalKey(*said): BitMap.deserialize(members) for *said, members in plain},
    ),
    "admissions": typed(list[Admission]),
}


class Placements:
    """All placements, the refusals among them, and the releases' codes."""

    __slots__ = ("extent", *PARTS)

    versions: Codes
    by_key: dict[str, Placement]
    refusals: dict[RefusalKey, BitMap]
    admissions: list[Admission]

    def __init__(self, extent: Extent) -> None:
        self.extent = extent
        begin_parts(self, PARTS, extent)

    def at(self, key: str) -> Placement:
        """Return a placement's columns."""
        placement = self.by_key.get(key)
        if placement is None:
            placement = self.by_key[key] = Placement.new(key, self.extent)
        return placement

    def of_namespace(self, namespace: str) -> list[Placement]:
        """Return the placements of a namespace, by application name."""
        found = [each for each in self.by_key.values() if each.namespace == namespace]
        return sorted(found, key=lambda each: each.application)

    def namespaces(self) -> list[str]:
        """Return the namespaces of all placements, sorted."""
        return sorted({each.namespace for each in self.by_key.values()})

    def refuse(self, key: str, among: BitMap, refused: dict[tuple[str, str], BitMap]) -> None:
        """Replace the refusals of a placement on the clusters of `among`."""
        for known in [each for each in self.refusals if each.key == key]:
            rest = self.refusals[known] - among
            if rest:
                self.refusals[known] = rest
            else:
                del self.refusals[known]
        for (code, detail), clusters in refused.items():
            if clusters:
                name = RefusalKey(key, code, detail)
                self.refusals[name] = self.refusals.get(name, BitMap()) | clusters

    def version_code(self, release: ReleasePublished) -> int:
        """Return the code of a release in the columns."""
        return self.versions.code(f"{release.application}/{release.version}")

    def used_versions(self, application: str) -> list[str]:
        """Return the versions of an application that were ever a target."""
        start = f"{application}/"
        return [name[len(start) :] for name in self.versions.names if name.startswith(start)]

    def refused(self, code: str | None = None) -> dict[str, BitMap]:
        """Return per placement the clusters that are refused for a reason, or for any."""
        found: dict[str, BitMap] = {}
        for name, clusters in self.refusals.items():
            if code is None or name.code == code:
                found[name.key] = found.get(name.key, BitMap()) | clusters
        return found

    def admitted_count(self) -> int:
        """Return how many placements have been admitted."""
        return sum(int(np.count_nonzero(each.release.values)) for each in self.by_key.values())


def split_key(key: str) -> tuple[str, str]:
    """Return (namespace, application)."""
    namespace, _, application = key.partition("/")
    return namespace, application


def placement_key(namespace: str, application: str) -> str:
    """Return the key of a placement."""
    return f"{namespace}/{application}"
