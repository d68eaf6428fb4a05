"""Every change of the clocks of every IANA zone, 2020 to 2035: what each local time around it means."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise

import pytest

from libs.calendars import Timetable, edge, is_open, next_change, openings
from libs.contracts import CalendarDeclared, CalendarWindow, WeeklyWindow
from tests.libs.calendars.calendars_scan import DAYS, every_zone, zone_info

MINUTE, QUARTER, DAY = timedelta(minutes=1), timedelta(minutes=15), timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)
FIRST, LAST = datetime(2020, 1, 1, tzinfo=UTC), datetime(2036, 1, 1, tzinfo=UTC)
LOOK = 5 * DAY
"""No zone changes its clocks twice within five days in these years: the nearest are a Ramadan apart."""
AROUND = range(-150, 151, 15)
PARTS = 8


@cache
def changes(zone: str) -> tuple[datetime, ...]:
    """Return the instants at which a zone's clocks change, found by halving."""
    tz = zone_info(zone)
    found = []
    at = FIRST
    while at < LAST:
        low, high = at, at + LOOK
        before = low.astimezone(tz).utcoffset()
        if high.astimezone(tz).utcoffset() != before:
            while high - low > MINUTE:
                middle = low + (high - low) // 2
                middle -= timedelta(seconds=middle.second, microseconds=middle.microsecond)
                low, high = (low, middle) if middle.astimezone(tz).utcoffset() != before else (middle, high)
            found.append(high)
        at += LOOK
    return tuple(found)


def shown(zone: str, at: datetime) -> datetime:
    """Return what the clocks show."""
    return at.astimezone(zone_info(zone)).replace(tzinfo=None, fold=0)


def quarters(zone: str, change: datetime) -> list[tuple[datetime, datetime]]:
    """Return each quarter of an hour around a change, with what the clocks show at its beginning.

    Six hours: Casey put its clocks back by three, and what is asked is at most two and a half before that.
    """
    begins = (change + step * QUARTER for step in range(-24, 25))
    return [(at, shown(zone, at)) for at in begins]


def first_shown(known: list[tuple[datetime, datetime]], local: datetime) -> datetime:
    """Return the first instant whose clocks do not show less than `local`; within a quarter they go on as usual."""
    assert known[0][1] < local
    for (at, shows), (after, shows_after) in pairwise(known):
        if local < shows + QUARTER:
            return at + (local - shows)
        if local <= shows_after:
            return after
    raise AssertionError("the quarters end before that")


@pytest.mark.parametrize("part", range(PARTS))
def test_each_local_time_around_each_change_is_the_first_instant_that_shows_it(part: int) -> None:
    for zone in every_zone()[part::PARTS]:
        for number, change in enumerate(changes(zone)):
            middle, known = shown(zone, change), quarters(zone, change)
            # Every time for some of the changes; the times that matter for all of them.
            offsets = AROUND if number % 8 == len(zone) % 8 else (-60, -30, -1, 0, 1, 30)
            for minutes in offsets:
                local = middle + minutes * MINUTE
                assert edge(zone, local) == first_shown(known, local), f"{zone} {local}"


def test_clocks_change_in_these_years_as_often_as_is_known() -> None:
    """The other tests of this file would say nothing if no change were found; later years may change by decree."""
    past = {zone: [at for at in changes(zone) if at.year < 2026] for zone in every_zone()}
    assert {
        len(past[zone])
        for zone in ("America/New_York", "Australia/Lord_Howe", "Asia/Beirut", "Africa/Casablanca", "Pacific/Chatham")
    } == {12}
    assert len(past["Africa/Cairo"]) == 6
    assert not past["Asia/Tokyo"]
    assert sum(bool(found) for found in past.values()) > 150


@pytest.mark.parametrize("part", range(PARTS))
def test_a_window_from_midnight_to_noon_opens_once_on_each_day_around_each_change(part: int) -> None:
    """Neither doubled nor lost where clocks change at midnight, and every edge decides."""
    declared = CalendarDeclared("morning", [CalendarWindow(weekly=WeeklyWindow(list(DAYS), "00:00", "12:00"))])
    for number, zone in enumerate(every_zone()[part::PARTS]):
        known = changes(zone)
        for change in known[number % 6 :: 6] or [FIRST + number * DAY]:
            noon = shown(zone, change).replace(hour=12, minute=0) - 2 * DAY
            found = openings(declared, zone, Timetable(), edge(zone, noon), edge(zone, noon + 4 * DAY))
            days = [noon.date() + ahead * DAY for ahead in range(1, 5)]
            assert [shown(zone, opens).date() for opens, _ in found] == days, f"{zone} {change}"
            assert [shown(zone, closes) for _, closes in found] == [noon + ahead * DAY for ahead in range(1, 5)]
            for opens, closes in found:
                for at, after in ((opens, True), (closes, False)):
                    told = f"{zone} {at}"
                    assert is_open(declared, zone, Timetable(), at) is after, told
                    assert is_open(declared, zone, Timetable(), at - MICROSECOND) is not after, told
                    assert next_change(declared, zone, Timetable(), at - MICROSECOND) == at, told
