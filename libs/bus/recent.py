"""The events that this process appended last, for a feed, so that it need not read and decode them again.

It holds one unbroken and bounded part of the log's chain; everything else is read from the log. After an append by
another process it starts again.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from libs.bus.contract import Page
from libs.eventlog import Entry, LogCommit, recorded

_EVENTS_MAX = 100_000
BYTES_MAX = 64 * 1024 * 1024


class Recent:
    """Gets commits in the appending thread; may be read in any other."""

    def __init__(self, events_max: int = _EVENTS_MAX, bytes_max: int = BYTES_MAX) -> None:
        self._events_max, self._bytes_max = events_max, bytes_max
        self._lock = threading.Lock()
        self._entries: list[Entry] = []
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def take(self, commit: LogCommit) -> None:
        """Keep what was just committed, and drop the oldest events beyond the bound."""
        with self._lock:
            if self._entries and self._entries[-1].hash != commit.before:
                self._drop(len(self._entries))
            self._entries += commit.entries
            self._bytes += _bytes(commit.entries)
            if self._bytes > self._bytes_max or len(self._entries) > self._events_max:
                self._drop_too_much()

    def page(self, after: int, limit: int) -> Page | None:
        """Return the same as `read_page`, if the event at `after` and one after it are held."""
        with self._lock:
            start = after - self._entries[0].envelope.position if self._entries else -1
            if not 0 <= start < len(self._entries) - 1:
                return None
            held = self._entries[start : start + 1 + limit]
        before, *events = recorded(held)
        return Page(before, events)

    def seen(self, position: int) -> None:
        """Drop the events that all consumers have seen, but keep the last: a page includes the event before it."""
        with self._lock:
            if self._entries:
                seen = position - self._entries[0].envelope.position
                self._drop(min(seen, len(self._entries) - 1))

    def clear(self) -> None:
        """Drop everything."""
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
