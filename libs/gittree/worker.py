"""A worker process: hashes and packs the chunks that it receives, one pack file per sink.

It ends when its pipe closes, whatever it was doing; its leftovers have temporary names.
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, assert_never

from libs.gittree.pack import PackFile, sync_pack
from libs.gittree.wire import receive, send

if TYPE_CHECKING:
    from pathlib import Path

    from libs.gittree.family import Family

# The processes that answer requests have priority on a busy machine.
NICENESS = 5


@dataclass(frozen=True, slots=True)
class Write:
    """Append `family` to the pack at `path`; answered with its ids."""

    path: Path
    family: Family


@dataclass(frozen=True, slots=True)
class Finish:
    """Complete the pack at `path` and sync it to the disk; answered with a `WrittenPack`."""

    path: Path


@dataclass(frozen=True, slots=True)
class Abort:
    """Forget the pack at `path`."""

    path: Path


Request = Write | Finish | Abort


@dataclass(frozen=True, slots=True)
class Failure:
    """The request failed; the worker continues."""

    reason: str


def _carry_out(request: Request, packs: dict[Path, PackFile]) -> object:
    match request:
        case Write(path, family):
            pack = packs.get(path) or packs.setdefault(path, PackFile(path))
            return pack.write(family)
        case Finish(path):
            pack = packs.pop(path)
            written = pack.finish()
            if written is not None:
                sync_pack(written)
            return written
        case Abort(path):
            if (aborted := packs.pop(path, None)) is not None:
                aborted.abort()
            return None
        case _:
            assert_never(request)


def _serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Execute requests until the other end is gone."""
    packs: dict[Path, PackFile] = {}
    while True:
        try:
            request: Request = receive(source)
        except EOFError:
            return
        answer: object
        try:
            answer = _carry_out(request, packs)
        except (OSError, ValueError, KeyError, MemoryError) as error:
            answer = Failure(f"{type(error).__name__}: {error}")
        try:
            send(sink, answer)
        except BrokenPipeError:
            return


def main() -> None:
    """Serve on standard input and output; nothing else may print there."""
    # Ctrl-C reaches the whole process group; the parent decides when its workers end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICENESS)
    answers = os.dup(1)
    os.dup2(2, 1)
    with os.fdopen(answers, "wb") as sink:
        _serve(sys.stdin.buffer, sink)
