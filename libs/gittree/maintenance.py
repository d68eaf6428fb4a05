"""Packs after many small commits are merged into few: by copying entries, with nothing inflated and no object judged.

Sizes follow a geometric progression, so that a byte is copied a logarithmic number of times and the big first pack almost
never. The one rule: a pack is removed only after every object in it stands, durably and visibly, in another one.
"""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass
from hashlib import sha1
from typing import TYPE_CHECKING

import numpy as np

from libs.gittree.entries import REF_DELTA
from libs.gittree.family import ID_BYTES
from libs.gittree.owner import temporary_name
from libs.gittree.pack import HEADER, WrittenPack, index_bytes, sorted_order, sync_path
from libs.gittree.sink import publish

if TYPE_CHECKING:
    from collections.abc import Sequence
    from hashlib import _Hash
    from pathlib import Path
    from typing import BinaryIO

    from numpy.typing import NDArray

# Fewer packs than this are left alone.
PACKS_KEPT = 24
GEOMETRIC_FACTOR = 2
_OFS_DELTA = 6
_TRAILER_BYTES = 20


@dataclass(frozen=True, slots=True)
class Maintained:
    """How many packs there were, how many were merged away, and how many objects were copied."""

    packs: int
    removed: int
    objects: int


@dataclass(frozen=True, slots=True, eq=False)
class _Index:
    """A pack's index in the order of its entries: `ids[i]` starts at `starts[i]` and has type `codes[i]`."""

    stem: Path
    ids: NDArray[np.uint8]
    crcs: NDArray[np.uint32]
    starts: NDArray[np.int64]
    codes: NDArray[np.uint8]


class PackDamaged(RuntimeError):
    """A pack's bytes are not those that its trailer names; nothing was removed."""

    code = "pack-damaged"


def consolidate(directory: Path) -> Maintained:
    """Merge the smallest packs of `objects/pack` until each left is twice as large as all smaller ones together.

    Packs with a `.keep`, and packs that git made with offset deltas, are left as they are.
    """
    stems = _mergeable(directory)
    if len(stems) <= PACKS_KEPT:
        return Maintained(len(stems), 0, 0)
    chosen = _geometric(stems)
    if len(chosen) < 2:
        return Maintained(len(stems), 0, 0)
    indexes = [index for index in map(_read_index, chosen) if index is not None]
    if len(indexes) < 2:
        return Maintained(len(stems), 0, 0)
    written = _merge(directory, indexes)
    names = publish(directory, [written])
    kept = {directory / f"pack-{name}" for name in names}
    removed = [index.stem for index in indexes if index.stem not in kept]
    # The index goes first: without it git no longer looks for the pack.
    for stem in removed:
        stem.with_name(stem.name + ".idx").unlink(missing_ok=True)
    for stem in removed:
        for suffix in (".pack", ".rev", ".bitmap", ".mtimes"):
            stem.with_name(stem.name + suffix).unlink(missing_ok=True)
    return Maintained(len(stems), len(removed), written.objects)


def _mergeable(directory: Path) -> list[tuple[int, Path]]:
    """Return (bytes, path without suffix) of every complete pack that nobody asked to keep, smallest first."""
    names = {entry.name for entry in os.scandir(directory)}
    stems = []
    for name in sorted(names):
        stem, dot, suffix = name.rpartition(".")
        special = any(stem + other in names for other in (".keep", ".promisor", ".mtimes"))
        if dot and suffix == "pack" and stem.startswith("pack-") and stem + ".idx" in names and not special:
            stems.append(((directory / name).stat().st_size, directory / stem))
    return sorted(stems)


def _geometric(stems: Sequence[tuple[int, Path]]) -> list[Path]:
    """Return the smallest packs whose merging leaves a geometric progression of sizes."""
    split, total = 0, 0
    for number, (size, _) in enumerate(stems):
        if size < GEOMETRIC_FACTOR * total or number == 0:
            split = number + 1
        total += size
    return [stem for _, stem in stems[:split]]


def _read_index(stem: Path) -> _Index | None:
    """Read an index, or None if the pack's entries do not stand for themselves (offset deltas)."""
    data = np.frombuffer(stem.with_name(stem.name + ".idx").read_bytes(), dtype=np.uint8)
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
    large = data[at : len(data) - 2 * _TRAILER_BYTES].view(">u8").astype(np.int64)
    far = small >= 0x80000000
    small[far] = large[small[far] - 0x80000000]
    order = np.argsort(small)
    starts = small[order]
    pack = np.memmap(_pack_of(stem), dtype=np.uint8, mode="r")
    codes = (pack[starts] >> 4) & 7
    index = _Index(stem, ids[order], crcs[order], starts, codes)
    return index if _stands_alone(index, pack) else None


def _pack_of(stem: Path) -> Path:
    return stem.with_name(stem.name + ".pack")


def _stands_alone(index: _Index, pack: NDArray[np.uint8]) -> bool:
    """Say whether each delta names, by id, a whole object of the same pack: then entries may move, and no copy is lost or circular."""
    if not len(index.ids):
        return False
    if (index.codes == _OFS_DELTA).any():
        return False
    at = index.starts[index.codes == REF_DELTA].copy()
    if not len(at):
        return True
    for _ in range(10):  # an entry's head goes on while the high bit is set
        at += pack[at] >= 0x80
    at += 1
    bases = np.unique(pack[at[:, None] + np.arange(ID_BYTES)], axis=0)
    whole = {identity.tobytes() for identity in index.ids[index.codes != REF_DELTA]}
    return all(base.tobytes() in whole for base in bases)


def _kept(indexes: Sequence[_Index]) -> list[NDArray[np.bool_]]:
    """Choose one copy of each object, a whole one where there is one: then every delta's base stays whole."""
    ids = np.concatenate([index.ids for index in indexes])
    deltas = np.concatenate([index.codes == REF_DELTA for index in indexes])
    whole_first = np.argsort(deltas, kind="stable")
    order = whole_first[sorted_order(ids[whole_first])]
    ordered = ids[order]
    first = np.ones(len(ids), dtype=np.bool_)
    first[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    kept = np.zeros(len(ids), dtype=np.bool_)
    kept[order[first]] = True
    return np.split(kept, np.cumsum([len(index.ids) for index in indexes])[:-1])


def _merge(directory: Path, indexes: Sequence[_Index]) -> WrittenPack:
    """Copy the chosen entries into one new pack, on disk under temporary names."""
    kept = _kept(indexes)
    count = sum(int(mask.sum()) for mask in kept)
    path = directory / temporary_name("pack")
    index_path = path.with_name(path.name + ".idx")
    try:
        with path.open("xb") as target:
            digest = sha1(HEADER.pack(b"PACK", 2, count), usedforsecurity=False)
            target.write(HEADER.pack(b"PACK", 2, count))
            sizes = [_copy(index, mask, target, digest) for index, mask in zip(indexes, kept, strict=True)]
            target.write(digest.digest())
            target.flush()
            os.fsync(target.fileno())
        starts = np.cumsum(np.concatenate([np.array([HEADER.size], dtype=np.int64), *sizes]))[:-1]
        ids = np.concatenate([index.ids[mask] for index, mask in zip(indexes, kept, strict=True)])
        crcs = np.concatenate([index.crcs[mask] for index, mask in zip(indexes, kept, strict=True)])
        index_path.write_bytes(index_bytes(ids, crcs, starts, digest.digest()))
        sync_path(index_path)
    except BaseException:
        path.unlink(missing_ok=True)
        index_path.unlink(missing_ok=True)
        raise
    return WrittenPack(path, index_path, digest.hexdigest(), count)


def _copy(index: _Index, mask: NDArray[np.bool_], target: BinaryIO, digest: _Hash) -> NDArray[np.int64]:
    """Append the kept entries of one pack, after checking the pack against its trailer; answers with their sizes."""
    with _pack_of(index.stem).open("rb") as source, mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as data:
        view = memoryview(data)
        try:
            end = len(view) - _TRAILER_BYTES
            if sha1(view[:end], usedforsecurity=False).digest() != view[end:]:
                raise PackDamaged(f"{index.stem.name} does not have the bytes that its trailer names")
            stops = np.append(index.starts[1:], end)
            for start, stop in _ranges(index.starts, stops, mask):
                piece = view[start:stop]
                digest.update(piece)
                target.write(piece)
                piece.release()
        finally:
            view.release()
    sizes: NDArray[np.int64] = (stops - index.starts)[mask]
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
