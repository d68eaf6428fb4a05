"""Whether a calendar is open at an instant, when that changes next, and all its openings within an interval.

The one rule: every answer is a pure function of (calendar, zone, hours, instant); caches only hold such answers.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING

from libs.calendars.edges import edge, local_of
from libs.calendars.hours import Timetable
from libs.calendars.windows import (
    CompiledCalendar,
    Interval,
    OutsideHours,
    Recurring,
    Window,
    compiled_calendar,
    intervals_of,
    merged,
    neighbours,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libs.contracts.policy import CalendarDeclared

CHUNK_DAYS = 8
HORIZONS_DAYS = (8, 40, 400, 3_660)
"""How far `next_change` looks, step by step: ten years at most."""
WHOLE_DAYS = (1, 8, 40, 400)
"""How far `openings` looks on both sides for the edges of an opening, step by step."""
MINUTES_A_DAY = 1_440
_NO_HOURS = Timetable()


def openings(calendar: CalendarDeclared, zone: str, hours: Timetable, start: datetime, end: datetime) -> list[Interval]:
    """Return the openings that overlap [start, end): instants in UTC, half-open, sorted, disjoint.

    They are whole: their edges may lie outside. An opening of more than a year is cut there.
    """
    known, kept = compiled_calendar(calendar), _kept(calendar, hours)
    found: list[Interval] = []
    for more in WHOLE_DAYS:
        first = local_of(zone, start).date() - timedelta(days=more)
        until = local_of(zone, end).date() + timedelta(days=more + 1)
        span = _span(known, zone, kept, first.toordinal(), (until - first).days)
        found = [each for each in span if each[1] > start and each[0] < end]
        low, high = _midnight(zone, first.isoformat()), _midnight(zone, until.isoformat())
        if not found or (low <= found[0][0] and found[-1][1] <= high):
            break
    return found


def is_open(calendar: CalendarDeclared, zone: str, hours: Timetable, t: datetime) -> bool:
    """Return whether changes may be admitted at an instant."""
    return _open_at(_chunk(compiled_calendar(calendar), zone, _kept(calendar, hours), t, CHUNK_DAYS), t)


def next_change(calendar: CalendarDeclared, zone: str, hours: Timetable, t: datetime) -> datetime | None:
    """Return the first instant after `t` at which `is_open` answers otherwise; nothing within ten years: None."""
    known, kept = compiled_calendar(calendar), _kept(calendar, hours)
    for days in HORIZONS_DAYS:
        limit = t + timedelta(days=days)
        for begins, ends in _chunk(known, zone, kept, t, days):
            if t < begins < limit:
                return begins
            if t < ends < limit and begins <= t:
                return ends
    return None


def never_opens(calendar: CalendarDeclared, zone: str, hours: Timetable, t: datetime) -> str | None:
    """Return why a calendar never opens after an instant; None if it does."""
    if is_open(calendar, zone, hours, t) or next_change(calendar, zone, hours, t) is not None:
        return None
    known = compiled_calendar(calendar)
    if known.windows and all(isinstance(each, OutsideHours) for each in known.windows):
        if not hours.regular and not hours.exceptions:
            return "the store has no opening hours, so it never counts as closed"
        return "the store is never closed for long enough"
    return "none of its windows opens within ten years"


def _kept(calendar: CalendarDeclared, hours: Timetable) -> Timetable | None:
    """Drop the hours if they do not matter, so that similar stores share an answer."""
    return hours if any(window.closed is not None for window in calendar.windows) else None


def _open_at(found: tuple[Interval, ...], t: datetime) -> bool:
    place = bisect_right(found, t, key=lambda each: each[0])
    return place > 0 and t < found[place - 1][1]


def _chunk(known: CompiledCalendar, zone: str, hours: Timetable | None, t: datetime, days: int) -> tuple[Interval, ...]:
    """Return the openings around an instant and for some days on, from chunks that many instants share."""
    first = local_of(zone, t).toordinal() // CHUNK_DAYS * CHUNK_DAYS
    return _span(known, zone, hours, first, days + 2 * CHUNK_DAYS)


@lru_cache(maxsize=32_768)
def _span(known: CompiledCalendar, zone: str, hours: Timetable | None, first: int, days: int) -> tuple[Interval, ...]:
    """Return the openings of some local days, exact within them: days on both sides are included in the calculation."""
    low, high = date.fromordinal(first), date.fromordinal(first + days)
    found: list[Interval] = []
    for window in known.windows:
        begins, until = _looked_at(window, known.cutoff, zone, hours or _NO_HOURS, low, high)
        found += intervals_of(window, zone, hours or _NO_HOURS, begins, until)
    opened = _without(merged(found), _exclusions(known.exclude, zone))
    cutoff = timedelta(minutes=known.cutoff)
    return tuple((start, end - cutoff) for start, end in opened if start < end - cutoff)


def _looked_at(window: Window, cutoff: int, zone: str, hours: Timetable, first: date, until: date) -> tuple[date, date]:
    """Return the first and last local day whose openings of a window may matter to some days."""
    more = timedelta(days=2 + cutoff // MINUTES_A_DAY)
    match window:
        case Recurring():
            return first - more - timedelta(days=window.minutes // MINUTES_A_DAY), until + more
        case OutsideHours():
            return neighbours(zone, hours, first - more, until + more)
        case _:
            return first - more, until + more


@lru_cache(maxsize=1024)
def _exclusions(exclude: tuple[tuple[str, str], ...], zone: str) -> tuple[Interval, ...]:
    return tuple(merged((_midnight(zone, first), _midnight(zone, until)) for first, until in exclude))


def _midnight(zone: str, day: str) -> datetime:
    return edge(zone, datetime.combine(date.fromisoformat(day), time()))


def _without(found: Sequence[Interval], excluded: Sequence[Interval]) -> list[Interval]:
    """Subtract intervals from intervals; both are sorted and disjoint."""
    left: list[Interval] = []
    at = 0
    for begins, ends in found:
        while at < len(excluded) and excluded[at][1] <= begins:
            at += 1
        start = begins
        for out_begins, out_ends in islice(excluded, at, None):
            if out_begins >= ends:
                break
            if start < out_begins:
                left.append((start, out_begins))
            start = out_ends
        if start < ends:
            left.append((start, ends))
    return left
