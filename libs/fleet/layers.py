"""Configuration layers of an application over the fleet: which apply where, and the values that result.

Clusters share few distinct combinations of layers, so values are merged once for each combination.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from pyroaring import BitMap

from libs.fleet.bitmaps import is_member
from libs.fleet.distinct import distinct_rows
from libs.templates import Layer, Merged, ValuesSchema, conflicts, merge_layers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from libs.contracts import ConfigurationDeclared
    from libs.templates import Conflict

DEFAULTS_RANK = (0, 0)
Peers = tuple[int, int, str]
"""Rank, and the application or the namespace that is named; empty: all applications."""
_WORD = 62


@dataclass(frozen=True, slots=True)
class Combination:
    """One distinct set of layers, in ascending rank, and the resulting values for one release."""

    layers: tuple[str, ...]
    merged: Merged
    conflicts: tuple[Conflict, ...]
    problems: tuple[str, ...]


@dataclass(slots=True)
class Layers:
    """An application's layers in ascending rank, each with the clusters that it covers."""

    configurations: list[ConfigurationDeclared]
    covered: list[BitMap]
    _merged: dict[tuple[str, tuple[str, ...]], Combination] = field(default_factory=dict)

    def combine(
        self,
        among: NDArray[np.int64],
        size: int,
        release: str,
        defaults: Mapping[str, Any] | None,
        schema: bytes | None,
    ) -> tuple[NDArray[np.int32], list[Combination]]:
        """Return for each ordinal of `among` a code into the distinct combinations there."""
        sets = self._codes(among, size)
        distinct, codes = distinct_rows(sets)
        combinations = [self._combination(row, release, defaults, schema) for row in distinct]
        return codes, combinations

    def _codes(self, among: NDArray[np.int64], size: int) -> NDArray[np.int64]:
        words = max(1, -(-len(self.covered) // _WORD))
        sets = np.zeros((len(among), words), np.int64)
        for index, members in enumerate(self.covered):
            word, bit = divmod(index, _WORD)
            sets[:, word] |= is_member(members, among, size).astype(np.int64) << bit
        return sets

    def _combination(
        self,
        row: NDArray[np.int64],
        release: str,
        defaults: Mapping[str, Any] | None,
        schema: bytes | None,
    ) -> Combination:
        chosen = [
            self.configurations[index]
            for index in range(len(self.configurations))
            if row[index // _WORD] >> (index % _WORD) & 1
        ]
        key = (release, tuple(each.name for each in chosen))
        known = self._merged.get(key)
        if known is None:
            known = self._merged[key] = _combined(chosen, defaults, schema)
        return known


def rank(configuration: ConfigurationDeclared) -> tuple[int, int]:
    """Return (specificity, priority): for named applications before a namespace before all."""
    specificity = 3 if configuration.applications else 2 if configuration.namespace else 1
    return specificity, configuration.priority


def peers_of(configuration: ConfigurationDeclared) -> list[Peers]:
    """Return the groups in which no two configurations may contradict each other."""
    spoken_of = configuration.applications or [configuration.namespace or ""]
    return [(*rank(configuration), name) for name in dict.fromkeys(spoken_of)]


def _combined(
    chosen: Sequence[ConfigurationDeclared], defaults: Mapping[str, Any] | None, schema: bytes | None
) -> Combination:
    layers = [Layer(each.name, rank(each), each.values) for each in chosen]
    if defaults is not None:
        layers.insert(0, Layer("release defaults", DEFAULTS_RANK, defaults))
    merged = merge_layers(layers)
    problems = tuple(compiled_schema(schema).problems(merged.values)) if schema else ()
    return Combination(tuple(each.name for each in layers), merged, tuple(conflicts(layers)), problems)


@lru_cache(maxsize=512)
def compiled_schema(schema: bytes) -> ValuesSchema:
    """Return the compiled JSON Schema of a blob."""
    return ValuesSchema(msgspec.json.decode(schema))
