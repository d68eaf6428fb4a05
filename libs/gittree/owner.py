"""Names and locks that say which process they belong to, to tell what a dead one left behind from work in progress.

The one rule: a name is removed only when the very process that made it (number and start) is gone. A lock whose owner
cannot be looked for here, since it is Git's or of another host, is left behind only when it is old and nobody has it
open.
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
"""How old a lock of Git's own must be, which it holds for milliseconds and has open all the while."""
ELSEWHERE_SECONDS = 60.0
"""How old a lock of ours must be whose owner ran in another container or on another host."""
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
    """Say whether `name` is a temporary name of a process that is gone."""
    found = _NAME.fullmatch(name)
    return found is not None and _start_of(int(found[1])) != int(found[2])


def is_ours(name: str) -> bool:
    """Say whether `name` is a temporary name that this very process has made."""
    found = _NAME.fullmatch(name)
    return found is not None and (int(found[1]), int(found[2])) == (os.getpid(), _start_of(os.getpid()) or 0)


def remove_stale(directory: Path) -> list[str]:
    """Remove what dead processes left in `directory`; answers with the names."""
    names = [path.name for path in directory.iterdir() if is_stale(path.name)]
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            (directory / name).unlink()
    return names


@functools.cache
def _place() -> str:
    """Return a mark of where process numbers mean what they mean here: this boot, this process namespace."""
    parts = []
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text("ascii"))
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def owner_line(name: str) -> bytes:
    """Return what a lock holds, so that whoever meets it knows whose it is; `name` is a temporary name of `ref`."""
    return f"resedge {_place()} {name}\n".encode()


@dataclass(frozen=True, slots=True)
class LockFound:
    """A lock as it was met: what it says and how old it is."""

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
        """Return the temporary name that it was taken under in this place; empty for another's."""
        owned = _OWNED.fullmatch(self.said)
        return owned[2] if owned is not None and owned[1] == _place() else ""

    @property
    def owner(self) -> str:
        """Return who holds it, in words."""
        owned = _OWNED.fullmatch(self.said)
        if owned is None:
            return "a git command"
        return f"process {owned[3]}{'' if owned[1] == _place() else ' of another host or container'}"


def _open_somewhere(path: Path) -> bool:
    """Tell whether a process that can be seen from here has the file open; yes where none can be seen."""
    try:
        wanted = path.stat()
        processes = [each for each in Path("/proc").iterdir() if each.name.isdecimal()]
    except FileNotFoundError:
        return not Path("/proc").exists()
    for process in processes:
        with contextlib.suppress(OSError):  # it has ended, or is somebody else's, who cannot write here
            for descriptor in (process / "fd").iterdir():
                with contextlib.suppress(OSError):
                    found = descriptor.stat()
                    if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
                        return True
    return False
