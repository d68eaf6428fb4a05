"""In which order files of tests are run by workers that each take the next file (`--dist loadfile`).

What takes longest does not come last, where one worker would run it alone. Drills wait much and compute little, so each
has a file of the others beside it; of both the ones that took longest in the recorded run come first, and of those it
does not know the ones with the most tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain, zip_longest
from pathlib import Path
from typing import TypeVar

_Item = TypeVar("_Item")
LONG = ("distributed", "demo")
"""Folders whose files wait more than they compute."""


def ordered(
    items: Iterable[_Item], path_of: Callable[[_Item], Path], seconds_of: Callable[[Path], float]
) -> list[_Item]:
    """Return the items, those of a file together and in their order."""
    files: dict[Path, list[_Item]] = {}
    for item in items:
        files.setdefault(path_of(item), []).append(item)
    by_time = sorted(files, key=lambda path: (-seconds_of(path), -len(files[path]), str(path)))
    long = [path for path in by_time if path.parent.name in LONG]
    others = [path for path in by_time if path.parent.name not in LONG]
    return [item for path in _alternating(long, others) for item in files[path]]


def _alternating(first: Sequence[Path], second: Sequence[Path]) -> list[Path]:
    return [path for path in chain.from_iterable(zip_longest(first, second)) if path is not None]
