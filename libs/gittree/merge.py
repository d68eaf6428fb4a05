"""Merges packs by copying their entries: nothing is inflated, and no object is judged to be needed or not.

The one rule: of several copies of one object a whole one is kept, so every delta's base stays whole and no cycle of
deltas can arise.
"""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass
from hashlib import sha1
from typing import TYPE_CHECKING

import numpy as np

from libs.gittree.entries import PACK_HEADER, REF_DELTA
from libs.gittree.index import TRAILER_BYTES, Entries, sorted_order, write_index

if TYPE_CHECKING:
    from collections.abc import Sequence
    from hashlib import _Hash
    from pathlib import Path
    from typing import BinaryIO

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class WrittenPack:
    """A finished pack under its temporary names. `checksum` is the pack's trailer in hex, which names it."""

    pack: Path
    index: Path
    checksum: str
    objects: int


class PackDamaged(RuntimeError):  # noqa: N818 - it states the fact
    """A pack's bytes do not match its trailer; nothing was removed."""

    code = "pack-damaged"


def _kept(packs: Sequence[Entries]) -> list[NDArray[np.bool_]]:
    """Choose one copy of each object, a whole one where there is one: then every delta's base stays whole."""
    ids = np.concatenate([pack.ids for pack in packs])
    deltas = np.concatenate([pack.codes == REF_DELTA for pack in packs])
    whole_first = np.argsort(deltas, kind="stable")
    order = whole_first[sorted_order(ids[whole_first])]
    ordered = ids[order]
    first = np.ones(len(ids), dtype=np.bool_)
    first[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    kept = np.zeros(len(ids), dtype=np.bool_)
    kept[order[first]] = True
    return np.split(kept, np.cumsum([len(pack.ids) for pack in packs])[:-1])


def merge_packs(path: Path, packs: Sequence[Entries]) -> WrittenPack:
    """Copy one copy of each object into a new pack at `path`, its index beside it with the suffix `.idx`; both synced.

    Raises:
        PackDamaged: a pack does not match its trailer.
    """
    kept = _kept(packs)
    count = sum(int(mask.sum()) for mask in kept)
    index_path = path.with_name(path.name + ".idx")
    try:
        with path.open("xb") as target:
            digest = sha1(PACK_HEADER.pack(b"PACK", 2, count), usedforsecurity=False)
            target.write(PACK_HEADER.pack(b"PACK", 2, count))
            sizes = [_copy(pack, mask, target, digest) for pack, mask in zip(packs, kept, strict=True)]
            target.write(digest.digest())
            target.flush()
            os.fsync(target.fileno())
        starts = np.cumsum(np.concatenate([np.array([PACK_HEADER.size], dtype=np.int64), *sizes]))[:-1]
        ids = np.concatenate([pack.ids[mask] for pack, mask in zip(packs, kept, strict=True)])
        crcs = np.concatenate([pack.crcs[mask] for pack, mask in zip(packs, kept, strict=True)])
        write_index(index_path, ids, crcs, starts, digest.digest())
        sync_path(index_path)
    except BaseException:
        path.unlink(missing_ok=True)
        index_path.unlink(missing_ok=True)
        raise
    return WrittenPack(path, index_path, digest.hexdigest(), count)


def _copy(pack: Entries, mask: NDArray[np.bool_], target: BinaryIO, digest: _Hash) -> NDArray[np.int64]:
    """Append the kept entries of one pack, after checking the pack against its trailer; return their sizes."""
    with pack.path.open("rb") as source, mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as data:
        view = memoryview(data)
        try:
            end = len(view) - TRAILER_BYTES
            if sha1(view[:end], usedforsecurity=False).digest() != view[end:]:
                raise PackDamaged(f"{pack.path.name} does not match its trailer")
            stops = np.append(pack.starts[1:], end)
            for start, stop in _ranges(pack.starts, stops, mask):
                piece = view[start:stop]
                digest.update(piece)
                target.write(piece)
                piece.release()
        finally:
            view.release()
    sizes: NDArray[np.int64] = (stops - pack.starts)[mask]
    return sizes


def _ranges(starts: NDArray[np.int64], stops: NDArray[np.int64], mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the byte ranges of the kept entries, neighbours joined."""
    starts, stops = starts[mask], stops[mask]
    if not len(starts):
        return []
    breaks = np.flatnonzero(starts[1:] != stops[:-1]) + 1
    firsts = starts[np.append(0, breaks)]
    lasts = stops[np.append(breaks - 1, len(stops) - 1)]
    return list(zip(firsts.tolist(), lasts.tolist(), strict=True))


def sync_path(path: Path) -> None:
    """Sync a file or a directory to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
