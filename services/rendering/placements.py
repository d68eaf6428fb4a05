"""What each cluster should have and what it has been given, as columns over ordinals.

A placement is keyed `<namespace>/<application>`, since an application that comes back in another namespace is another
place in the tree. The one rule: `admitted` changes by admissions only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from pyroaring import BitMap

from libs.fleet import Codes, Column, bitmap

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from numpy.typing import NDArray


class Admission(NamedTuple):
    """One decision, as `why` cites it; `commit` is empty until it is written."""

    position: int
    at: datetime
    commit: str


@dataclass(slots=True)
class Placement:
    """One application in one namespace, over all clusters. Release code 0 is absent."""

    namespace: str
    application: str
    release: Column = field(default_factory=lambda: Column(np.int32))
    variant: Column = field(default_factory=lambda: Column(np.uint64, width=2))
    blob: Column = field(default_factory=lambda: Column(np.uint8, width=20))
    admission: Column = field(default_factory=lambda: Column(np.int32))
    target_release: Column = field(default_factory=lambda: Column(np.int32))
    target_variant: Column = field(default_factory=lambda: Column(np.uint64, width=2))
    pending: BitMap = field(default_factory=BitMap)

    @property
    def key(self) -> str:
        """`<namespace>/<application>`."""
        return placement_key(self.namespace, self.application)

    @property
    def file(self) -> str:
        """The application's file name in its namespace's directory."""
        return f"{self.application}.yaml"

    def reach(self, size: int) -> None:
        """Make every column long enough for `size` ordinals."""
        for column in self.columns():
            column.reach(size)

    def columns(self) -> Iterator[Column]:
        """Every column, in a fixed order."""
        yield from (self.release, self.variant, self.blob, self.admission, self.target_release, self.target_variant)

    def differs(self, among: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return for each ordinal whether what it should have is not what it has been given."""
        release = self.release.values[among] != self.target_release.values[among]
        variant = self.variant.values[among] != self.target_variant.values[among]
        differs: NDArray[np.bool_] = release | variant[:, 0] | variant[:, 1]
        return differs

    def admitted(self) -> BitMap:
        """Return the clusters that have been given some release."""
        return bitmap(np.flatnonzero(self.release.values).astype(np.int64))


@dataclass(frozen=True, slots=True)
class RefusalKey:
    """Why an application cannot be rendered on some clusters."""

    key: str
    code: str
    detail: str


@dataclass(slots=True)
class Placements:
    """All placements, the refusals among them, and the releases' codes."""

    versions: Codes = field(default_factory=Codes)
    by_key: dict[str, Placement] = field(default_factory=dict)
    refusals: dict[RefusalKey, BitMap] = field(default_factory=dict)
    admissions: list[Admission] = field(default_factory=list)
    size: int = 0

    def at(self, key: str) -> Placement:
        """Return a placement's columns, as long as the fleet."""
        placement = self.by_key.get(key)
        if placement is None:
            placement = self.by_key[key] = Placement(*split_key(key))
        placement.reach(self.size)
        return placement

    def of_namespace(self, namespace: str) -> list[Placement]:
        """Return the placements of a namespace, by application name."""
        found = [each for each in self.by_key.values() if each.namespace == namespace]
        for each in found:
            each.reach(self.size)
        return sorted(found, key=lambda each: each.application)

    def namespaces(self) -> list[str]:
        """Return the namespaces of all placements, sorted."""
        return sorted({each.namespace for each in self.by_key.values()})

    def refuse(self, key: str, among: BitMap, refused: dict[tuple[str, str], BitMap]) -> None:
        """Replace what is refused of a placement on the clusters of `among`."""
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

    def used_versions(self, application: str) -> list[str]:
        """Return the versions of an application that were ever a target."""
        start = f"{application}/"
        return [name[len(start) :] for name in self.versions.names if name.startswith(start)]

    def refused(self, code: str) -> dict[str, BitMap]:
        """Return per placement the clusters that are refused for a reason."""
        found: dict[str, BitMap] = {}
        for name, clusters in self.refusals.items():
            if name.code == code:
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
