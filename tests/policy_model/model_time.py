"""Time as somebody with a wall clock and patience would work it out: minute by minute, with zoneinfo alone.

The one rule: nothing here is shared with libs/calendars; where both are right, they agree.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from libs.contracts import CalendarDeclared, CalendarWindow, FreezeDeclared

MINUTE = timedelta(minutes=1)
MICROSECOND = timedelta(microseconds=1)
DAY = timedelta(days=1)
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Hours = tuple[tuple[tuple[str, ...], str, str], ...]
"""Opening hours: (days, opens, closes)."""


def shown(zone: str, at: datetime) -> datetime:
    """Return what the clocks of a zone show."""
    return at.astimezone(ZoneInfo(zone)).replace(tzinfo=None)


@cache
def instant(zone: str, local: datetime) -> datetime:
    """Return the first minute at which the clocks of a zone show this time, or have just jumped over it."""
    guess = local.replace(tzinfo=UTC)
    offsets = [(each - shown(zone, each).replace(tzinfo=UTC)) for each in (guess - DAY, guess + DAY)]
    at = guess + min(offsets) - timedelta(hours=2)
    while shown(zone, at) < local:
        at += MINUTE
    return at


def on(zone: str, day: date, clock: str) -> datetime:
    """Return the instant of `HH:MM` on a day; 24:00 is the next day's beginning."""
    if clock == "24:00":
        return instant(zone, datetime.combine(day + DAY, time()))
    return instant(zone, datetime.combine(day, time.fromisoformat(clock)))


def within(zone: str, at: datetime, days: tuple[str, ...] | list[str], opens: str, closes: str) -> bool:
    """Whether an instant is between two wall-clock edges that begin on one of these days."""
    today = shown(zone, at).date()
    for day in (today + DAY * offset for offset in (-2, -1, 0, 1)):
        last = day if closes == "24:00" or closes > opens else day + DAY
        if DAYS[day.weekday()] in days and on(zone, day, opens) <= at < on(zone, last, closes):
            return True
    return False


@cache
def store_open(zone: str, hours: Hours, at: datetime) -> bool:
    """Whether a store is open."""
    return any(within(zone, at, days, opens, closes) for days, opens, closes in hours)


def _window_open(window: CalendarWindow, zone: str, hours: Hours, at: datetime) -> bool:
    if window.weekly is not None:
        return within(zone, at, window.weekly.days, window.weekly.opens, window.weekly.closes)
    if window.recurring is not None:
        rule = window.recurring
        today = shown(zone, at).date()
        for day in (today + DAY * offset for offset in (-3, -2, -1, 0, 1)):
            _, _, wanted = rule.rrule.partition("BYDAY=")
            if wanted and DAYS[day.weekday()][:2].upper() != wanted:
                continue
            begins = on(zone, day, rule.opens)
            if begins <= at < begins + MINUTE * rule.duration_minutes:
                return True
        return False
    assert window.closed is not None
    after, before = window.closed.after_close_minutes, window.closed.before_open_minutes
    return bool(hours) and not any(store_open(zone, hours, at + MINUTE * each) for each in range(-after, before + 1))


def _uncut(calendar: CalendarDeclared, zone: str, hours: Hours, at: datetime) -> bool:
    today = shown(zone, at).date().isoformat()
    if any(each.first <= today < each.until for each in calendar.exclude):
        return False
    return any(_window_open(each, zone, hours, at) for each in calendar.windows)


def calendar_open(calendar: CalendarDeclared, zone: str, hours: Hours, at: datetime) -> bool:
    """Whether a calendar is open now and for its cutoff: it is asked at every minute of it."""
    return all(_uncut(calendar, zone, hours, at + MINUTE * each) for each in range(calendar.cutoff_minutes + 1))


def freeze_edges(freeze: FreezeDeclared, zone: str) -> tuple[datetime, datetime]:
    """Return when a freeze begins and ends in a store."""
    begins, ends = datetime.fromisoformat(freeze.begins), datetime.fromisoformat(freeze.ends)
    return (instant(zone, begins), instant(zone, ends)) if freeze.local else (begins, ends)


def freeze_in_force(freeze: FreezeDeclared, zone: str, at: datetime) -> bool:
    """Whether a freeze holds: its end is the first instant at which it does not."""
    begins, ends = freeze_edges(freeze, zone)
    return begins <= at < ends
