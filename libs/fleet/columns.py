"""Columns over ordinals that grow with the fleet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Extent:
    """How many ordinals a fleet has given. It grows in one place only, where the fleet adds a new cluster."""

    __slots__ = ("size",)

    def __init__(self, size: int = 0) -> None:
        self.size = size

    def reach(self, size: int) -> None:
        """Grow to at least `size` ordinals."""
        self.size = max(self.size, size)

    def copy(self) -> Extent:
        """Return one that grows by itself."""
        return Extent(self.size)


class FleetColumn:
    """A numpy array whose first axis is the ordinal, never shorter than its fleet; unwritten rows are `fill`."""

    __slots__ = ("_extent", "_values", "fill")

    def __init__(self, extent: Extent, dtype: Any, *, width: int = 0, fill: Any = 0) -> None:
        self._extent = extent
        self.fill = fill
        self._values: NDArray[Any] = np.full((0, width) if width else (0,), fill, dtype)

    @property
    def values(self) -> NDArray[Any]:
        """The array itself, with at least as many rows as the fleet has ordinals; do not keep it over a fold."""
        have, size = len(self._values), self._extent.size
        if have < size:
            rows = max(size, have + (have >> 1), 64)
            grown = filled((rows, *self._values.shape[1:]), self.fill, self._values.dtype)
            grown[:have] = self._values
            self._values = grown
        return self._values

    def put(self, ordinal: int, value: int) -> bool:
        """Write one number; return whether it has changed."""
        values = self._values if ordinal < len(self._values) else self.values
        if values.item(ordinal) == value:
            return False
        values[ordinal] = value
        return True

    def copy(self, extent: Extent) -> FleetColumn:
        """Return a copy for another fleet that shares nothing with this one."""
        return FleetColumn.of(extent, self._values.copy(), self.fill)

    @staticmethod
    def of(extent: Extent, values: NDArray[Any], fill: Any = 0) -> FleetColumn:
        """Return a column around an array, as a snapshot restores it."""
        column = FleetColumn.__new__(FleetColumn)
        column._extent, column._values, column.fill = extent, values, fill  # noqa: SLF001 - its own class
        return column


def filled(shape: tuple[int, ...], fill: Any, dtype: Any) -> NDArray[Any]:
    """Return an array of one value; of zeros, pages that nobody writes take no memory."""
    return np.full(shape, fill, dtype) if fill else np.zeros(shape, dtype)


class Codes:
    """Names for dense integers: each distinct text gets the next code, from 1; 0 is "none".

    Copies share their names until one of them adds a code: a fork of 60,000 stores that tries one label must not copy
    all names. Read `names`, never change it.
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
        """Return a copy; neither side sees what the other adds."""
        twin = Codes.__new__(Codes)
        twin.names, twin._code = self.names, self._code  # noqa: SLF001 - its own class
        self._shared = twin._shared = True  # noqa: SLF001 - its own class
        return twin
