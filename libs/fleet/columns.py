"""Columns over ordinals that grow with the fleet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Column:
    """A numpy array whose first axis is the ordinal; rows beyond what was written hold `fill`."""

    __slots__ = ("fill", "values")

    def __init__(self, dtype: Any, *, width: int = 0, fill: Any = 0, size: int = 0) -> None:
        shape = (size, width) if width else (size,)
        self.fill = fill
        self.values: NDArray[Any] = np.full(shape, fill, dtype)

    def reach(self, size: int) -> NDArray[Any]:
        """Return the array, with at least `size` rows."""
        have = len(self.values)
        if have < size:
            rows = max(size, have + (have >> 1), 64)
            grown = np.full((rows, *self.values.shape[1:]), self.fill, self.values.dtype)
            grown[:have] = self.values
            self.values = grown
        return self.values

    def copy(self) -> Column:
        """Return a column that shares nothing with this one."""
        twin = Column.__new__(Column)
        twin.fill = self.fill
        twin.values = self.values.copy()
        return twin

    @staticmethod
    def of(values: NDArray[Any], fill: Any = 0) -> Column:
        """Return a column around an array, as a snapshot restores it."""
        column = Column.__new__(Column)
        column.fill = fill
        column.values = values
        return column


class Codes:
    """Names for dense integers: each distinct text gets the next code, from 1; 0 is "none".

    Copies share what they hold until one of them gives a new code: a fork of 60,000 stores that tries one label must
    not cost their names. Read `names`, never change it.
    """

    __slots__ = ("_code", "_shared", "names")

    def __init__(self, names: list[str] | None = None) -> None:
        self.names = names if names is not None else [""]
        self._code = {name: code for code, name in enumerate(self.names)}
        self._shared = False

    def code(self, name: str) -> int:
        """Return the code of `name`, a new one if need be."""
        code = self._code.get(name)
        if code is None:
            if self._shared:
                self.names, self._code, self._shared = list(self.names), dict(self._code), False
            code = self._code[name] = len(self.names)
            self.names.append(name)
        return code

    def copy(self) -> Codes:
        """Return codes of which neither side sees what the other adds."""
        twin = Codes.__new__(Codes)
        twin.names, twin._code = self.names, self._code  # noqa: SLF001 - its own class
        self._shared = twin._shared = True  # noqa: SLF001 - its own class
        return twin
