"""Sinks of objects: `IdSink` only hashes, `PackSink` writes packs that become visible all at once.

Nothing of a sink is visible in the repository before `finish`, and after it everything is on disk.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Self

import numpy as np

from libs.contracts.crash import crash_point
from libs.gittree.entries import SHARED_BYTES_MIN, ids_of, object_id
from libs.gittree.merge import sync_path
from libs.gittree.owner import temporary_name
from libs.gittree.pack import CHUNK_OBJECTS, PackFile, sync_pack

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType

    from numpy.typing import NDArray

    from libs.gittree.family import Family, ObjectType
    from libs.gittree.merge import WrittenPack
    from libs.gittree.workers import WorkerPacks, Workers

# Fewer objects than this are written by the calling process: a few milliseconds.
_INLINE_OBJECTS_MAX = 2000
_INLINE_WHOLE_MAX = 200


class IdSink:
    """Computes the ids that a `PackSink` would give, and writes nothing."""

    def write(self, family: Family) -> NDArray[np.uint8]:
        """Return the family's ids, shape (count, 20)."""
        return ids_of(family)

    async def write_async(self, family: Family) -> NDArray[np.uint8]:
        """Return the family's ids; yields to the event loop between chunks."""
        return await _in_chunks(self.write, family)

    def add(self, kind: ObjectType, body: bytes) -> bytes:
        """Return the object's id."""
        return object_id(kind, body)


async def _in_chunks(write: Callable[[Family], NDArray[np.uint8]], family: Family) -> NDArray[np.uint8]:
    if family.count <= _INLINE_OBJECTS_MAX:
        ids = write(family)
        await asyncio.sleep(0)
        return ids
    step = CHUNK_OBJECTS
    parts = [await asyncio.to_thread(write, family.part(start, start + step)) for start in range(0, family.count, step)]
    return np.concatenate(parts)


class PackSink:
    """Writes families into new packs of one repository.

    Small families are written here, large ones on `workers`, a pack each. Use it as a context manager: leaving it
    without `finish` removes what was written.

    Args:
        directory: the repository's `objects/pack`.
        workers: worker processes; without them large families are written here too.
    """

    def __init__(self, directory: Path, workers: Workers | None = None) -> None:
        self._directory = directory
        self._workers = workers
        self._remote: WorkerPacks | None = None
        self._local: PackFile | None = None
        self._lock = threading.Lock()
        self._closed = False

    def write(self, family: Family) -> NDArray[np.uint8]:
        """Write the family and return its ids, shape (count, 20). Blocks.

        Raises:
            WorkerDied: a worker process ended; nothing of this sink will show.
        """
        if self._is_large(family):
            return self._remote_packs().write(family)
        return self._write_here(family)

    async def write_async(self, family: Family) -> NDArray[np.uint8]:
        """Write the family without holding the event loop; several may be under way at once."""
        if self._is_large(family):
            return await self._remote_packs().write_async(family)
        return await _in_chunks(self._write_here, family)

    def add(self, kind: ObjectType, body: bytes) -> bytes:
        """Write one object and return its id."""
        with self._lock:
            return self._local_pack().add(kind, body)

    def finish(self) -> tuple[str, ...]:
        """Make everything durable and then visible: files, then the directory. Returns the new packs' checksums.

        Raises:
            WorkerDied: a worker process ended; nothing shows.
        """
        if self._closed:
            raise RuntimeError("this sink is finished already")
        crash_point("gittree.before-pack")
        try:
            written = self._complete()
            names = publish(self._directory, written)
        except BaseException:
            self.abort()
            raise
        self._close()
        return names

    async def finish_async(self) -> tuple[str, ...]:
        """Run `finish` without blocking the event loop."""
        return await asyncio.to_thread(self.finish)

    def abort(self) -> None:
        """Delete everything written."""
        if self._closed:
            return
        if self._local is not None:
            self._local.abort()
        if self._remote is not None:
            self._remote.abort()
        self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.abort()

    def _close(self) -> None:
        self._closed = True
        self._local = self._remote = None

    def _complete(self) -> list[WrittenPack]:
        remote = self._remote.finish() if self._remote is not None else []
        local = self._local.finish() if self._local is not None else None
        crash_point("gittree.pack-written")
        if local is not None:
            sync_pack(local)
            remote.append(local)
        crash_point("gittree.pack-fsynced")
        return remote

    def _is_large(self, family: Family) -> bool:
        if self._workers is None:
            return False
        limit = _INLINE_OBJECTS_MAX if family.shared_bytes >= SHARED_BYTES_MIN else _INLINE_WHOLE_MAX
        return family.count > limit

    def _write_here(self, family: Family) -> NDArray[np.uint8]:
        with self._lock:
            return self._local_pack().write(family)

    def _local_pack(self) -> PackFile:
        if self._closed:
            raise RuntimeError("this sink is finished already")
        if self._local is None:
            self._local = PackFile(self._directory / temporary_name("pack"))
        return self._local

    def _remote_packs(self) -> WorkerPacks:
        if self._closed or self._workers is None:
            raise RuntimeError("this sink is finished already")
        if self._remote is None:
            self._remote = self._workers.packs(self._directory)
        return self._remote


def publish(directory: Path, written: Sequence[WrittenPack]) -> tuple[str, ...]:
    """Show synced packs to readers and make that durable.

    The pack comes before its index because Git finds packs by their indexes. A pack that already exists has the same
    bytes (its name is their digest) and is kept.
    """
    for pack in written:
        pack.pack.chmod(0o444)
        pack.index.chmod(0o444)
        pack.pack.rename(directory / f"pack-{pack.checksum}.pack")
        pack.index.rename(directory / f"pack-{pack.checksum}.idx")
    if written:
        sync_path(directory)
    crash_point("gittree.pack-renamed")
    return tuple(pack.checksum for pack in written)
