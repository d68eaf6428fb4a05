"""Whether a calendar is open at an instant, when that changes next, and all its openings within a while.

The one rule: every answer is a function of (calendar, zone, hours, instant); nothing is kept but what such a function
would say again.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from libs.calendars.edges import edge, local_of
from libs.calendars.hours import Hours
from libs.calendars.windows import Closed, Compiled, Interval, Recurring, compiled, intervals_of, merged

if TYPE_CHECKING:
    from libs.contracts.policy import CalendarDeclared

CHUNK_DAYS = 8
HORIZONS_DAYS = (8, 40, 400, 3_660)
"""How far `next_change` looks, step by step: ten years at last."""
HOURS_REACH_DAYS = 9
EXCEPTIONS_REACH_DAYS = 60
MINUTES_A_DAY = 1_440
DAYS_A_WEEK = 7
_NO_HOURS = Hours()


def openings(calendar: CalendarDeclared, zone: str, hours: Hours, start: datetime, end: datetime) -> list[Interval]:
    """Return the openings that overlap [start, end): instants in UTC, half-open, sorted, disjoint, whole."""
    known, kept = compiled(calendar), _kept(calendar, hours)
    first = local_of(zone, start).date() - timedelta(days=1)
    until = local_of(zone, end).date() + timedelta(days=2)
    found = _span(known, zone, kept, first.toordinal(), (until - first).days)
    return [each for each in found if each[1] > start and each[0] < end]


def is_open(calendar: CalendarDeclared, zone: str, hours: Hours, t: datetime) -> bool:
    """Return whether changes may be admitted at an instant."""
    return _open_at(_chunk(compiled(calendar), zone, _kept(calendar, hours), t, CHUNK_DAYS), t)


def next_change(calendar: CalendarDeclared, zone: str, hours: Hours, t: datetime) -> datetime | None:
    """Return the first instant after `t` at which `is_open` answers otherwise; nothing within ten years: None."""
    known, kept = compiled(calendar), _kept(calendar, hours)
    for days in HORIZONS_DAYS:
        limit = t + timedelta(days=days)
        for begins, ends in _chunk(known, zone, kept, t, days):
            if t < begins < limit:
                return begins
            if t < ends < limit and begins <= t:
                return ends
    return None


def never_opens(calendar: CalendarDeclared, zone: str, hours: Hours, t: datetime) -> str | None:
    """Return why a calendar does not open from an instant on; None where it does."""
    if is_open(calendar, zone, hours, t) or next_change(calendar, zone, hours, t) is not None:
        return None
    known = compiled(calendar)
    if known.windows and all(isinstance(each, Closed) for each in known.windows):
        if not hours.regular and not hours.exceptions:
            return "the store has no opening hours, so it is never known to be closed"
        return "the store is never closed for long enough"
    return "none of its windows opens within ten years"


def _kept(calendar: CalendarDeclared, hours: Hours) -> Hours | None:
    """Leave hours out where they do not matter, so that stores alike share an answer."""
    return hours if any(window.closed is not None for window in calendar.windows) else None


def _open_at(found: tuple[Interval, ...], t: datetime) -> bool:
    place = bisect_right(found, t, key=lambda each: each[0])
    return place > 0 and t < found[place - 1][1]


def _chunk(known: Compiled, zone: str, hours: Hours | None, t: datetime, days: int) -> tuple[Interval, ...]:
    """Return the openings around an instant and for some days on, from chunks that many instants share."""
    first = local_of(zone, t).toordinal() // CHUNK_DAYS * CHUNK_DAYS
    return _span(known, zone, hours, first, days + 2 * CHUNK_DAYS)


@lru_cache(maxsize=32_768)
def _span(known: Compiled, zone: str, hours: Hours | None, first: int, days: int) -> tuple[Interval, ...]:
    """Return the openings of some local days: exact within them, since more is looked at on both sides."""
    reach = _reach(known, hours, first, first + days)
    begins = date.fromordinal(first) - timedelta(days=reach)
    until = date.fromordinal(first + days) + timedelta(days=reach)
    found: list[Interval] = []
    for window in known.windows:
        found += intervals_of(window, zone, hours or _NO_HOURS, begins, until)
    opened = _without(merged(found), _exclusions(known, zone))
    cutoff = timedelta(minutes=known.cutoff)
    return tuple((start, end - cutoff) for start, end in opened if start < end - cutoff)


def _reach(known: Compiled, hours: Hours | None, first: int, until: int) -> int:
    """Return how many days before and after some days may matter to them."""
    days = 2 + known.cutoff // MINUTES_A_DAY
    for window in known.windows:
        if isinstance(window, Recurring):
            days = max(days, 2 + (window.minutes + known.cutoff) // MINUTES_A_DAY)
        if isinstance(window, Closed) and hours is not None:
            days = max(days, _hours_reach(hours, first, until) + known.cutoff // MINUTES_A_DAY)
    return days


def _hours_reach(hours: Hours, first: int, until: int) -> int:
    """Return within how many days of some days a store opens: a week, and one more for each opening that falls out."""
    if not hours.exceptions:
        return HOURS_REACH_DAYS
    if not hours.regular:
        return EXCEPTIONS_REACH_DAYS
    low = date.fromordinal(first - EXCEPTIONS_REACH_DAYS).isoformat()
    high = date.fromordinal(until + EXCEPTIONS_REACH_DAYS).isoformat()
    closed = sum(not opens and low <= day <= high for day, opens, _ in hours.exceptions)
    return min(EXCEPTIONS_REACH_DAYS, HOURS_REACH_DAYS + DAYS_A_WEEK * closed)


def _exclusions(known: Compiled, zone: str) -> list[Interval]:
    return merged((_midnight(zone, first), _midnight(zone, until)) for first, until in known.exclude)


def _midnight(zone: str, day: str) -> datetime:
    return edge(zone, datetime.combine(date.fromisoformat(day), time()))


def _without(found: list[Interval], excluded: list[Interval]) -> list[Interval]:
    """Return what is left of intervals; both are sorted and disjoint."""
    left: list[Interval] = []
    for begins, ends in found:
        start = begins
        for out_begins, out_ends in excluded:
            if out_ends <= start or out_begins >= ends:
                continue
            if start < out_begins:
                left.append((start, out_begins))
            start = max(start, out_ends)
        if start < ends:
            left.append((start, ends))
    return left
