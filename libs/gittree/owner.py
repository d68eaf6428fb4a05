"""Names and locks that identify their process, to tell the leftovers of a dead process from work in progress.

The one rule: a name is removed only when the process that made it (number and start time) is gone. A lock whose owner
cannot be checked here, because it is Git's or of another host, counts as abandoned only when it is old and no process
has it open.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import os
import re
from dataclasses import dataclass
from pathlib import Path

_NAME = re.compile(r"tmp_(?:pack|ref)_([0-9]+)_([0-9]+)_[0-9a-z]+(?:\.idx)?")
_OWNED = re.compile(r"resedge ([0-9a-f]{16}) (tmp_ref_([0-9]+)_[0-9]+_[0-9a-z]+)\n")
_LOCK_BYTES_MAX = 256
UNNAMED_SECONDS = 10.0
"""The age from which a lock of Git counts as abandoned: Git holds one for milliseconds, and keeps it open."""
ELSEWHERE_SECONDS = 60.0
"""The age from which a lock of ours by another container or host counts as abandoned."""
_numbers = itertools.count()


def _start_of(process: int) -> int | None:
    """Return when a process started, in kernel ticks; 0 where the platform does not say; None if there is none."""
    try:
        status = Path(f"/proc/{process}/stat").read_bytes()
    except OSError:
        if Path("/proc/self/stat").exists():
            return None
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return None
        except PermissionError:
            return 0
        return 0
    # The command's name, in parentheses, may hold spaces: field 22 is counted from after it.
    fields = status.rpartition(b")")[2].split()
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def temporary_name(kind: str, suffix: str = "") -> str:
    """Return a fresh name `tmp_<kind>_<pid>_<start>_<number>`, `kind` being `pack` or `ref`."""
    return f"tmp_{kind}_{os.getpid()}_{_start_of(os.getpid()) or 0}_{next(_numbers)}{suffix}"


def is_stale(name: str) -> bool:
    """Tell whether `name` is a temporary name of a process that is gone."""
    found = _NAME.fullmatch(name)
    return found is not None and _start_of(int(found[1])) != int(found[2])


def is_ours(name: str) -> bool:
    """Tell whether `name` is a temporary name that this process has made."""
    found = _NAME.fullmatch(name)
    return found is not None and (int(found[1]), int(found[2])) == (os.getpid(), _start_of(os.getpid()) or 0)


def remove_stale(directory: Path) -> list[str]:
    """Remove the leftovers of dead processes in `directory`; return their names."""
    names = [path.name for path in directory.iterdir() if is_stale(path.name)]
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            (directory / name).unlink()
    return names


@functools.cache
def _place() -> str:
    """Return an id of the scope of process numbers: this boot, this process namespace."""
    parts = []
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text("ascii"))
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def owner_line(name: str) -> bytes:
    """Return the content of a lock, which names its owner; `name` is a temporary name of `ref`."""
    return f"resedge {_place()} {name}\n".encode()


@dataclass(frozen=True, slots=True)
class LockFound:
    """A lock that was found: its content and age."""

    path: Path
    said: str
    age_seconds: float

    @classmethod
    def at(cls, path: Path, now: float) -> LockFound | None:
        """Return the lock at `path`, if there is one; `now` is the file system's own time."""
        try:
            with path.open("rb") as file:
                said = file.read(_LOCK_BYTES_MAX).decode("utf-8", "replace")
                return cls(path, said, now - os.fstat(file.fileno()).st_mtime)
        except FileNotFoundError:
            return None

    @property
    def left_behind(self) -> bool:
        """Whether its owner is gone."""
        owned = _OWNED.fullmatch(self.said)
        if owned is not None and owned[1] == _place():
            return is_stale(owned[2])
        seconds = UNNAMED_SECONDS if owned is None else ELSEWHERE_SECONDS
        return self.age_seconds > seconds and not _open_somewhere(self.path)

    @property
    def marker(self) -> str:
        """Return the temporary name under which it was taken in this scope; empty for another one."""
        owned = _OWNED.fullmatch(self.said)
        return owned[2] if owned is not None and owned[1] == _place() else ""

    @property
    def owner(self) -> str:
        """Return its holder as text."""
        owned = _OWNED.fullmatch(self.said)
        if owned is None:
            return "a git command"
        return f"process {owned[3]}{'' if owned[1] == _place() else ' of another host or container'}"


def _open_somewhere(path: Path) -> bool:
    """Tell whether a visible process has the file open; True if processes are not visible."""
    try:
        wanted = path.stat()
        processes = [each for each in Path("/proc").iterdir() if each.name.isdecimal()]
    except FileNotFoundError:
        return not Path("/proc").exists()
    for process in processes:
        with contextlib.suppress(OSError):  # it has ended, or belongs to another user, who cannot write here
            for descriptor in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    found = descriptor.stat()
                    if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
                        return True
    return False
