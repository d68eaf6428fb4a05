"""What lasts long: stores that are closed for months, openings of many days, and questions far from either edge."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise

import pytest

from libs.calendars import Timetable, edge, is_open, next_change, openings
from libs.contracts import CalendarDeclared, CalendarWindow, ClosedWindow, Exclusion, RecurringWindow, WeeklyWindow
from libs.contracts.inventory import HoursException, OpeningHours
from tests.libs.calendars.calendars_scan import DAYS, Scan

DAILY = list(DAYS)
CHICAGO = "America/Chicago"
DAY = timedelta(days=1)
MICROSECOND = timedelta(microseconds=1)
WHILE_CLOSED = CalendarDeclared("closed", [CalendarWindow(closed=ClosedWindow(30, 60))])


def local(text: str, days_later: int = 0) -> datetime:
    return edge(CHICAGO, datetime.fromisoformat(text) + days_later * DAY)


def closed_on(first: date, days: int) -> list[HoursException]:
    return [HoursException((first + offset * DAY).isoformat()) for offset in range(days)]


@pytest.mark.parametrize("days", [1, 20, 59, 61, 120, 365])
def test_a_store_that_is_rebuilt_for_months_is_closed_for_all_of_them(days: int) -> None:
    hours = Timetable.of([OpeningHours(DAILY, "06:00", "22:00")], closed_on(date(2026, 2, 1), days))
    begins, ends = local("2026-01-31T22:30"), local("2026-02-01T05:00", days)
    for offset in {*range(0, days, 9), days - 1}:
        noon = local("2026-02-01T12:00", offset)
        assert is_open(WHILE_CLOSED, CHICAGO, hours, noon), noon
        assert next_change(WHILE_CLOSED, CHICAGO, hours, noon) == ends, noon
        assert openings(WHILE_CLOSED, CHICAGO, hours, noon, noon + MICROSECOND) == [(begins, ends)], noon


def test_a_store_that_opens_on_some_dates_only_is_closed_between_them() -> None:
    dates = [HoursException("2026-01-10", "09:00", "17:00"), HoursException("2026-06-10", "09:00", "17:00")]
    hours = Timetable.of([], dates)
    gap = (local("2026-01-10T17:30"), local("2026-06-10T08:00"))
    for offset in range(1, 150, 7):
        noon = local("2026-01-10T12:00", offset)
        assert openings(WHILE_CLOSED, CHICAGO, hours, noon, noon + DAY) == [gap]
    assert not is_open(WHILE_CLOSED, CHICAGO, hours, local("2026-01-09T12:00"))  # after no opening
    assert not is_open(WHILE_CLOSED, CHICAGO, hours, local("2026-06-11T12:00"))  # before no other one


@pytest.mark.parametrize(
    ("window", "first", "days"),
    [
        (CalendarWindow(weekly=WeeklyWindow(DAILY[:6], "00:00", "24:00")), date(2026, 6, 1), 6),
        (
            CalendarWindow(recurring=RecurringWindow("FREQ=MONTHLY;BYMONTHDAY=3", "00:00", 7 * 1440)),
            date(2026, 6, 3),
            7,
        ),
        (CalendarWindow(recurring=RecurringWindow("FREQ=DAILY;BYMONTH=6", "00:00", 1440)), date(2026, 6, 1), 30),
        (CalendarWindow(recurring=RecurringWindow("FREQ=DAILY;BYMONTH=6,7,8", "00:00", 1500)), date(2026, 6, 1), 92),
    ],
)
def test_an_opening_is_told_whole_wherever_in_it_one_asks(window: CalendarWindow, first: date, days: int) -> None:
    declared = CalendarDeclared("long", [window])
    begins = datetime.combine(first, time(), UTC)
    more = timedelta(minutes=60 if days == 92 else 0)
    for offset in range(days):
        at = begins + offset * DAY + timedelta(hours=5)
        assert openings(declared, "UTC", Timetable(), at, at + MICROSECOND) == [(begins, begins + days * DAY + more)]


@pytest.mark.parametrize("cutoff", [1, 60, 1439, 1440])
def test_a_long_opening_is_told_without_its_last_minutes(cutoff: int) -> None:
    window = CalendarWindow(weekly=WeeklyWindow(DAILY[:6], "00:00", "24:00"))
    declared = CalendarDeclared("long", [window], cutoff_minutes=cutoff)
    monday, ends = datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 6, 7, tzinfo=UTC) - timedelta(minutes=cutoff)
    for offset in range(5):
        at = monday + offset * DAY + timedelta(hours=5)
        assert openings(declared, "UTC", Timetable(), at, at + MICROSECOND) == [(monday, ends)]
        assert next_change(declared, "UTC", Timetable(), at) == ends


def test_an_opening_without_end_is_told_to_go_on_for_a_year_at_least() -> None:
    declared = CalendarDeclared("always", [CalendarWindow(weekly=WeeklyWindow(DAILY, "00:00", "24:00"))])
    at = datetime(2026, 6, 1, tzinfo=UTC)
    ((begins, ends),) = openings(declared, "UTC", Timetable(), at, at + DAY)
    assert begins < at - 365 * DAY
    assert ends > at + 365 * DAY


@pytest.mark.parametrize("seed", range(12))
def test_stores_with_long_pauses_agree_with_a_scan_of_every_minute(seed: int) -> None:
    dice = random.Random(seed)
    zone = dice.choice((CHICAGO, "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Tokyo", "Africa/Cairo"))
    day = date(dice.randint(2020, 2034), dice.choice((3, 4, 10, 11)), dice.randint(1, 28))
    weekdays = dice.sample(DAYS, dice.choice((1, 2, 7)))
    hours = [OpeningHours(weekdays, "06:00", dice.choice(("23:00", "02:00")))]
    exceptions = closed_on(day - dice.randint(0, 40) * DAY, dice.randint(15, 95))
    windows = [CalendarWindow(closed=ClosedWindow(dice.choice((0, 30)), dice.choice((0, 60))))]
    exclude = [Exclusion(day.isoformat(), (day + DAY).isoformat())] if seed % 2 else []
    declared = CalendarDeclared("any", windows, exclude, cutoff_minutes=dice.choice((0, 15, 1440)))
    scan = Scan.around(zone, day, 2, reach=130 * DAY)
    expected, known = scan.opened(declared, hours, exceptions), Timetable.of(hours, exceptions)

    for _ in range(40):
        minute = scan.minute(edge(zone, datetime.combine(day, time()))) + dice.randint(-20 * 1440, 20 * 1440)
        at = scan.instant(minute)
        told = f"{zone} {at} {declared} {hours} {exceptions[0]} {len(exceptions)}"
        assert is_open(declared, zone, known, at) == expected[minute], told
        change = next_change(declared, zone, known, at)
        changes = (expected[minute:] != expected[minute]).nonzero()[0]
        if len(changes):
            assert change == scan.instant(minute + int(changes[0])), told
        else:
            assert change is None or change >= scan.instant(len(expected)) - 15 * DAY, told


@pytest.mark.parametrize("seed", range(6))
def test_a_year_asked_at_once_and_asked_piece_by_piece_is_one_year(seed: int) -> None:
    """What `openings` tells of a year, `next_change` walks through, and every short question repeats."""
    dice = random.Random(seed)
    zone = dice.choice((CHICAGO, "America/Nuuk", "Asia/Beirut", "Pacific/Chatham"))
    hours = Timetable.of([OpeningHours(DAILY, "06:00", "22:00")], closed_on(date(2026, dice.randint(2, 9), 5), 70))
    declared = CalendarDeclared(
        "any",
        [
            CalendarWindow(closed=ClosedWindow(30, 60)),
            CalendarWindow(recurring=RecurringWindow("FREQ=MONTHLY;BYDAY=-1SU", "12:00", 4000)),
        ],
        [Exclusion("2026-12-20", "2027-01-02")],
        cutoff_minutes=dice.choice((0, 20)),
    )
    start = edge(zone, datetime.fromisoformat("2026-01-01T12:00"))
    whole = openings(declared, zone, hours, start, start + 365 * DAY)
    assert all(one[1] < other[0] for one, other in pairwise(whole))
    walked, at = [], whole[0][0]
    while at < whole[-1][1]:
        change = next_change(declared, zone, hours, at)
        assert change is not None
        assert change > at
        walked.append(change)
        at = change
    assert walked == [each for opening in whole for each in opening][1:]
    for opening in dice.sample(whole, 40):
        at = opening[0] + dice.random() * (opening[1] - opening[0])
        assert openings(declared, zone, hours, at, at + MICROSECOND) == [opening]
