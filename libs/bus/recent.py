"""The events that this process has appended last, for a feed that need not read and decode them again.

The one rule: it holds one unbroken stretch of the log's chain, within bounds; what it does not hold is read from the
log. When somebody else has appended in between, it starts anew.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from libs.bus.contract import Page
from libs.eventlog import Commit, Entry, recorded

EVENTS_MAX = 100_000
BYTES_MAX = 64 * 1024 * 1024


class Recent:
    """Is told of commits in the thread that appends, and asked in any other one."""

    def __init__(self, events_max: int = EVENTS_MAX, bytes_max: int = BYTES_MAX) -> None:
        self._events_max, self._bytes_max = events_max, bytes_max
        self._lock = threading.Lock()
        self._entries: list[Entry] = []
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def take(self, commit: Commit) -> None:
        """Hold what was just committed, and no longer what is too much beside it."""
        with self._lock:
            if self._entries and self._entries[-1].hash != commit.before:
                self._drop(len(self._entries))
            self._entries += commit.entries
            self._bytes += _bytes(commit.entries)
            if self._bytes > self._bytes_max or len(self._entries) > self._events_max:
                self._drop_too_much()

    def page(self, after: int, limit: int) -> Page | None:
        """Return what `read_page` does, if the event at `after` and one after it are held."""
        with self._lock:
            start = after - self._entries[0].envelope.position if self._entries else -1
            if not 0 <= start < len(self._entries) - 1:
                return None
            held = self._entries[start : start + 1 + limit]
        before, *events = recorded(held)
        return Page(before, events)

    def seen(self, position: int) -> None:
        """Hold no longer what everybody has seen; the last event stays, since a page says what stands before it."""
        with self._lock:
            if self._entries:
                seen = position - self._entries[0].envelope.position
                self._drop(min(seen, len(self._entries) - 1))

    def clear(self) -> None:
        """Hold nothing."""
        with self._lock:
            self._drop(len(self._entries))

    def _drop_too_much(self) -> None:
        count, left = max(0, len(self._entries) - self._events_max), self._bytes
        left -= _bytes(self._entries[:count])
        while left > self._bytes_max:
            left -= len(self._entries[count].new.data)
            count += 1
        self._drop(count)

    def _drop(self, count: int) -> None:
        if count > 0:
            self._bytes -= _bytes(self._entries[:count])
            del self._entries[:count]


def _bytes(entries: Sequence[Entry]) -> int:
    return sum(len(each.new.data) for each in entries)
