"""One pack and its index, written as a stream beside the repository's packs and shown only when it is safe on disk.

The one rule: an object stands in a pack once (`git index-pack --strict`), and memory holds ids, sizes and checksums only.
Formats: gitformat-pack(5), pack version 2 and index version 2.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from hashlib import file_digest, sha1
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np

from libs.gittree.entries import SHARED_BYTES_MIN, Encoded, encode_deltas, encode_full, full_entry, object_id
from libs.gittree.family import ID_BYTES

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from libs.gittree.family import Family, Kind

CHUNK_OBJECTS = 8192
HEADER = struct.Struct(">4sII")
_DELTA_FAMILY_MIN = 4
_OFFSET_SMALL_MAX = 0x7FFFFFFF
_SINGLE_BUFFER_MAX = 256


@dataclass(frozen=True, slots=True)
class WrittenPack:
    """A finished pack under its temporary names. `checksum` is the pack's trailer in hex, which names it."""

    pack: Path
    index: Path
    checksum: str
    objects: int


class _Seen:
    """The ids that a pack holds already, as a few sorted arrays of their first eight bytes."""

    def __init__(self) -> None:
        self._runs: list[tuple[NDArray[np.uint64], NDArray[np.uint8]]] = []

    def fresh(self, ids: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Say which of the ids are neither known nor a repetition within `ids`, and know them from now on."""
        prefixes = _prefixes(ids)
        fresh = np.zeros(len(ids), dtype=np.bool_)
        # Equal prefixes within one chunk are compared in full, so that two objects never pass for one.
        fresh[np.unique(prefixes, return_index=True)[1]] = True
        if not fresh.all():
            fresh = np.zeros(len(ids), dtype=np.bool_)
            fresh[np.unique(ids, axis=0, return_index=True)[1]] = True
        for known, known_ids in self._runs:
            at = np.searchsorted(known, prefixes)
            at[at == len(known)] = 0
            for hit in np.flatnonzero(known[at] == prefixes).tolist():
                fresh[hit] = fresh[hit] and not _stands_at(ids[hit], known, known_ids, int(at[hit]))
        self._learn(prefixes[fresh], ids[fresh])
        return fresh

    def __contains__(self, identity: bytes) -> bool:
        wanted = np.frombuffer(identity, dtype=np.uint8)
        prefix = _prefixes(wanted.reshape(1, -1))[0]
        for known, known_ids in self._runs:
            at = int(np.searchsorted(known, prefix))
            if at < len(known) and known[at] == prefix and _stands_at(wanted, known, known_ids, at):
                return True
        return False

    def _learn(self, prefixes: NDArray[np.uint64], ids: NDArray[np.uint8]) -> None:
        if not len(prefixes):
            return
        run = _sorted_run(prefixes, ids)
        while self._runs and len(self._runs[-1][0]) < 2 * len(run[0]):
            known, known_ids = self._runs.pop()
            run = _sorted_run(np.concatenate([known, run[0]]), np.concatenate([known_ids, run[1]]))
        self._runs.append(run)


def _prefixes(ids: NDArray[np.uint8]) -> NDArray[np.uint64]:
    return np.ascontiguousarray(ids[:, :8]).view(">u8").ravel().astype(np.uint64)


def _sorted_run(prefixes: NDArray[np.uint64], ids: NDArray[np.uint8]) -> tuple[NDArray[np.uint64], NDArray[np.uint8]]:
    order = np.argsort(prefixes, kind="stable")
    return prefixes[order], ids[order]


def _stands_at(wanted: NDArray[np.uint8], known: NDArray[np.uint64], ids: NDArray[np.uint8], at: int) -> bool:
    prefix = known[at]
    while at < len(known) and known[at] == prefix:
        if np.array_equal(ids[at], wanted):
            return True
        at += 1
    return False


class PackFile:
    """A pack being written. Not thread-safe; the caller closes it with `finish` or `abort`.

    Args:
        path: the temporary file; the index goes beside it with the suffix `.idx`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("x+b")
        self._single: dict[bytes, bytes] = {}
        self._seen = _Seen()
        self._bases: set[bytes] = set()
        self._ids: list[NDArray[np.uint8]] = []
        self._sizes: list[NDArray[np.int64]] = []
        self._crcs: list[NDArray[np.uint32]] = []
        self._objects = 0
        self._file.write(HEADER.pack(b"PACK", 2, 0))

    def write(self, family: Family) -> NDArray[np.uint8]:
        """Append a family chunk by chunk and return its ids."""
        self._flush()
        parts = [self._chunk(family.part(at, at + CHUNK_OBJECTS)) for at in range(0, family.count, CHUNK_OBJECTS)]
        return np.concatenate(parts) if parts else np.empty((0, ID_BYTES), dtype=np.uint8)

    def add(self, kind: Kind, body: bytes) -> bytes:
        """Append one whole object and return its id."""
        identity = object_id(kind, body)
        if identity not in self._single and identity not in self._seen:
            self._single[identity] = full_entry(kind, body)
            if len(self._single) >= _SINGLE_BUFFER_MAX:
                self._flush()
        return identity

    def finish(self) -> WrittenPack | None:
        """Complete the pack and its index, both in page cache only (`sync` comes next); None if it holds no object."""
        self._flush()
        if not self._objects:
            self.abort()
            return None
        self._file.seek(0)
        self._file.write(HEADER.pack(b"PACK", 2, self._objects))
        self._file.seek(0)
        checksum = file_digest(self._file, "sha1")
        self._file.seek(0, os.SEEK_END)
        self._file.write(checksum.digest())
        self._file.flush()
        ends = np.cumsum(np.concatenate(self._sizes)) + HEADER.size
        offsets = np.concatenate([np.array([HEADER.size], dtype=np.int64), ends[:-1]])
        ids, crcs = np.concatenate(self._ids), np.concatenate(self._crcs)
        index = self._path.with_name(self._path.name + ".idx")
        index.write_bytes(index_bytes(ids, crcs, offsets, checksum.digest()))
        return WrittenPack(self._path, index, checksum.hexdigest(), self._objects)

    def sync(self) -> None:
        """Bring the finished pack and its index to the disk."""
        os.fsync(self._file.fileno())
        sync_path(self._path.with_name(self._path.name + ".idx"))
        self._file.close()

    def abort(self) -> None:
        """Forget everything written."""
        self._file.close()
        self._path.unlink(missing_ok=True)
        self._path.with_name(self._path.name + ".idx").unlink(missing_ok=True)

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
        if worthwhile:
            base = encoded.ids[0].tobytes()
            if base in self._seen and base not in self._bases:
                encoded = encode_full(family)  # that copy may be a delta itself, and a chain has length one
            else:
                self._bases.add(base)
        self._keep(encoded)
        return encoded.ids

    def _keep(self, encoded: Encoded) -> None:
        fresh = self._seen.fresh(encoded.ids)
        if fresh.all():
            ids, entries, crcs = encoded.ids, encoded.entries, encoded.crcs
        else:
            kept = np.flatnonzero(fresh).tolist()
            ids = encoded.ids[fresh]
            entries, crcs = [encoded.entries[number] for number in kept], [encoded.crcs[number] for number in kept]
        self._file.write(b"".join(entries))
        self._ids.append(ids)
        self._sizes.append(np.fromiter(map(len, entries), dtype=np.int64, count=len(entries)))
        self._crcs.append(np.array(crcs, dtype=np.uint32))
        self._objects += len(entries)


def index_bytes(ids: NDArray[np.uint8], crcs: NDArray[np.uint32], offsets: NDArray[np.int64], checksum: bytes) -> bytes:
    """Return the index (version 2) of a pack: entry `i` is object `ids[i]`, starts at `offsets[i]`, has `crcs[i]`."""
    order = sorted_order(ids)
    ids, offsets = ids[order], offsets[order]
    fanout = np.cumsum(np.bincount(ids[:, 0], minlength=256)).astype(">u4")
    large = offsets > _OFFSET_SMALL_MAX
    small = np.where(large, 0x80000000 + np.cumsum(large) - 1, offsets).astype(">u4")
    body = b"".join(
        (
            b"\xfftOc\0\0\0\2",
            fanout.tobytes(),
            np.ascontiguousarray(ids).tobytes(),
            crcs[order].astype(">u4").tobytes(),
            small.tobytes(),
            offsets[large].astype(">u8").tobytes(),
            checksum,
        )
    )
    return body + sha1(body, usedforsecurity=False).digest()


def sorted_order(ids: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the order that sorts ids as bytes."""
    prefixes = _prefixes(ids)
    order = np.argsort(prefixes, kind="stable")
    ordered = prefixes[order]
    if (ordered[1:] == ordered[:-1]).any():
        words = [np.ascontiguousarray(ids[:, at : at + 4]).view(">u4").ravel() for at in range(0, ID_BYTES, 4)]
        order = np.lexsort(words[::-1])
    return order.astype(np.int64)


def sync_path(path: Path) -> None:
    """Bring a file or a directory to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
