"""The branch: read it, and move it from the value last seen to a new one, or not at all.

The one rule: a ref is only ever replaced while `<ref>.lock` is ours, as Git's own commands do, and after its value was
read again.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import time
from pathlib import Path

from libs.contracts.crash import crash_point
from libs.gittree.merge import sync_path
from libs.gittree.owner import is_ours, is_stale, temporary_name

_HEX = re.compile(rb"([0-9a-f]{40})\n?")
_BRANCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_LOCK_WAIT_SECONDS = 1.0
_moving: set[Path] = set()
"""The markers of moves that are under way in this process; any other one of ours could not be removed at its end."""


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
            raise ValueError(f"{self._path} holds no object id")
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
        # The lock is a second name of a file that names its owner, so that after a crash it is known to be ours.
        marker = self._root / temporary_name("ref")
        descriptor = os.open(marker, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        _moving.add(marker)
        try:
            self._acquire(marker)
            try:
                self._replace(descriptor, expected, new)
            except BaseException:
                self._lock.unlink(missing_ok=True)
                raise
        finally:
            os.close(descriptor)
            _moving.discard(marker)
            marker.unlink(missing_ok=True)

    def _replace(self, descriptor: int, expected: str | None, new: str) -> None:
        crash_point("gittree.ref-locked")
        found = self.read()
        if found != expected:
            if found == new:  # an earlier move got as far as that, and may have failed to make it durable
                with contextlib.suppress(FileNotFoundError):  # packed, by a git command that made it durable
                    sync_path(self._path)
                    sync_path(self._path.parent)
            raise RefMoved(found)
        line = new.encode() + b"\n"
        if os.write(descriptor, line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._lock))
        os.fsync(descriptor)
        crash_point("gittree.ref-written")
        self._lock.rename(self._path)
        sync_path(self._path.parent)
        crash_point("gittree.ref-renamed")

    def _acquire(self, marker: Path) -> None:
        deadline = time.monotonic() + _LOCK_WAIT_SECONDS
        while True:
            try:
                os.link(marker, self._lock)
            except FileExistsError:
                if self.release_stale():
                    continue
                if time.monotonic() > deadline:
                    raise RefLocked(f"{self._lock} is held by another process") from None
                time.sleep(0.01)
            else:
                return

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
        """Remove the lock if the move that took it, one of ours, has ended or died; return whether it was removed.

        A disk that became read-only in the middle of a move keeps its lock, though the process goes on.
        """
        for marker in self._root.iterdir():
            if is_stale(marker.name) or (is_ours(marker.name) and marker not in _moving):
                with contextlib.suppress(FileNotFoundError):
                    if marker.samefile(self._lock):
                        self._lock.unlink()
                        marker.unlink()
                        return True
        return False
