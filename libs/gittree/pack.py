"""One pack and its index, written as a stream beside the repository's packs and shown only when it is safe on disk.

An object is in a pack once (`git index-pack --strict`), and memory holds ids, sizes and checksums. Formats:
gitformat-pack(5), pack version 2 and index version 2.
"""

from __future__ import annotations

import contextlib
from hashlib import file_digest
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np

from libs.gittree.entries import (
    PACK_HEADER,
    SHARED_BYTES_MIN,
    Encoded,
    encode_deltas,
    encode_full,
    full_entry,
    object_id,
)
from libs.gittree.family import ID_BYTES
from libs.gittree.index import Entries, codes_at, has_repetition, write_index
from libs.gittree.merge import WrittenPack, merge_packs, sync_path

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from libs.gittree.family import Family, ObjectType

CHUNK_OBJECTS = 8192
_DELTA_FAMILY_MIN = 4
_SINGLE_BUFFER_MAX = 256


class PackFile:
    """A pack being written. Not thread-safe; the caller closes it with `finish` or `abort`.

    Args:
        path: the temporary file; the index goes beside it with the suffix `.idx`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("x+b")
        self._single: dict[bytes, bytes] = {}
        self._ids: list[NDArray[np.uint8]] = []
        self._sizes: list[NDArray[np.uint32]] = []
        self._crcs: list[NDArray[np.uint32]] = []
        self._file.write(PACK_HEADER.pack(b"PACK", 2, 0))

    def write(self, family: Family) -> NDArray[np.uint8]:
        """Append a family chunk by chunk and return its ids."""
        self._flush()
        parts = [self._chunk(family.part(at, at + CHUNK_OBJECTS)) for at in range(0, family.count, CHUNK_OBJECTS)]
        return np.concatenate(parts) if parts else np.empty((0, ID_BYTES), dtype=np.uint8)

    def add(self, kind: ObjectType, body: bytes) -> bytes:
        """Append one whole object and return its id."""
        identity = object_id(kind, body)
        if identity not in self._single:
            self._single[identity] = full_entry(kind, body)
            if len(self._single) >= _SINGLE_BUFFER_MAX:
                self._flush()
        return identity

    def finish(self) -> WrittenPack | None:
        """Complete the pack and its index, not yet on disk (`sync_pack` comes next); None if it holds no object.

        Raises:
            OSError: the disk is full, or was at an earlier write.
        """
        self._flush()
        if not self._ids:
            self.abort()
            return None
        ids, sizes = np.concatenate(self._ids), np.concatenate(self._sizes)
        crcs = np.concatenate(self._crcs)
        self._ids, self._sizes, self._crcs = [], [], []
        self._file.seek(0)
        self._file.write(PACK_HEADER.pack(b"PACK", 2, len(ids)))
        self._file.seek(0)
        checksum = file_digest(self._file, "sha1")
        if self._file.tell() != PACK_HEADER.size + int(sizes.sum(dtype=np.int64)):
            raise OSError(f"{self._path} is incomplete: an earlier write failed")
        self._file.write(checksum.digest())
        self._file.close()
        starts = np.cumsum(sizes, dtype=np.int64) - sizes + PACK_HEADER.size
        if has_repetition(ids):
            return self._without_repetitions(ids, crcs, starts)
        index = _index_of(self._path)
        write_index(index, ids, crcs, starts, checksum.digest())
        return WrittenPack(self._path, index, checksum.hexdigest(), len(ids))

    def _without_repetitions(
        self, ids: NDArray[np.uint8], crcs: NDArray[np.uint32], starts: NDArray[np.int64]
    ) -> WrittenPack:
        """Copy the pack with each object once. Rare, and cheaper than looking up every object before it is written."""
        everything = Entries(self._path, ids, crcs, starts, codes_at(self._path, starts))
        written = merge_packs(_merged(self._path), [everything])
        self._path.unlink()
        return written

    def abort(self) -> None:
        """Delete everything written, also on a full disk: leftovers would keep it full."""
        with contextlib.suppress(OSError):  # closing writes the buffer, and closes even if that fails
            self._file.close()
        remove_pack(self._path)

    def _flush(self) -> None:
        if not self._single:
            return
        entries = list(self._single.values())
        ids = np.frombuffer(b"".join(self._single), dtype=np.uint8).reshape(-1, ID_BYTES)
        self._single = {}
        self._keep(Encoded(ids, entries, list(map(crc32, entries))))

    def _chunk(self, family: Family) -> NDArray[np.uint8]:
        worthwhile = family.count >= _DELTA_FAMILY_MIN and family.shared_bytes >= SHARED_BYTES_MIN
        encoded = encode_deltas(family) if worthwhile else encode_full(family)
        self._keep(encoded)
        return encoded.ids

    def _keep(self, encoded: Encoded) -> None:
        ids, entries, crcs = encoded.ids, encoded.entries, encoded.crcs
        distinct = np.unique(ids, axis=0, return_index=True)[1] if has_repetition(ids) else None
        if distinct is not None:
            kept = np.sort(distinct)
            ids = ids[kept]
            entries, crcs = [entries[number] for number in kept], [crcs[number] for number in kept]
        self._file.write(b"".join(entries))
        self._ids.append(ids)
        self._sizes.append(np.fromiter(map(len, entries), dtype=np.uint32, count=len(entries)))
        self._crcs.append(np.array(crcs, dtype=np.uint32))


def remove_pack(path: Path) -> None:
    """Remove all files of an unfinished pack at `path`."""
    for name in (path, _merged(path)):
        for each in (name, _index_of(name)):
            with contextlib.suppress(OSError):  # on a read-only disk, the next process that opens it does that
                each.unlink(missing_ok=True)


def _merged(path: Path) -> Path:
    return path.with_name(path.name + "m")


def _index_of(path: Path) -> Path:
    return path.with_name(path.name + ".idx")


def sync_pack(written: WrittenPack) -> None:
    """Sync a finished pack and its index to the disk."""
    sync_path(written.pack)
    sync_path(written.index)
