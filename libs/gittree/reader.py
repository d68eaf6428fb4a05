"""Reads objects through one long-lived `git cat-file --batch`.

Answers come from git itself, not from what this process wrote, so that they can be used for verification.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import threading
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING

from libs.gittree.names import Mode
from libs.gittree.process import GitFailed, command, git_environment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_NAME = re.compile(r"[0-9a-f]{40}(:[A-Za-z0-9._/-]*)?")


class ObjectMissing(LookupError):  # noqa: N818 - it states the fact
    """The repository has no such object, or it is of another kind."""

    code = "object-missing"


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """One entry of a tree. `id` is in hex."""

    name: str
    mode: Mode
    id: str


class GitReader:
    """Thread-safe; starts git at the first question and again after `close`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._end: Callable[[], object] | None = None

    def read(self, name: str, kind: str) -> bytes:
        """Return the bytes of the object `name`: an id, or `<commit or tree id>:<path>`.

        Raises:
            ObjectMissing: there is none, or it is not a `kind`.
            GitFailed: git ended.
        """
        if _NAME.fullmatch(name) is None:
            raise ObjectMissing(f"{name[:200]!r} does not name an object")
        with self._lock:
            found, data = self._ask(name)
        if found != kind:
            raise ObjectMissing(f"{name} is a {found}, not a {kind}")
        return data

    def close(self) -> None:
        """End git; the next question starts it again."""
        with self._lock:
            if self._end is not None:
                self._end()
            self._process = self._end = None

    def _ask(self, name: str) -> tuple[str, bytes]:
        if self._process is None or self._process.poll() is not None:
            if self._end is not None:
                self._end()
            self._process = process = subprocess.Popen(
                command(self._root, "cat-file", "--batch"),
                env=git_environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            # A reader that is dropped without `close` ends its process too.
            self._end = weakref.finalize(self, _end, process)
        source, sink = self._process.stdout, self._process.stdin
        if source is None or sink is None:
            raise GitFailed("git was started without pipes")
        try:
            sink.write(name.encode() + b"\n")
            sink.flush()
            head = source.readline().split()
            if len(head) != 3:
                if not head:
                    raise GitFailed("git cat-file ended")
                return "missing", b""
            size = int(head[2])
            data = source.read(size + 1)
        except OSError as error:
            raise GitFailed("git cat-file ended") from error
        if len(data) != size + 1:
            raise GitFailed("git cat-file ended within an object")
        return head[1].decode(), data[:-1]


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


def parse_tree(data: bytes) -> list[TreeEntry]:
    """Read a tree object.

    Raises:
        ValueError: it has a mode that is never written here, or is cut short.
    """
    entries, at = [], 0
    while at < len(data):
        end = data.index(b"\0", at)
        mode, _, name = data[at:end].partition(b" ")
        identity = data[end + 1 : end + 21]
        if len(identity) != 20:
            raise ValueError("the tree is cut short")
        entries.append(TreeEntry(name.decode("utf-8", "replace"), Mode(mode), identity.hex()))
        at = end + 21
    return entries
