"""When a calendar is open, or a freeze in force, for each distinct (time zone, opening hours).

A combination is judged once, and the result is valid until its next change. Numbers are microseconds.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np
import structlog

from libs.calendars import Timetable, compiled_calendar, interval, is_open, next_change, openings
from libs.contracts import CalendarDeclared, FreezeDeclared
from libs.contracts.instants import UNIX_EPOCH

if TYPE_CHECKING:
    from numpy.typing import NDArray

log = structlog.get_logger("gates")
MICROSECOND = timedelta(microseconds=1)
NO_INSTANT = int(np.iinfo(np.int64).max)
_DAY = 86_400 * 1_000_000
AHEAD_DAYS = 4
SPREAD_DAYS = 8
AGAIN = 60 * 1_000_000
"""How long until a document that could not be judged is judged again."""
TRUSTED = 5 * 365 * _DAY
"""How long "never" stays valid, in microseconds: a calendar looks ahead ten years."""
UNJUDGED = int(np.iinfo(np.int64).min)

OpenAndNext = tuple[bool, datetime | None]
"""Whether it is open (in force) at an instant, and until when at least: exclusive, nothing for ever."""

Pair = tuple[str, str]
"""A time zone, and opening hours as their text."""

hours_of: Callable[[str], Timetable] = lru_cache(maxsize=65_536)(Timetable.from_text)
"""Read opening hours, remembering what was read before."""


def micros(at: datetime) -> int:
    """Return an instant as microseconds since the epoch."""
    return (at - UNIX_EPOCH) // MICROSECOND


def instant_of_micros(microseconds: int) -> datetime | None:
    """Return the instant of a number from `micros`; None for never."""
    return None if microseconds == NO_INSTANT else UNIX_EPOCH + timedelta(microseconds=microseconds)


def calendar_at(calendar: CalendarDeclared, pair: Pair, at: datetime) -> OpenAndNext:
    """Judge a calendar in a store of this zone and these hours."""
    zone, hours = pair[0], hours_of(pair[1])
    return is_open(calendar, zone, hours, at), next_change(calendar, zone, hours, at)


def freeze_interval(freeze: FreezeDeclared, zone: str) -> tuple[datetime, datetime]:
    """Return when a freeze begins and ends in a store of this zone."""
    if freeze.local:
        return interval(freeze.begins, freeze.ends, zone)
    return datetime.fromisoformat(freeze.begins), datetime.fromisoformat(freeze.ends)


def freeze_at(freeze: FreezeDeclared, pair: Pair, at: datetime) -> OpenAndNext:
    """Judge a freeze in a store of this zone: from its beginning until its end, exclusive."""
    begins, ends = freeze_interval(freeze, pair[0])
    if at < begins < ends:
        return False, begins
    return (True, ends) if begins <= at < ends else (False, None)


@dataclass(frozen=True, slots=True)
class Ahead:
    """The edges of a calendar's openings in [begins, ends): before the first it is closed."""

    begins: int
    ends: int
    edges: Sequence[int]


def ahead(calendar: CalendarDeclared, pair: Pair, at: datetime) -> Ahead:
    """Look some days ahead; the number differs between stores, so that not all are judged again at one time."""
    days = AHEAD_DAYS + crc32((pair[0] + pair[1]).encode()) % SPREAD_DAYS
    begins, ends = micros(at), micros(at) + days * _DAY
    found = openings(calendar, pair[0], hours_of(pair[1]), at, at + days * timedelta(days=1))
    edges = [edge for opening in found for edge in map(micros, opening)]
    return Ahead(begins, ends, edges[: bisect_right(edges, ends - 1)])


def by_hours(calendar: CalendarDeclared) -> bool:
    """Whether a calendar uses opening hours; an unreadable one is judged without them, and is closed."""
    try:
        return compiled_calendar(calendar).by_hours
    except Exception:  # noqa: BLE001 - whatever it is, judging it tells
        return False


def unreadable(error: Exception) -> str:
    """Return why a calendar or freeze counts as closed: it cannot be judged, and nothing opens by accident."""
    return f"it cannot be judged, so it counts as closed ({type(error).__name__}: {error})"


class Schedule:
    """One document's answers, a row a combination (`pairs`): `on`, `since` (inclusive), `until` (exclusive).

    A combination that cannot be judged is closed (a freeze: in force), and judged again after a while.
    """

    def __init__(self, document: CalendarDeclared | FreezeDeclared) -> None:
        self.document = document
        self.on: NDArray[np.bool_] = np.zeros(0, np.bool_)
        self.since: NDArray[np.int64] = np.zeros(0, np.int64)
        self.until: NDArray[np.int64] = np.zeros(0, np.int64)
        self.pairs: list[Pair] = []
        self._row_of: dict[Pair, int] = {}
        self._ahead: dict[int, Ahead] = {}
        self._told = False
        self._by_hours = isinstance(document, CalendarDeclared) and by_hours(document)
        self._by_zone = isinstance(document, CalendarDeclared) or document.local

    def _looked_at(self, pair: Pair) -> Pair:
        """Drop the parts that the document does not use, so that similar stores share a row."""
        return pair[0] if self._by_zone else "", pair[1] if self._by_hours else ""

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
            # An empty span is never valid: the row is judged when it is first used.
            self.since = np.concatenate([self.since, np.full(more, NO_INSTANT)])
            self.until = np.concatenate([self.until, np.full(more, UNJUDGED)])
        return found

    def judge(self, rows: NDArray[np.int64], now: datetime) -> None:
        """Bring these rows up to an instant."""
        at = micros(now)
        since = self.since[rows]
        stale = (since > at) | (self.until[rows] <= at) | (since < at - TRUSTED)
        for row in rows[stale].tolist():
            try:
                self.on[row], self.until[row] = self._judged(row, now, at)
            except Exception as error:
                self.on[row], self.until[row] = isinstance(self.document, FreezeDeclared), at + AGAIN
                if not self._told:
                    log.exception("gates.unreadable", document=self.document.name, reason=unreadable(error))
                self._told = True
            self.since[row] = at

    def _judged(self, row: int, now: datetime, at: int) -> tuple[bool, int]:
        """Return whether a row is on, and until when."""
        pair = self.pairs[row]
        if isinstance(self.document, FreezeDeclared):
            in_force, ends = freeze_at(self.document, pair, now)
            return in_force, NO_INSTANT if ends is None else micros(ends)
        known = self._ahead.get(row)
        if known is None or not known.begins <= at < known.ends:
            known = self._ahead[row] = ahead(self.document, pair, now)
        place = bisect_right(known.edges, at)
        if place < len(known.edges):
            return bool(place % 2), known.edges[place]
        # Nothing changes within the days looked ahead.
        is_on, until = calendar_at(self.document, pair, now)
        return is_on, NO_INSTANT if until is None else micros(until)
