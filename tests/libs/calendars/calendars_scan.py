"""A calendar minute by minute, as somebody with a clock on the wall would tell it: the reference of the property tests.

It shares nothing with the engine: every minute's local time is asked of zoneinfo, and an edge is the first minute whose
local time is not before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from libs.contracts import CalendarDeclared, CalendarWindow
from libs.contracts.inventory import HoursException, OpeningHours

MINUTE = timedelta(minutes=1)
EPOCH = datetime.fromisoformat("1970-01-01")
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
REACH = timedelta(days=12)
"""What is scanned around the days that are compared, where no window or pause of a store reaches further."""


TZDATA = Path(str(files("tzdata")))


@cache
def every_zone() -> tuple[str, ...]:
    """Return all IANA zones of the tzdata distribution."""
    return tuple(sorted((TZDATA / "zones").read_text("utf-8").split()))


@cache
def zone_info(name: str) -> ZoneInfo:
    """Return a zone of the tzdata distribution: the machine's own may be years older."""
    with (TZDATA / "zoneinfo" / name).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def transition(zone: str, year: int, pick: int) -> date | None:
    """Return a local date in a year on which a zone's clocks change, if there is one."""
    tz = zone_info(zone)
    first = datetime(year, 1, 1, 12, tzinfo=UTC)
    offsets = [(first + timedelta(days=day)).astimezone(tz).utcoffset() for day in range(366)]
    changes = [day for day in range(1, 366) if offsets[day] != offsets[day - 1]]
    return (first + timedelta(days=changes[pick % len(changes)])).date() if changes else None


@dataclass
class Scan:
    """The minutes of a zone from `begins` on: `local` are naive local times in minutes since 1970."""

    zone: str
    begins: datetime
    local: NDArray[np.int64]

    @classmethod
    def around(cls, zone: str, day: date, days: int, *, reach: timedelta = REACH) -> Scan:
        tz = zone_info(zone)
        begins = datetime.combine(day, time(), UTC) - reach
        count = int((2 * reach + timedelta(days=days)) / MINUTE)
        local = np.empty(count, np.int64)
        at = 0
        while at < count:
            # Clocks change at whole quarters of an hour in these years; between them the offset is asked once.
            here = begins + at * MINUTE
            offset = here.astimezone(tz).utcoffset()
            assert offset is not None
            run = min(15 - here.minute % 15, count - at)
            start = int((here.replace(tzinfo=None) + offset - EPOCH) / MINUTE)
            local[at : at + run] = np.arange(start, start + run)
            at += run
        return cls(zone, begins, local)

    def edge(self, local: datetime) -> int:
        """Return the first minute whose local time is not before `local`; the scan's end if there is none."""
        wanted = int((local - EPOCH) / MINUTE)
        reached = self.local >= wanted
        return int(reached.argmax()) if reached.any() else len(self.local)

    def at_wall(self, day: date, clock: str) -> int:
        if clock == "24:00":
            return self.edge(datetime.combine(day + timedelta(days=1), time()))
        return self.edge(datetime.combine(day, time.fromisoformat(clock)))

    def dates(self) -> list[date]:
        first = (EPOCH + int(self.local[0]) * MINUTE).date() + timedelta(days=1)
        last = (EPOCH + int(self.local[-1]) * MINUTE).date()
        return [first + timedelta(days=offset) for offset in range((last - first).days)]

    def instant(self, minute: int) -> datetime:
        return self.begins + minute * MINUTE

    def minute(self, at: datetime) -> int:
        return (at - self.begins) // MINUTE

    # --- calendars -----------------------------------------------------------------------------------------------

    def opened(
        self, calendar: CalendarDeclared, hours: list[OpeningHours], exceptions: list[HoursException]
    ) -> NDArray[np.bool_]:
        """Return for each minute whether the calendar is open."""
        found = np.zeros(len(self.local), np.bool_)
        for window in calendar.windows:
            found |= self._window(window, hours, exceptions)
        for each in calendar.exclude:
            first, until = date.fromisoformat(each.first), date.fromisoformat(each.until)
            found[self.at_wall(first, "00:00") : self.at_wall(until, "00:00")] = False
        if calendar.cutoff_minutes:
            ahead = calendar.cutoff_minutes + 1
            closed = np.concatenate([[0], np.cumsum(~found), np.full(ahead, (~found).sum())])
            found = closed[ahead : ahead + len(found)] == closed[: len(found)]
        return found

    def _window(
        self, window: CalendarWindow, hours: list[OpeningHours], exceptions: list[HoursException]
    ) -> NDArray[np.bool_]:
        found = np.zeros(len(self.local), np.bool_)
        if window.weekly is not None:
            for day in self.dates():
                if DAYS[day.weekday()] in window.weekly.days:
                    found[slice(*self.span(day, window.weekly.opens, window.weekly.closes))] = True
        elif window.recurring is not None:
            _, _, listed = window.recurring.rrule.partition("BYDAY=")
            for day in self.dates():
                if DAYS[day.weekday()][:2].upper() in listed.split(","):
                    start = self.at_wall(day, window.recurring.opens)
                    found[start : start + window.recurring.duration_minutes] = True
        elif window.closed is not None and (hours or exceptions):
            found |= self._while_closed(window, hours, exceptions)
        return found

    def span(self, day: date, opens: str, closes: str) -> tuple[int, int]:
        last = day if closes == "24:00" or closes > opens else day + timedelta(days=1)
        return self.at_wall(day, opens), self.at_wall(last, closes)

    def _while_closed(
        self, window: CalendarWindow, hours: list[OpeningHours], exceptions: list[HoursException]
    ) -> NDArray[np.bool_]:
        assert window.closed is not None
        shop = np.zeros(len(self.local), np.bool_)
        dated = {each.date: each for each in exceptions}
        for day in self.dates():
            exception = dated.get(day.isoformat())
            if exception is not None:
                if exception.open:
                    shop[slice(*self.span(day, exception.open, exception.close))] = True
                continue
            for each in hours:
                if DAYS[day.weekday()] in each.days:
                    shop[slice(*self.span(day, each.open, each.close))] = True
        found = np.zeros(len(self.local), np.bool_)
        edges = np.flatnonzero(np.diff(shop.astype(np.int8)))
        for closes, opens in pairwise(edges):
            if not shop[closes + 1]:
                begins = closes + 1 + window.closed.after_close_minutes
                found[begins : max(begins, opens + 1 - window.closed.before_open_minutes)] = True
        return found
