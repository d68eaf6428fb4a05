"""The branch: reads it, and moves it from the value last seen to a new one, or not at all.

The one rule: a ref is only replaced while we hold `<ref>.lock`, as Git's own commands do, and after its value was read
again. The lock names its owner; that of a dead owner is taken over, a live one's is respected.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from pathlib import Path

from libs.contracts.crash import crash_point
from libs.gittree.merge import sync_path
from libs.gittree.owner import LockFound, is_ours, is_stale, owner_line, temporary_name

_HEX = re.compile(rb"([0-9a-f]{40})\n?")
_BRANCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_LOCK_WAIT_SECONDS = 1.0
_GUARD = "resedge-takeover.guard"
"""The file whose `flock` lets one process at a time take over the lock of a dead one."""
_moving: set[str] = set()
"""The markers of running moves of this process; any other marker of ours is a leftover."""


class RefMoved(RuntimeError):  # noqa: N818 - it states the fact
    """The branch is not where it was last seen: somebody else wrote to it."""

    code = "ref-moved"

    def __init__(self, found: str | None) -> None:
        super().__init__(f"the branch is at {found or 'no commit'}, which is not what was expected")
        self.found = found


class RefLocked(RuntimeError):  # noqa: N818 - it states the fact
    """Another process holds the branch's lock file; remove the file only if no git command is running there."""

    code = "ref-locked"


def validate_branch(branch: str) -> str:
    """Return `branch` if it is a plain branch name.

    Raises:
        ValueError: it is not; see git-check-ref-format(1), of which this allows a part.
    """
    if (
        _BRANCH.fullmatch(branch) is None
        or ".." in branch
        or any(part.endswith((".", ".lock")) for part in branch.split("/"))
    ):
        raise ValueError(f"{branch!r} is not a branch name")
    return branch


class Ref:
    """`refs/heads/<branch>` of the bare repository at `root`."""

    def __init__(self, root: Path, branch: str) -> None:
        self._root = root
        self.name = f"refs/heads/{validate_branch(branch)}"
        self._path = root / self.name
        self._lock = self._path.with_name(self._path.name + ".lock")

    def read(self) -> str | None:
        """Return the commit that the branch names, loose or packed, or None."""
        try:
            found = _HEX.fullmatch(self._path.read_bytes())
        except FileNotFoundError:
            return self._read_packed()
        if found is None:
            raise ValueError(f"{self._path} does not hold an object id")
        return found[1].decode()

    def move(self, expected: str | None, new: str) -> None:
        """Move the branch from `expected` (None: it must not exist) to `new`, durably.

        Raises:
            RefMoved: it is elsewhere.
            RefLocked: somebody holds the lock for more than a second.
        """
        if _HEX.fullmatch(new.encode()) is None:
            raise ValueError(f"{new!r} is not an object id")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # The lock is a hard link to a file that names its owner, so that it has an owner from the start.
        marker = self._root / temporary_name("ref")
        value = self._root / temporary_name("ref")
        _moving.update((marker.name, value.name))
        try:
            marker.write_bytes(owner_line(marker.name))
            self._acquire(marker)
            try:
                self._replace(value, expected, new)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    if marker.samefile(self._lock):
                        self._lock.unlink()
        finally:
            _moving.difference_update((marker.name, value.name))
            marker.unlink(missing_ok=True)
            value.unlink(missing_ok=True)

    def _replace(self, value: Path, expected: str | None, new: str) -> None:
        crash_point("gittree.ref-locked")
        found = self.read()
        if found != expected:
            if found == new:  # an earlier move did this, and may have failed to make it durable
                with contextlib.suppress(FileNotFoundError):  # packed, by a git command that made it durable
                    sync_path(self._path)
                    sync_path(self._path.parent)
            raise RefMoved(found)
        with value.open("xb") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(new.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        crash_point("gittree.ref-written")
        value.rename(self._path)
        sync_path(self._path.parent)
        crash_point("gittree.ref-renamed")

    def _acquire(self, marker: Path) -> None:
        deadline = time.monotonic() + _LOCK_WAIT_SECONDS
        while True:
            try:
                os.link(marker, self._lock)
            except FileExistsError:
                holder = self._take_over()
                if holder and time.monotonic() > deadline:
                    raise RefLocked(f"{self._lock} is held by {holder}") from None
                time.sleep(0.01)
            else:
                return

    def _take_over(self) -> str:
        """Remove the lock if its owner is gone; else return who holds it."""
        # One at a time: nobody may replace the lock between a check and its removal.
        guard = os.open(self._root / _GUARD, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(guard, fcntl.LOCK_EX)
            os.utime(guard)
            found = LockFound.at(self._lock, os.fstat(guard).st_mtime)
            if found is None:
                return ""
            if not (found.left_behind or _ended_here(found) or self._has_stale_marker()):
                return found.owner
            self._lock.unlink(missing_ok=True)
            self._tidy()
            return ""
        finally:
            os.close(guard)

    def _tidy(self) -> None:
        """Remove the leftovers of a move that could not clean up, as on a read-only disk."""
        for path in self._root.glob("tmp_ref_*"):
            if is_stale(path.name) or (is_ours(path.name) and path.name not in _moving):
                path.unlink(missing_ok=True)

    def _has_stale_marker(self) -> bool:
        """Tell whether the lock is a hard link to a dead process's file, as in older versions."""
        stale = [path for path in self._root.iterdir() if is_stale(path.name)]
        with contextlib.suppress(FileNotFoundError):
            return any(marker.samefile(self._lock) for marker in stale)
        return False

    def _read_packed(self) -> str | None:
        try:
            lines = (self._root / "packed-refs").read_text("utf-8", "replace").splitlines()
        except FileNotFoundError:
            return None
        for line in lines:
            identity, _, name = line.partition(" ")
            if name == self.name:
                return identity
        return None

    def release_stale(self) -> bool:
        """Remove the lock if the move that took it has ended or its process is gone; return whether it was removed.

        A disk that becomes read-only during a move keeps its lock, though the process continues.
        """
        return self._lock.exists() and not self._take_over()


def _ended_here(lock: LockFound) -> bool:
    """Tell whether a lock is of this process, but of a move that has ended."""
    return is_ours(lock.marker) and lock.marker not in _moving
