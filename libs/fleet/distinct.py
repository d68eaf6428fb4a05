"""Distinct values of columns: counted where they are small numbers, sorted where they are not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def compact(codes: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return (the distinct codes, ascending; each row's place among them). Codes are not negative.

    Counting beats sorting while codes are not much larger than their number.
    """
    if len(codes) == 1:
        return codes.astype(np.int64), np.zeros(1, np.int32)
    top = int(codes.max(initial=0)) + 1
    if top > 4 * len(codes) + 1024:
        used, places = np.unique(codes, return_inverse=True)
        return used.astype(np.int64), places.reshape(-1).astype(np.int32)
    seen = np.zeros(top, np.bool_)
    seen[codes] = True
    used = np.flatnonzero(seen)
    place = np.zeros(top, np.int32)
    place[used] = np.arange(len(used), dtype=np.int32)
    return used, place[codes]


def distinct_rows(words: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return (the distinct rows, each row's place among them); no word is negative."""
    if words.shape[1] == 1:
        found, places = compact(words[:, 0])
        return found[:, None], places
    rows, inverse = np.unique(words, axis=0, return_inverse=True)
    return rows, inverse.reshape(-1).astype(np.int32)


def distinct(columns: Sequence[NDArray[Any]], count: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return (an example row of each distinct combination of codes, each row's place among them)."""
    places = np.zeros(count, np.int32)
    if count == 1:
        return np.zeros(1, np.int64), places
    for column in columns:
        used, own = compact(column)
        _, places = compact(places.astype(np.int64) * len(used) + own)
    size = int(places.max(initial=-1)) + 1
    first = np.empty(size, np.int64)
    first[places[::-1]] = np.arange(count - 1, -1, -1)
    return first, places
