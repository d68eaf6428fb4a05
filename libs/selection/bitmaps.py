"""Conversion between numpy and roaring bitmaps by roaring's portable format, which is far faster than iterating.

Format: https://github.com/RoaringBitmap/RoaringFormatSpec (no run containers).
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

_COOKIE_WITHOUT_RUNS = 12346
_CONTAINER = 1 << 16
_ARRAY_MAX = 4096  # above it, a container is a bit set

Mask = NDArray[np.bool_]
_Ordinals = NDArray[np.uint32]


def from_mask(mask: Mask) -> BitMap:
    """Return the positions at which `mask` is true."""
    headers, bodies = [], []
    for start in range(0, len(mask), _CONTAINER):
        part = mask[start : start + _CONTAINER]
        count = int(np.count_nonzero(part))
        if count == 0:
            continue
        if count > _ARRAY_MAX:
            body = np.packbits(part, bitorder="little").tobytes().ljust(_CONTAINER // 8, b"\0")
        else:
            body = np.flatnonzero(part).astype("<u2").tobytes()
        headers.append((start // _CONTAINER, count - 1))
        bodies.append(body)
    if not bodies:
        return BitMap()
    described = b"".join(struct.pack("<HH", *header) for header in headers)
    offset = 8 + len(described) + 4 * len(bodies)
    offsets = []
    for body in bodies:
        offsets.append(offset)
        offset += len(body)
    return BitMap.deserialize(
        struct.pack("<II", _COOKIE_WITHOUT_RUNS, len(bodies))
        + described
        + struct.pack(f"<{len(offsets)}I", *offsets)
        + b"".join(bodies)
    )


def from_ordinals(ordinals: NDArray[np.integer]) -> BitMap:
    """Return the bitmap of `ordinals`, in any order."""
    if len(ordinals) == 0:
        return BitMap()
    mask = np.zeros(int(ordinals.max()) + 1, dtype=np.bool_)
    mask[ordinals] = True
    return from_mask(mask)
