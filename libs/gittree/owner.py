"""Temporary names that say which process they belong to, to tell what a dead one left behind from work in progress.

The one rule: a name is removed only when the very process that made it (number and start) is gone.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from pathlib import Path

_NAME = re.compile(r"tmp_(?:pack|ref)_([0-9]+)_([0-9]+)_[0-9a-z]+(?:\.idx)?")
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
