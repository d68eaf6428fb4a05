"""A lock on a data directory, for one process; it ends with the process, however that ends."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class DataDirInUse(RuntimeError):  # noqa: N818 - it states the fact
    """Another process works with this data directory."""


class DataDirLock:
    """An exclusive lock on a data directory, held from construction until `release` or the end of the process."""

    def __init__(self, data_dir: Path, name: str = "lock") -> None:
        """Take the lock.

        Raises:
            DataDirInUse: another process has it.
        """
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = data_dir / name
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._descriptor)
            raise DataDirInUse(
                f"{data_dir} is in use by process {holder}: stop it, or choose another directory with --data-dir"
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode("ascii"), 0)

    def release(self) -> None:
        """Give the lock back."""
        os.close(self._descriptor)
