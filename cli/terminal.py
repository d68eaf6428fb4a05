"""The abilities of a terminal: colour, width, progress.

Output to anything else is plain: no colour, no progress, nothing cut off.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from typing import TYPE_CHECKING, TextIO, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

T = TypeVar("T")

_PROGRESS_AFTER_SECONDS = 1.0
_PROGRESS_EVERY_SECONDS = 0.1
_BAR_CELLS = 24
_COLOURS = {"red": 31, "green": 32, "yellow": 33, "bold": 1}


def is_plain(stream: TextIO) -> bool:
    """Tell whether a stream accepts no control sequences: not a terminal, or `TERM=dumb`."""
    return not stream.isatty() or os.environ.get("TERM") == "dumb"


def coloured(text: str, colour: str, stream: TextIO) -> str:
    """Return the text in a colour where the stream shows colours and `NO_COLOR` does not forbid them."""
    if is_plain(stream) or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"


def asks() -> bool:
    """Whether there is a person to ask: input and messages are both a terminal."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def width(stream: TextIO) -> int | None:
    """Return the columns of a terminal; None where nothing may be cut off."""
    return shutil.get_terminal_size().columns if stream.isatty() else None


def progress(items: Iterable[T], total: int, label: str) -> Iterator[T]:
    """Yield the items; on a terminal show how far they are, once it has taken longer than a second."""
    if is_plain(sys.stderr):
        yield from items
        return
    started = shown = time.monotonic()
    drawn = False
    try:
        for done, item in enumerate(items):
            now = time.monotonic()
            if now - started > _PROGRESS_AFTER_SECONDS and now - shown > _PROGRESS_EVERY_SECONDS:
                shown, drawn = now, True
                cells = _BAR_CELLS * done // max(total, 1)
                bar = "#" * cells + "." * (_BAR_CELLS - cells)
                print(f"\r{label} [{bar}] {done:,}/{total:,}", end="", file=sys.stderr, flush=True)
            yield item
    finally:
        if drawn:
            print("\r\x1b[2K", end="", file=sys.stderr, flush=True)
