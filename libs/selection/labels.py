"""Labels by cluster ordinal: one column of codes per key, bitmaps per value made when first asked for.

A code stands for one combination of values and is stable while the object lives; code 0 is "no such label". Bitmaps are
replaced, never changed, so that whoever holds one may keep it. Changes wait in `pending` until somebody reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from pyroaring import BitMap

from libs.selection.bitmaps import from_ordinals
from libs.selection.column import LabelColumn, LabelValue

if TYPE_CHECKING:
    from numpy.typing import NDArray

LabelsIn: TypeAlias = Mapping[str, str | Sequence[str]]

_PENDING_MAX = 4096
_FEW = 1024  # up to so many clusters are compared one by one, which finds the single values that changed


@dataclass(slots=True)
class LabelChanges:
    """What a flush changed: `values` per (key, value; None: any value) where it is known so finely, else `keys`."""

    values: dict[tuple[str, str | None], BitMap] = field(default_factory=dict)
    keys: dict[str, BitMap] = field(default_factory=dict)
    coarse: dict[str, BitMap] = field(default_factory=dict)


class LabelColumns:
    """The columns of all label keys; shared between forks until one of them writes."""

    __slots__ = ("_owned", "columns", "pending")

    def __init__(self) -> None:
        self.columns: dict[str, LabelColumn] = {}
        self.pending: dict[int, LabelsIn] = {}
        self._owned: set[str] = set()

    def fork(self) -> LabelColumns:
        """Return a copy that shares every column until either side writes to it. Nothing may be pending."""
        other = LabelColumns()
        other.columns = self.columns.copy()
        self._owned = set()
        return other

    def put(self, ordinal: int, labels: LabelsIn) -> bool:
        """Note the labels of a cluster; true when so much waits that it should be flushed."""
        self.pending[ordinal] = labels
        return len(self.pending) >= _PENDING_MAX

    def flush(self, size: int) -> LabelChanges | None:
        """Write what is pending into the columns of `size` ordinals and return what changed."""
        if not self.pending:
            return None
        pending, self.pending = self.pending, {}
        return self._few(pending, size) if len(pending) <= _FEW else self._many(pending, size)

    def _writable(self, key: str) -> LabelColumn:
        column = self.columns.get(key)
        if column is None:
            column = self.columns[key] = LabelColumn()
            self._owned.add(key)
        elif key not in self._owned:
            column = self.columns[key] = column.copy()
            self._owned.add(key)
        return column

    def _few(self, pending: Mapping[int, LabelsIn], size: int) -> LabelChanges:
        moves: dict[str, list[tuple[int, int, int]]] = {}
        for ordinal, labels in pending.items():
            for key, value in labels.items():
                self._move(moves, key, ordinal, _plain(value))
            for key, column in self.columns.items():
                if key not in labels and column.code(ordinal):
                    self._move(moves, key, ordinal, None)
        changes = LabelChanges()
        for key, moved in moves.items():
            column = self.columns[key]
            column.reserve(size)
            left, joined = _differences(column, moved)
            changes.keys[key] = BitMap([ordinal for ordinal, _, _ in moved])
            for atom, difference in column.replace_bitmaps(left, joined).items():
                changes.values[key, atom] = difference
        return changes

    def _move(
        self, moves: dict[str, list[tuple[int, int, int]]], key: str, ordinal: int, value: LabelValue | None
    ) -> None:
        column = self.columns.get(key)
        before = column.code(ordinal) if column is not None else 0
        if value is None:
            after = 0
        elif column is None or value not in column.code_of:
            after = self._writable(key).intern(value)
        else:
            after = column.code_of[value]
        if before != after:
            self._writable(key)
            moves.setdefault(key, []).append((ordinal, before, after))

    def _many(self, pending: Mapping[int, LabelsIn], size: int) -> LabelChanges:
        gathered: dict[str, tuple[list[int], list[int], dict[LabelValue, int]]] = {}
        for place, labels in enumerate(pending.values()):
            for key, value in labels.items():
                entry = gathered.get(key)
                if entry is None:
                    entry = gathered[key] = ([], [], self._writable(key).code_of)
                plain = value if type(value) is str else _plain(value)
                if plain is None:
                    continue
                entry[0].append(place)
                entry[1].append(entry[2].get(plain) or self.columns[key].intern(plain))
        ordinals = np.fromiter(pending, dtype=np.int64, count=len(pending))
        changes = LabelChanges()
        for key in list(self.columns):
            codes = np.zeros(len(ordinals), dtype=np.int32)
            if key in gathered:
                codes[gathered[key][0]] = gathered[key][1]
            self.columns[key].reserve(size)
            changed = np.flatnonzero(self.columns[key].codes[ordinals] != codes)
            if len(changed):
                column = self._writable(key)
                column.codes[ordinals[changed]] = codes[changed]
                column.forget_bitmaps()
                changes.keys[key] = changes.coarse[key] = from_ordinals(ordinals[changed])
        return changes

    def labels_of(self, ordinal: int) -> dict[str, LabelValue]:
        """Return the labels of one cluster, by key; nothing may be pending."""
        found = {}
        for key in sorted(self.columns):
            value = self.columns[key].values[self.columns[key].code(ordinal)]
            if value is not None:
                found[key] = value
        return found

    def bitmap(self, key: str, value: str | None) -> BitMap:
        """Return the clusters that have this value of a label (None: any)."""
        column = self.columns.get(key)
        return column.bitmap(value) if column is not None else BitMap()

    def codes(self, key: str, size: int) -> tuple[NDArray[np.int32], list[LabelValue | None]]:
        """Return the codes of `size` ordinals and what each code stands for."""
        column = self.columns.get(key)
        if column is None:
            return np.zeros(size, dtype=np.int32), [None]
        column.reserve(size)
        view = column.codes[:size]
        view.flags.writeable = False
        return view, column.values


def _differences(
    column: LabelColumn, moved: list[tuple[int, int, int]]
) -> tuple[dict[str | None, list[int]], dict[str | None, list[int]]]:
    """Write the codes after into `column` and return which clusters left and joined which single values."""
    left: dict[str | None, list[int]] = {}
    joined: dict[str | None, list[int]] = {}
    for ordinal, before, after in moved:
        column.codes[ordinal] = after
        was, now = column.atoms(before), column.atoms(after)
        for atom in was:
            if atom not in now:
                left.setdefault(atom, []).append(ordinal)
        for atom in now:
            if atom not in was:
                joined.setdefault(atom, []).append(ordinal)
    return left, joined


def _plain(value: str | Iterable[str]) -> LabelValue | None:
    """Return a label's value as it is kept: text, or each text once in the order declared; None for an empty list."""
    if isinstance(value, str):
        return value
    return tuple(dict.fromkeys(value)) or None
