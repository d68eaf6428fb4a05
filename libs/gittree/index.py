"""Pack indexes, version 2 (gitformat-pack(5)): the offset of each object in a pack.

An `Entries` lists each object once, sorted by id; the arrays here are in the order of the pack's entries.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha1
from typing import TYPE_CHECKING

import numpy as np

from libs.gittree.entries import REF_DELTA
from libs.gittree.family import ID_BYTES, split_rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

TRAILER_BYTES = 20
_OFS_DELTA = 6
_SMALL_MAX = 0x7FFFFFFF
_HEAD = b"\xfftOc\0\0\0\2"


@dataclass(frozen=True, slots=True, eq=False)
class Entries:
    """The entries of the pack at `path`: `ids[i]` starts at `starts[i]`, has checksum `crcs[i]` and type `codes[i]`."""

    path: Path
    ids: NDArray[np.uint8]
    crcs: NDArray[np.uint32]
    starts: NDArray[np.int64]
    codes: NDArray[np.uint8]


def write_index(
    path: Path, ids: NDArray[np.uint8], crcs: NDArray[np.uint32], starts: NDArray[np.int64], checksum: bytes
) -> None:
    """Write the entries of a pack whose trailer is `checksum`, piece by piece: a pack may hold millions."""
    order = sorted_order(ids)
    digest = sha1(usedforsecurity=False)
    with path.open("xb") as target:
        for piece in _pieces(ids, crcs, starts, order):
            digest.update(piece)
            target.write(piece)
        digest.update(checksum)
        target.write(checksum + digest.digest())


def _pieces(
    ids: NDArray[np.uint8], crcs: NDArray[np.uint32], starts: NDArray[np.int64], order: NDArray[np.int64]
) -> Iterator[bytes]:
    yield _HEAD
    yield np.cumsum(np.bincount(ids[:, 0], minlength=256)).astype(">u4").tobytes()
    yield ids[order].tobytes()
    yield crcs[order].astype(">u4").tobytes()
    ordered = starts[order]
    large = ordered > _SMALL_MAX
    yield np.where(large, 0x80000000 + np.cumsum(large) - 1, ordered).astype(">u4").tobytes()
    yield ordered[large].astype(">u8").tobytes()


def sorted_order(ids: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the order that sorts ids as bytes."""
    prefixes = _prefixes(ids)
    order = np.argsort(prefixes, kind="stable")
    ordered = prefixes[order]
    if (ordered[1:] == ordered[:-1]).any():
        words = [np.ascontiguousarray(ids[:, at : at + 4]).view(">u4").ravel() for at in range(0, ID_BYTES, 4)]
        order = np.lexsort(words[::-1])
    return order.astype(np.int64)


def has_repetition(ids: NDArray[np.uint8]) -> bool:
    """Tell whether an id is listed twice."""
    prefixes = np.sort(_prefixes(ids))
    if not (prefixes[1:] == prefixes[:-1]).any():
        return False
    ordered = ids[sorted_order(ids)]
    return bool((ordered[1:] == ordered[:-1]).all(axis=1).any())


def _prefixes(ids: NDArray[np.uint8]) -> NDArray[np.uint64]:
    return np.ascontiguousarray(ids[:, :8]).view(">u8").ravel().astype(np.uint64)


def codes_at(path: Path, starts: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return the types of the entries that start at `starts`."""
    pack = np.memmap(path, dtype=np.uint8, mode="r")
    return ((pack[starts] >> 4) & 7).astype(np.uint8)


def read_index(pack: Path) -> Entries | None:
    """Read an index; None if the pack has offset deltas, whose entries depend on their place."""
    data = np.frombuffer(pack.with_suffix(".idx").read_bytes(), dtype=np.uint8)
    if data[:8].tobytes() != b"\xfftOc\0\0\0\2":
        return None
    count = int(data[8 + 255 * 4 : 8 + 256 * 4].view(">u4")[0])
    at = 8 + 1024
    ids = data[at : at + count * ID_BYTES].reshape(count, ID_BYTES)
    at += count * ID_BYTES
    crcs = data[at : at + 4 * count].view(">u4").astype(np.uint32)
    at += 4 * count
    small = data[at : at + 4 * count].view(">u4").astype(np.int64)
    at += 4 * count
    large = data[at : len(data) - 2 * TRAILER_BYTES].view(">u8").astype(np.int64)
    far = small >= 0x80000000
    small[far] = large[small[far] - 0x80000000]
    order = np.argsort(small)
    starts = small[order]
    entries = Entries(pack, ids[order], crcs[order], starts, codes_at(pack, starts))
    return entries if _stands_alone(entries) else None


def _stands_alone(entries: Entries) -> bool:
    """Tell whether each delta names, by id, a whole object of the same pack; only such entries may move."""
    if not len(entries.ids):
        return False
    if (entries.codes == _OFS_DELTA).any():
        return False
    at = entries.starts[entries.codes == REF_DELTA].copy()
    if not len(at):
        return True
    pack = np.memmap(entries.path, dtype=np.uint8, mode="r")
    for _ in range(10):  # an entry's head continues while the high bit is set
        at += pack[at] >= 0x80
    at += 1
    bases = pack[at[:, None] + np.arange(ID_BYTES)]
    # Sorting whole ids of millions of deltas is slow; bases are few, so their first bytes find them.
    _, first, group = np.unique(_prefixes(bases), return_index=True, return_inverse=True)
    if not (bases == bases[first][group]).all():
        return False
    whole = set(split_rows(entries.ids[entries.codes != REF_DELTA]))
    return all(base in whole for base in split_rows(bases[first]))
