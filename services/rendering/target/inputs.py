"""The inputs of a template on each cluster, as codes into distinct values, and the id of a variant.

A variant is (release, values of the inputs that its template really uses); equal variants have equal fingerprints on
every machine, in whatever order the facts came.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from libs.templates import MISSING, lookup

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from libs.fleet import Combination, Fleet
    from libs.templates import Input

_FIRST = np.uint64(0x9E3779B97F4A7C15)
_SECOND = np.uint64(0xC2B2AE3D27D4EB4F)
_SHIFT = np.uint64(29)
NO_VALUE = np.zeros(2, np.uint64)


@dataclass(frozen=True, slots=True)
class Coded:
    """One input over some clusters: cluster `i` has `values[codes[i]]`."""

    values: Sequence[Any]
    codes: NDArray[np.int32]
    digests: NDArray[np.uint64]
    own: bool = False  # each cluster has a value of its own


@dataclass(slots=True)
class Digests:
    """128-bit digests of a growing list of values, each computed once."""

    table: NDArray[np.uint64] = field(default_factory=lambda: np.empty((0, 2), np.uint64))
    count: int = 0

    def of(self, values: Sequence[Any]) -> NDArray[np.uint64]:
        """Return one digest a value; `values` only ever grows."""
        if len(values) > len(self.table):
            grown = np.zeros((max(len(values), 2 * len(self.table)), 2), np.uint64)
            grown[: self.count] = self.table[: self.count]
            self.table = grown
        if len(values) > self.count:
            joined = b"".join(map(value_digest, values[self.count :]))
            self.table[self.count : len(values)] = np.frombuffer(joined, np.uint64).reshape(-1, 2)
            self.count = len(values)
        return self.table[: len(values)]


def value_digest(value: Any) -> bytes:
    """Return 16 bytes that identify a value of JSON's types, or its absence."""
    encoded = b"" if value is MISSING else msgspec.json.encode(value)
    return hashlib.blake2b(encoded, digest_size=16).digest()


@dataclass(slots=True)
class Inputs:
    """Reads inputs from a fleet; remembers the digests of the values that it has seen."""

    fleet: Fleet
    _names: list[str] = field(default_factory=list)
    _digests: dict[str, Digests] = field(default_factory=dict)
    _labels: dict[str, list[Any]] = field(default_factory=dict)

    def names(self) -> list[str]:
        """Return the cluster names by ordinal."""
        selection = self.fleet.selection
        self._names.extend(selection.name(ordinal) for ordinal in range(len(self._names), selection.size))
        return self._names

    def read(
        self, each: Input, among: NDArray[np.int64], combined: tuple[NDArray[np.int32], list[Combination]]
    ) -> Coded:
        """Return one input on the clusters of `among`."""
        match each.source:
            case "cluster.name":
                return self._coded("cluster.name", self.names(), among.astype(np.int32), own=True)
            case "store.name":
                codes = self.fleet.store_of.values[among]
                return self._coded("store.name", self.fleet.store_names.names, codes)
            case "store.timezone":
                codes = self.fleet.zone_of.values[among]
                return self._coded("store.timezone", self.fleet.zones.names, codes)
            case "labels":
                return self._label(each.key, among)
            case "config":
                return _configured(each.key, *combined)
            case source:
                raise LookupError(f"{source} does not differ from cluster to cluster")

    def _label(self, key: str, among: NDArray[np.int64]) -> Coded:
        if not self.fleet.selection.has_label_key(key):
            return Coded([MISSING], np.zeros(len(among), np.int32), Digests().of([MISSING]))
        codes, values = self.fleet.selection.column(key)
        known = self._labels.setdefault(key, [])
        known.extend(MISSING if value is None else value for value in values[len(known) :])
        return Coded(known, codes[among], self._known(f"labels.{key}").of(known))

    def _coded(self, name: str, values: Sequence[Any], codes: NDArray[np.int32], *, own: bool = False) -> Coded:
        return Coded(values, codes, self._known(name).of(values), own)

    def _known(self, name: str) -> Digests:
        return self._digests.setdefault(name, Digests())


def _configured(key: str, codes: NDArray[np.int32], combinations: Sequence[Combination]) -> Coded:
    """Return a configured value; combinations of layers that agree about it share a code."""
    values: list[Any] = []
    places: dict[bytes, int] = {}
    place = np.zeros(len(combinations), np.int32)
    for code, combination in enumerate(combinations):
        value = lookup(combination.merged.values, key)
        identity = value_digest(value)
        if identity not in places:
            places[identity] = len(values)
            values.append(value)
        place[code] = places[identity]
    return Coded(values, place[codes], Digests().of(values))


CONSTANT_SOURCES = frozenset({"application.name", "release.version", "namespace.name"})


def constant(each: Input, application: str, version: str, namespace: str) -> str:
    """Return an input that is the same on every cluster."""
    return {"application.name": application, "release.version": version, "namespace.name": namespace}[each.source]


def fingerprints(seed: bytes, inputs: Sequence[Coded], count: int) -> NDArray[np.uint64]:
    """Return (count, 2): the fingerprint of each cluster's variant; never zero, which means absent.

    The values' digests are cryptographic; mixing them is not, but nobody can choose a digest that collides.
    """
    start = np.frombuffer(hashlib.blake2b(seed, digest_size=16).digest(), np.uint64)
    mixed = np.empty((count, 2), np.uint64)
    mixed[:] = start
    for each in inputs:
        digests = each.digests[each.codes]
        first = (mixed[:, 0] ^ digests[:, 0]) * _FIRST
        second = (mixed[:, 1] ^ digests[:, 1]) * _SECOND
        mixed[:, 0] = first ^ (first >> _SHIFT) ^ second
        mixed[:, 1] = second ^ (second >> _SHIFT) ^ (first * _SECOND)
    mixed[:, 0] |= np.uint64(1)
    return mixed
