"""When a calendar is open, or a freeze in force, for each distinct (time zone, opening hours) that was asked about.

The one rule: a combination is judged once and what was found holds until its next change; instants are microseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from libs.calendars import Hours, compiled, interval, is_open, next_change
from libs.contracts import CalendarDeclared, FreezeDeclared

if TYPE_CHECKING:
    from numpy.typing import NDArray

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
NEVER = int(np.iinfo(np.int64).max)
TRUSTED = 5 * 365 * 86_400 * 1_000_000
"""How long "never" is believed, in microseconds: a calendar looks ahead ten years."""
UNJUDGED = int(np.iinfo(np.int64).min)

Found = tuple[bool, datetime | None]
"""Whether it is open (in force) at an instant, and until when at least: exclusive, nothing for ever."""

Pair = tuple[str, str]
"""A time zone, and opening hours as their text."""

hours_of: Callable[[str], Hours] = lru_cache(maxsize=65_536)(Hours.from_text)
"""Read opening hours, remembering what was read before."""


def micros(at: datetime) -> int:
    """Return an instant as microseconds since the epoch."""
    return (at - EPOCH) // MICROSECOND


def instant(microseconds: int) -> datetime | None:
    """Return the instant that `micros` wrote; nothing for never."""
    return None if microseconds == NEVER else EPOCH + timedelta(microseconds=microseconds)


def calendar_at(calendar: CalendarDeclared, pair: Pair, at: datetime) -> Found:
    """Judge a calendar in a store of this zone and these hours."""
    zone, hours = pair[0], hours_of(pair[1])
    return is_open(calendar, zone, hours, at), next_change(calendar, zone, hours, at)


def freeze_interval(freeze: FreezeDeclared, zone: str) -> tuple[datetime, datetime]:
    """Return when a freeze begins and ends in a store of this zone."""
    if freeze.local:
        return interval(freeze.begins, freeze.ends, zone)
    return datetime.fromisoformat(freeze.begins), datetime.fromisoformat(freeze.ends)


def freeze_at(freeze: FreezeDeclared, pair: Pair, at: datetime) -> Found:
    """Judge a freeze in a store of this zone: from its beginning until its end, exclusive."""
    begins, ends = freeze_interval(freeze, pair[0])
    if at < begins < ends:
        return False, begins
    return (True, ends) if begins <= at < ends else (False, None)


def judged(document: CalendarDeclared | FreezeDeclared, pair: Pair, at: datetime) -> Found:
    """Judge either."""
    return calendar_at(document, pair, at) if isinstance(document, CalendarDeclared) else freeze_at(document, pair, at)


class Schedule:
    """One document's answers, a row a combination (`pairs`): `on`, `since` (inclusive), `until` (exclusive)."""

    def __init__(self, document: CalendarDeclared | FreezeDeclared) -> None:
        self.document = document
        self.on: NDArray[np.bool_] = np.zeros(0, np.bool_)
        self.since: NDArray[np.int64] = np.zeros(0, np.int64)
        self.until: NDArray[np.int64] = np.zeros(0, np.int64)
        self.pairs: list[Pair] = []
        self._row_of: dict[Pair, int] = {}

    def _looked_at(self, pair: Pair) -> Pair:
        """Leave out what the document does not look at, so that stores alike share a row."""
        if isinstance(self.document, CalendarDeclared):
            return pair if compiled(self.document).by_hours else (pair[0], "")
        return (pair[0], "") if self.document.local else ("", "")

    def rows(self, pairs: Sequence[Pair]) -> NDArray[np.int64]:
        """Return the row of each combination."""
        found = np.empty(len(pairs), np.int64)
        for place, pair in enumerate(pairs):
            looked_at = self._looked_at(pair)
            row = self._row_of.get(looked_at)
            if row is None:
                row = self._row_of[looked_at] = len(self.pairs)
                self.pairs.append(looked_at)
            found[place] = row
        more = len(self.pairs) - len(self.on)
        if more:
            self.on = np.concatenate([self.on, np.zeros(more, np.bool_)])
            # An empty span holds at no instant: the row is judged when it is first asked for.
            self.since = np.concatenate([self.since, np.full(more, NEVER)])
            self.until = np.concatenate([self.until, np.full(more, UNJUDGED)])
        return found

    def judge(self, rows: NDArray[np.int64], now: datetime) -> None:
        """Bring these rows up to an instant."""
        at = micros(now)
        since = self.since[rows]
        stale = (since > at) | (self.until[rows] <= at) | (since < at - TRUSTED)
        for row in rows[stale].tolist():
            pair = self.pairs[row]
            on, until = judged(self.document, pair, now)
            self.on[row], self.since[row] = on, at
            self.until[row] = NEVER if until is None else micros(until)
