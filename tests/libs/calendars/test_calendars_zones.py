"""Every IANA zone, 2020 to 2035: the engine agrees with a scan of every minute, around transitions and elsewhere."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest

from libs.calendars import Timetable, edge, is_open, next_change, openings
from libs.contracts import CalendarDeclared, CalendarWindow, ClosedWindow, Exclusion, RecurringWindow, WeeklyWindow
from libs.contracts.inventory import HoursException, OpeningHours
from tests.libs.calendars.calendars_scan import DAYS, MINUTE, Scan, every_zone, transition

MICROSECOND = timedelta(microseconds=1)
COMPARED_DAYS = 4
PARTS = 24
ASKED = 12


def clock(dice: random.Random) -> str:
    """A time of day, often at night, when clocks change."""
    hour = dice.choice((0, 1, 1, 2, 2, 3, dice.randrange(24)))
    return f"{hour:02}:{dice.choice((0, 0, 15, 30, dice.randrange(60))):02}"


def days(dice: random.Random) -> list[str]:
    return sorted(dice.sample(DAYS, dice.randint(1, 7)), key=DAYS.index)


def weekly(dice: random.Random) -> CalendarWindow:
    opens, closes = clock(dice), clock(dice)
    return CalendarWindow(weekly=WeeklyWindow(days(dice), opens, "24:00" if opens == closes else closes))


def recurring(dice: random.Random) -> CalendarWindow:
    listed = ",".join(day[:2].upper() for day in days(dice))
    minutes = dice.choice((1, 30, 120, 240, 1500, dice.randint(1, 3000)))
    return CalendarWindow(recurring=RecurringWindow(f"FREQ=WEEKLY;BYDAY={listed}", clock(dice), minutes))


def closed(dice: random.Random) -> CalendarWindow:
    return CalendarWindow(closed=ClosedWindow(dice.choice((0, 30, 200)), dice.choice((0, 60, 200))))


def calendar(dice: random.Random, around: date) -> CalendarDeclared:
    windows = [dice.choice((weekly, weekly, recurring, closed))(dice) for _ in range(dice.randint(1, 3))]
    exclude = []
    if dice.random() < 0.3:
        first = around + timedelta(days=dice.randint(-2, 3))
        exclude = [Exclusion(first.isoformat(), (first + timedelta(days=dice.randint(1, 2))).isoformat())]
    return CalendarDeclared("any", windows, exclude, cutoff_minutes=dice.choice((0, 0, 0, 15, 61)))


def shop(dice: random.Random, around: date) -> tuple[list[OpeningHours], list[HoursException]]:
    if dice.random() < 0.1:
        return [], []
    hours = [OpeningHours(days(dice), "06:00", dice.choice(("23:00", "02:00", "24:00")))]
    exceptions = []
    if dice.random() < 0.4:
        day = (around + timedelta(days=dice.randint(-2, 3))).isoformat()
        exceptions = [HoursException(day) if dice.random() < 0.5 else HoursException(day, "08:00", "12:00")]
    return hours, exceptions


@pytest.mark.parametrize("part", range(PARTS))
def test_every_zone_agrees_with_a_scan_of_every_minute(part: int) -> None:
    for number, zone in enumerate(every_zone()[part::PARTS]):
        dice = random.Random(f"{zone} {number}")
        year = dice.randint(2020, 2035)
        ordinary = date(year, 1, 1) + timedelta(days=dice.randrange(365))
        for day in {transition(zone, year, dice.randrange(2)) or ordinary, ordinary}:
            compare(zone, day, dice)


def compare(zone: str, day: date, dice: random.Random) -> None:
    first = day - timedelta(days=2)
    scan = Scan.around(zone, first, COMPARED_DAYS)
    declared, (hours, exceptions) = calendar(dice, day), shop(dice, day)
    expected = scan.opened(declared, hours, exceptions)
    known = Timetable.of(hours, exceptions)
    told = f"{zone} {day} {declared} {hours} {exceptions}"

    low = int((datetime.combine(first, datetime.min.time(), UTC) - scan.begins) / MINUTE)
    high = low + COMPARED_DAYS * 1440
    start, end = scan.instant(low), scan.instant(high)
    found = openings(declared, zone, known, start, end)
    actual = np.zeros(len(expected), np.bool_)
    for opens, closes in found:
        actual[max(0, round((opens - scan.begins) / MINUTE)) : max(0, round((closes - scan.begins) / MINUTE))] = True
    wrong = np.flatnonzero(actual[low:high] != expected[low:high])
    assert not len(wrong), f"{told}: first at {scan.instant(low + int(wrong[0]))}"
    assert all(one[1] < other[0] for one, other in pairwise(found)), told

    for _ in range(ASKED):
        minute = dice.randrange(low, high)
        at = scan.instant(minute)
        assert is_open(declared, zone, known, at) == expected[minute], f"{told} at {at}"
        later = np.flatnonzero(expected[minute:high] != expected[minute])
        if len(later):
            assert next_change(declared, zone, known, at) == scan.instant(minute + int(later[0])), f"{told} at {at}"
    for edge_of in [each for opening in found for each in opening if start <= each < end]:
        before, after = (is_open(declared, zone, known, edge_of - offset) for offset in (MICROSECOND, timedelta()))
        assert before != after, f"{told} at {edge_of}"
        assert next_change(declared, zone, known, edge_of - MICROSECOND) == edge_of, told


@pytest.mark.parametrize("part", range(4))
def test_no_opening_is_doubled_or_lost_in_any_zone(part: int) -> None:
    """A window of every day opens once on each local day, whatever the clocks do, unless both its edges are one."""
    for zone in every_zone()[part::4]:
        dice = random.Random(zone)
        day = transition(zone, dice.randint(2020, 2035), dice.randrange(2)) or date(2026, 3, 3)
        opens, closes = "01:30", "02:30"
        window = CalendarWindow(weekly=WeeklyWindow(list(DAYS), opens, closes))
        declared = CalendarDeclared("daily", [window])
        start = edge(zone, datetime.combine(day - timedelta(days=2), datetime.min.time()))
        end = edge(zone, datetime.combine(day + timedelta(days=3), datetime.min.time()))
        found = openings(declared, zone, Timetable(), start, end)
        expected = {
            (edge(zone, datetime.combine(each, datetime.min.time()) + timedelta(minutes=90)),
             edge(zone, datetime.combine(each, datetime.min.time()) + timedelta(minutes=150)))
            for each in (day + timedelta(days=offset) for offset in range(-2, 3))
        }  # fmt: skip
        assert set(found) == {each for each in expected if each[0] < each[1]}, f"{zone} {day}"
