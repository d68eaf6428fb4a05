"""The branch: read it, and move it from the value last seen to a new one, or not at all.

The one rule: a ref is only ever replaced while `<ref>.lock` is ours, as Git's own commands do, and after its value was
read again.
"""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING

from libs.contracts.crash import crash_point
from libs.gittree.merge import sync_path
from libs.gittree.owner import is_stale, temporary_name

if TYPE_CHECKING:
    from pathlib import Path

_HEX = re.compile(rb"([0-9a-f]{40})\n?")
_BRANCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_LOCK_WAIT_SECONDS = 1.0


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
        try:
            self._acquire(marker)
            try:
                self._replace(descriptor, expected, new)
            except BaseException:
                self._lock.unlink(missing_ok=True)
                raise
        finally:
            os.close(descriptor)
            marker.unlink(missing_ok=True)

    def _replace(self, descriptor: int, expected: str | None, new: str) -> None:
        crash_point("gittree.ref-locked")
        found = self.read()
        if found != expected:
            raise RefMoved(found)
        os.write(descriptor, new.encode() + b"\n")
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

    def release_stale(self) -> None:
        """Remove the lock if the process that took it, one of ours, is gone."""
        if not self._lock.exists():
            return
        stale = [path for path in self._root.iterdir() if is_stale(path.name)]
        if any(marker.samefile(self._lock) for marker in stale):
            self._lock.unlink()
