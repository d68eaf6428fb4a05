"""Conversions between roaring bitmaps (sets of ordinals) and numpy arrays (columns over ordinals)."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import numpy as np
from pyroaring import BitMap

if TYPE_CHECKING:
    from numpy.typing import NDArray

_Ordinals = "NDArray[np.int64]"
_FEW = 16


def ordinals(bitmap: BitMap) -> NDArray[np.int64]:
    """Return the members in ascending order."""
    if not bitmap:
        return np.empty(0, np.int64)
    return np.frombuffer(bitmap.to_array(), np.uint32).astype(np.int64)


def bitmap(members: NDArray[np.int64]) -> BitMap:
    """Return the set of `members`."""
    return BitMap(array("I", members.astype(np.uint32).tobytes()))


def is_member(members: BitMap, among: NDArray[np.int64], size: int) -> NDArray[np.bool_]:
    """Return for each ordinal of `among` (all below `size`) whether it is in `members`."""
    if len(among) <= _FEW:
        return np.fromiter((int(each) in members for each in among), np.bool_, len(among))
    flags = np.zeros(size, np.bool_)
    flags[ordinals(members)] = True
    return flags[among]


def packed(members: BitMap) -> bytes:
    """Return the serialized form that events carry: equal sets give equal bytes."""
    copy = members.copy()
    copy.run_optimize()
    return bytes(copy.serialize())


def unpacked(data: bytes) -> BitMap:
    """Return the set that `packed` wrote; no bytes are the empty set."""
    return BitMap.deserialize(data) if data else BitMap()
