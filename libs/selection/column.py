"""One label key: a code per cluster, and what follows from it (bitmaps per value, predicates over distinct values)."""

from __future__ import annotations

import operator
from decimal import Decimal
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from pyroaring import BitMap

from libs.selection.bitmaps import Mask, from_mask
from libs.selection.expression import NUMBER, Compared, Labelled, LabelLike
from libs.selection.glob import glob

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray

LabelValue: TypeAlias = str | tuple[str, ...]
"""A text, or several: a label that was declared as a list stays one."""

Predicate: TypeAlias = Compared | LabelLike | Labelled

_TABLES_MAX = 512
_ONE_BY_ONE_MAX = 64
_OPERATORS: dict[str, Callable[[Decimal, Decimal], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


class LabelColumn:
    """Codes by ordinal; `values[code]` is the value of a code, `values[0]` is None: no such label.

    Everything derived is computed on first use, and is valid for the current codes.
    """

    __slots__ = ("_bitmaps", "_combinations", "_masks", "_numbers", "_tables", "code_of", "codes", "values")

    def __init__(self) -> None:
        self.codes: NDArray[np.int32] = np.zeros(0, dtype=np.int32)
        self.values: list[LabelValue | None] = [None]
        self.code_of: dict[LabelValue, int] = {}
        self._combinations: dict[str, tuple[int, ...]] = {}
        self._bitmaps: dict[str | None, BitMap] = {}
        self._numbers: list[tuple[Decimal, ...]] = []
        self._tables: dict[Predicate, Mask] = {}
        self._masks: dict[Predicate, BitMap] = {}

    def copy(self) -> LabelColumn:
        """Return a column of its own with the same content."""
        other = LabelColumn()
        other.codes, other.values, other.code_of = self.codes.copy(), self.values.copy(), self.code_of.copy()
        other._combinations, other._bitmaps = self._combinations.copy(), self._bitmaps.copy()
        other._numbers, other._tables, other._masks = self._numbers.copy(), self._tables.copy(), self._masks.copy()
        return other

    def reserve(self, size: int) -> None:
        """Make room for `size` ordinals."""
        if len(self.codes) < size:
            grown = np.zeros(max(size, len(self.codes) * 5 // 4, 64), dtype=np.int32)
            grown[: len(self.codes)] = self.codes
            self.codes = grown

    def code(self, ordinal: int) -> int:
        """Return the code of one cluster."""
        return int(self.codes[ordinal]) if ordinal < len(self.codes) else 0

    def intern(self, value: LabelValue) -> int:
        """Return the code of `value`, a new one if need be."""
        code = self.code_of.get(value)
        if code is None:
            code = self.code_of[value] = len(self.values)
            self.values.append(value)
            if not isinstance(value, str):
                for atom in value:
                    self._combinations[atom] = (*self._combinations.get(atom, ()), code)
        return code

    def atoms(self, code: int) -> tuple[str | None, ...]:
        """Return the single values of a code, with None for "any value"; nothing for code 0."""
        value = self.values[code]
        if value is None:
            return ()
        return (None, value) if isinstance(value, str) else (None, *value)

    def bitmap(self, atom: str | None) -> BitMap:
        """Return the clusters that have this value (None: any)."""
        found = self._bitmaps.get(atom)
        if found is None:
            if atom is None:
                found = from_mask(self.codes != 0)
            else:
                codes = self._codes_with(atom)
                found = BitMap()
                if len(codes) == 1:
                    found = from_mask(self.codes == codes[0])
                elif codes:
                    table = np.zeros(len(self.values), dtype=np.bool_)
                    table[codes] = True
                    found = from_mask(table[self.codes])
            self._bitmaps[atom] = found
        return found

    def _codes_with(self, atom: str) -> list[int]:
        plain = self.code_of.get(atom)
        return [*([] if plain is None else [plain]), *self._combinations.get(atom, ())]

    def replace_bitmaps(
        self, left: Mapping[str | None, Iterable[int]], joined: Mapping[str | None, Iterable[int]]
    ) -> dict[str | None, BitMap]:
        """Follow clusters that lost or gained single values, and return the difference per value."""
        self._masks.clear()
        differences: dict[str | None, BitMap] = {}
        for atom in {**left, **joined}:
            gone, come = BitMap(left.get(atom, ())), BitMap(joined.get(atom, ()))
            if atom in self._bitmaps:
                self._bitmaps[atom] = (self._bitmaps[atom] - gone) | come
            differences[atom] = gone | come
        return differences

    def forget_bitmaps(self) -> None:
        """Drop every bitmap, to be computed again on its next use: the codes changed in many places."""
        self._bitmaps.clear()
        self._masks.clear()

    def matching(self, predicate: Predicate, within: BitMap) -> BitMap:
        """Return those of `within` for which one of the values satisfies `predicate`."""
        table = self._table(predicate)
        if len(within) <= _ONE_BY_ONE_MAX:
            return BitMap([ordinal for ordinal in within if table[self.code(ordinal)]])
        mask = self._masks.get(predicate)
        if mask is None:
            mask = self._masks[predicate] = from_mask(table[self.codes])
        return mask & within

    def _table(self, predicate: Predicate) -> Mask:
        """Return for each code whether `predicate` holds; only codes that are new since last time are looked at."""
        table = self._tables.get(predicate)
        known = 0 if table is None else len(table)
        if table is None or known < len(self.values):
            grown = np.zeros(len(self.values), dtype=np.bool_)
            if table is not None:
                grown[:known] = table
            test = self._test(predicate)
            for code in range(max(known, 1), len(grown)):
                grown[code] = test(code)
            if len(self._tables) >= _TABLES_MAX:
                self._tables.clear()
                self._masks.clear()
            table = self._tables[predicate] = grown
        return table

    def _test(self, predicate: Predicate) -> Callable[[int], bool]:
        match predicate:
            case Compared(_, symbol, number):
                holds, bound, numbers = _OPERATORS[symbol], Decimal(number), self._numbers_by_code()
                return lambda code: any(holds(value, bound) for value in numbers[code])
            case LabelLike(_, pattern):
                fits = glob(pattern).fullmatch
                return lambda code: any(fits(atom) is not None for atom in self.atoms(code)[1:] if atom is not None)
            case Labelled(_, values):
                wanted = frozenset(values)
                return lambda code: not wanted.isdisjoint(self.atoms(code)[1:])

    def _numbers_by_code(self) -> list[tuple[Decimal, ...]]:
        for code in range(len(self._numbers), len(self.values)):
            atoms = [atom for atom in self.atoms(code) if atom is not None]
            self._numbers.append(tuple(Decimal(atom) for atom in atoms if NUMBER.fullmatch(atom)))
        return self._numbers
