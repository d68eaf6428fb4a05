"""A calendar's windows as intervals of instants, before exclusions and cutoff; a store's openings and closed times.

The one rule: intervals are half-open, and belong to the local day of their opening edge.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

from dateutil.rrule import rrulestr

from libs.calendars.edges import edge
from libs.contracts.instants import DAYS, END_OF_DAY

if TYPE_CHECKING:
    from libs.calendars.hours import Timetable
    from libs.contracts.policy import CalendarDeclared, CalendarWindow

Interval = tuple[datetime, datetime]
_DAY = timedelta(days=1)
RULE_BEGINS = date(2000, 1, 3)
"""The start of rules that have none: a Monday, earlier than any date that can be asked about."""
RULE_ENDS = date(2080, 1, 1)


@dataclass(frozen=True, slots=True)
class Weekly:
    """Wall-clock edges on the weekdays (0: Monday) of the opening one."""

    days: frozenset[int]
    opens: str
    closes: str


@dataclass(frozen=True, slots=True)
class Recurring:
    """A wall-clock opening edge on the days of a rule, and elapsed minutes."""

    rrule: str
    opens: str
    minutes: int
    start: str | None


@dataclass(frozen=True, slots=True)
class OutsideHours:
    """While the store is closed, elapsed minutes off both ends."""

    after: int
    before: int


Window = Weekly | Recurring | OutsideHours


@dataclass(frozen=True, slots=True)
class CompiledCalendar:
    """The parts of a calendar that decide when it is open; hashable."""

    windows: tuple[Window, ...]
    exclude: tuple[tuple[str, str], ...]
    cutoff: int

    @property
    def by_hours(self) -> bool:
        """Whether it looks at opening hours."""
        return any(isinstance(each, OutsideHours) for each in self.windows)


def compiled_calendar(calendar: CalendarDeclared) -> CompiledCalendar:
    """Return the parts of a calendar that decide when it is open."""
    windows = tuple(_window(each) for each in calendar.windows)
    return CompiledCalendar(
        windows, tuple((each.first, each.until) for each in calendar.exclude), calendar.cutoff_minutes
    )


def _window(window: CalendarWindow) -> Window:
    if window.weekly is not None:
        weekly = window.weekly
        return Weekly(frozenset(DAYS.index(day) for day in weekly.days), weekly.opens, weekly.closes)
    if window.recurring is not None:
        rule = window.recurring
        return Recurring(rule.rrule, rule.opens, rule.duration_minutes, rule.start)
    if window.closed is not None:
        return OutsideHours(window.closed.after_close_minutes, window.closed.before_open_minutes)
    raise ValueError("a window is weekly, recurring or closed")


def merged(intervals: Iterable[Interval]) -> list[Interval]:
    """Return the union of intervals: sorted, disjoint, not even touching; empty ones left out."""
    found: list[Interval] = []
    for begins, ends in sorted(each for each in intervals if each[0] < each[1]):
        if found and begins <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], ends))
        else:
            found.append((begins, ends))
    return found


def days_from(first: date, until: date) -> Iterable[date]:
    """Return the days from `first` until `until`, exclusive."""
    return (first + timedelta(days=offset) for offset in range((until - first).days))


def at_wall(zone: str, day: date, clock: str) -> datetime:
    """Return the instant at which the clocks of a zone show `HH:MM` on a day; 24:00 is the next day's beginning."""
    if clock == END_OF_DAY:
        return edge(zone, datetime.combine(day + _DAY, time()))
    return edge(zone, datetime.combine(day, time.fromisoformat(clock)))


def from_to(zone: str, day: date, opens: str, closes: str) -> Interval:
    """Return the interval of two wall-clock edges from a day on; an end not after the start is on the next day."""
    last = day if closes == END_OF_DAY or closes > opens else day + _DAY
    return at_wall(zone, day, opens), at_wall(zone, last, closes)


def intervals_of(window: Window, zone: str, hours: Timetable, first: date, until: date) -> Iterable[Interval]:
    """Return the intervals of a window that open on the local days from `first` until `until`, unsorted."""
    match window:
        case Weekly(days, opens, closes):
            return (from_to(zone, day, opens, closes) for day in days_from(first, until) if day.weekday() in days)
        case Recurring(rule, opens, minutes, start):
            begins = (at_wall(zone, day, opens) for day in _days_of(rule, start, first, until))
            return ((each, each + timedelta(minutes=minutes)) for each in begins)
        case OutsideHours(after, before):
            return closed_times(zone, hours, first, until, timedelta(minutes=after), timedelta(minutes=before))


@lru_cache(maxsize=4096)
def store_openings(zone: str, hours: Timetable, first: date, until: date) -> tuple[Interval, ...]:
    """Return when a store is open, by its hours and their exceptions, for openings on these local days.

    Cached, because several calendars need it for the same stores one after the other.
    """
    known = _timetable(hours)
    return tuple(merged(each for day in days_from(first, until) for each in known.openings(zone, day)))


@lru_cache(maxsize=4096)
def neighbours(zone: str, hours: Timetable, first: date, until: date) -> tuple[date, date]:
    """Extend the days so that the store opens both before `first` and from `until` on, if it ever does.

    A store may be closed for months, for a rebuild, and is closed for all of them.
    """
    known = _timetable(hours)
    for day in known.days_before(first):
        if known.opens(zone, day):
            first = day - _DAY  # an opening of the day before may last into it
            break
    for day in known.days_from(until):
        if known.opens(zone, day):
            until = day + _DAY
            break
    return first, until


@dataclass(frozen=True, slots=True)
class _Timetable:
    """A store's hours by date and by weekday; a date with an empty list is closed."""

    dated: dict[date, list[tuple[str, str]]]
    weekdays: dict[int, list[tuple[str, str]]]

    def openings(self, zone: str, day: date) -> list[Interval]:
        """Return the openings that begin on a local day."""
        here = self.dated.get(day)
        if here is None:
            here = self.weekdays.get(day.weekday(), [])
        return [from_to(zone, day, opens, closes) for opens, closes in here]

    def opens(self, zone: str, day: date) -> bool:
        """Return whether an opening begins on a local day."""
        return any(begins < ends for begins, ends in self.openings(zone, day))

    def days_before(self, day: date) -> Iterable[date]:
        """Return the days before one, the latest first, that must include the last opening before it."""
        if self.weekdays:
            return (day - back * _DAY for back in range(1, self._pause_days()))
        return sorted((each for each in self.dated if each < day), reverse=True)

    def days_from(self, day: date) -> Iterable[date]:
        """Return the days from one on, in order, that must include the next opening."""
        if self.weekdays:
            return (day + ahead * _DAY for ahead in range(self._pause_days()))
        return sorted(each for each in self.dated if each >= day)

    def _pause_days(self) -> int:
        """Return more days than the store can pause by exceptions: a week for each closed date."""
        return len(DAYS) * (len(self.dated) + 3)


@lru_cache(maxsize=4096)
def _timetable(hours: Timetable) -> _Timetable:
    dated: dict[date, list[tuple[str, str]]] = {}
    for on, opens, closes in hours.exceptions:
        dated.setdefault(date.fromisoformat(on), []).extend([(opens, closes)] if opens and closes else [])
    weekdays: dict[int, list[tuple[str, str]]] = {}
    for days, opens, closes in hours.regular:
        for name in days:
            weekdays.setdefault(DAYS.index(name), []).append((opens, closes))
    return _Timetable(dated, weekdays)


def closed_times(
    zone: str, hours: Timetable, first: date, until: date, after: timedelta, before: timedelta
) -> Iterable[Interval]:
    """Return the times between two openings of a store, shortened at both ends."""
    openings = store_openings(zone, hours, first, until)
    gaps = pairwise(openings)
    return ((closes + after, opens - before) for (_, closes), (opens, _) in gaps)


def _days_of(rule: str, start: str | None, first: date, until: date) -> list[date]:
    days = _rule_days(rule, start)
    return list(days[bisect_left(days, first) : bisect_left(days, until)])


@lru_cache(maxsize=256)
def _rule_days(rule: str, start: str | None) -> tuple[date, ...]:
    """Return all the days of a rule; cached, as many zones ask for them."""
    begins = RULE_BEGINS if start is None else date.fromisoformat(start)
    found = rrulestr(rule, dtstart=datetime.combine(begins, time()))
    last = datetime.combine(RULE_ENDS, time())
    days = []
    for each in found:
        if each >= last:
            break
        days.append(each.date())
    return tuple(days)
