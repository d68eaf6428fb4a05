"""Calendars by hand: the defects that others have had, and each sentence of the documents."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from libs.calendars import Timetable, edge, interval, is_open, never_opens, next_change, openings
from libs.contracts import CalendarDeclared, CalendarWindow, ClosedWindow, Exclusion, RecurringWindow, WeeklyWindow
from libs.contracts.inventory import HoursException, OpeningHours

DAILY = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
NEW_YORK = "America/New_York"
NONE = Timetable()
HOUR = timedelta(hours=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def weekly(opens: str, closes: str, days: list[str] | None = None) -> CalendarWindow:
    return CalendarWindow(weekly=WeeklyWindow(days or DAILY, opens, closes))


def calendar(*windows: CalendarWindow, exclude: list[Exclusion] | None = None, cutoff: int = 0) -> CalendarDeclared:
    return CalendarDeclared("any", list(windows), exclude or [], cutoff_minutes=cutoff)


def spans(
    declared: CalendarDeclared, zone: str, first: str, last: str, hours: Timetable = NONE
) -> list[tuple[str, str]]:
    found = openings(declared, zone, hours, at(first), at(last))
    return [(f"{opens:%d %H:%M}", f"{closes:%d %H:%M}") for opens, closes in found]


def test_a_window_in_the_hour_that_comes_twice_opens_once() -> None:
    found = spans(calendar(weekly("01:30", "01:45")), NEW_YORK, "2026-11-01T00:00-04:00", "2026-11-02T00:00-05:00")
    assert found == [("01 05:30", "01 05:45")]


def test_a_window_in_the_hour_that_is_left_out_has_no_time() -> None:
    assert not spans(calendar(weekly("02:15", "02:45")), NEW_YORK, "2026-03-08T00:00-05:00", "2026-03-09T00:00-04:00")


def test_an_edge_that_is_left_out_moves_forward_to_the_first_instant() -> None:
    found = spans(calendar(weekly("02:30", "05:00")), NEW_YORK, "2026-03-08T00:00-05:00", "2026-03-09T00:00-04:00")
    assert found == [("08 07:00", "08 09:00")]


@pytest.mark.parametrize(("day", "hours"), [("2026-10-31", 9), ("2026-03-07", 7), ("2026-06-06", 8)])
def test_edges_on_the_wall_last_as_long_as_the_night_does(day: str, hours: int) -> None:
    declared = calendar(weekly("22:00", "06:00", ["sat"]))
    noon = at(f"{day}T12:00-05:00")
    ((opens, closes),) = openings(declared, NEW_YORK, NONE, noon, noon + 24 * HOUR)
    assert closes - opens == hours * HOUR


@pytest.mark.parametrize("day", ["2026-10-31", "2026-03-07", "2026-06-06"])
def test_a_duration_is_elapsed_time(day: str) -> None:
    declared = calendar(CalendarWindow(recurring=RecurringWindow("FREQ=WEEKLY;BYDAY=SA", "23:00", 240)))
    noon = at(f"{day}T12:00-05:00")
    ((opens, closes),) = openings(declared, NEW_YORK, NONE, noon, noon + 24 * HOUR)
    assert closes - opens == 4 * HOUR


def test_the_zone_is_always_an_argument() -> None:
    declared = calendar(weekly("01:00", "05:00"))
    instant = at("2026-06-01T02:00-05:00")
    assert is_open(declared, "America/Chicago", NONE, instant)
    assert not is_open(declared, "Asia/Tokyo", NONE, instant)
    assert is_open(declared, "America/Chicago", NONE, instant)


def test_of_two_windows_that_overlap_the_first_to_close_closes_nothing() -> None:
    declared = calendar(weekly("01:00", "03:00"), weekly("02:00", "05:00"))
    assert is_open(declared, "UTC", NONE, at("2026-06-01T03:00+00:00"))
    assert next_change(declared, "UTC", NONE, at("2026-06-01T01:30+00:00")) == at("2026-06-01T05:00+00:00")


def test_who_asks_in_mid_window_for_the_first_time_is_told_that_it_is_open() -> None:
    assert is_open(calendar(weekly("22:00", "06:00", ["mon"])), "UTC", NONE, at("2026-06-02T03:00+00:00"))


def test_a_day_names_the_opening_edge() -> None:
    declared = calendar(weekly("22:00", "06:00", ["mon"]))
    assert not is_open(declared, "UTC", NONE, at("2026-06-01T03:00+00:00"))  # a Monday, before its window
    assert is_open(declared, "UTC", NONE, at("2026-06-01T22:00+00:00"))


def test_an_exclusion_cuts_a_window_at_local_midnight() -> None:
    declared = calendar(weekly("22:00", "06:00"), exclude=[Exclusion("2026-12-24", "2026-12-25")])
    found = spans(declared, "America/Chicago", "2026-12-23T20:00-06:00", "2026-12-25T12:00-06:00")
    assert found == [("24 04:00", "24 06:00"), ("25 06:00", "25 12:00"), ("26 04:00", "26 12:00")][:2]


def test_nothing_starts_in_the_last_minutes_of_what_is_open_as_a_whole() -> None:
    declared = calendar(weekly("01:00", "03:00"), weekly("03:00", "05:00"), cutoff=15)
    assert spans(declared, "UTC", "2026-06-01T00:00+00:00", "2026-06-02T00:00+00:00") == [("01 01:00", "01 04:45")]


def test_a_window_shorter_than_its_cutoff_never_opens() -> None:
    declared = calendar(weekly("01:00", "01:10"), cutoff=15)
    assert next_change(declared, "UTC", NONE, at("2026-06-01T00:00+00:00")) is None
    assert never_opens(declared, "UTC", NONE, at("2026-06-01T00:00+00:00")) == (
        "none of its windows opens within ten years"
    )


STORE = [OpeningHours(DAILY, "06:00", "23:00")]
CLOSED = calendar(CalendarWindow(closed=ClosedWindow(30, 60)))


def test_the_closed_window_lies_between_a_stores_own_hours() -> None:
    hours = Timetable.of(STORE, [])
    found = spans(CLOSED, "America/Chicago", "2026-06-01T20:00-05:00", "2026-06-02T12:00-05:00", hours)
    assert found == [("02 04:30", "02 10:00")]


def test_dated_exceptions_replace_the_hours_of_their_day() -> None:
    hours = Timetable.of(STORE, [HoursException("2026-12-25"), HoursException("2026-12-24", "06:00", "14:00")])
    found = spans(CLOSED, "America/Chicago", "2026-12-24T12:00-06:00", "2026-12-26T12:00-06:00", hours)
    assert found == [("24 20:30", "26 11:00")]


@pytest.mark.parametrize(
    ("hours", "why"),
    [
        (Timetable(), "the store has no opening hours, so it never counts as closed"),
        (Timetable.of([OpeningHours(DAILY, "00:00", "24:00")], []), "the store is never closed for long enough"),
        (Timetable.of([OpeningHours(DAILY, "06:00", "05:00")], []), "the store is never closed for long enough"),
    ],
)
def test_a_store_that_never_closes_never_opens_its_window(hours: Timetable, why: str) -> None:
    assert never_opens(CLOSED, "UTC", hours, at("2026-06-01T00:00+00:00")) == why
    assert not is_open(CLOSED, "UTC", hours, at("2026-06-01T05:30+00:00"))


def test_a_calendar_that_is_always_open_never_changes() -> None:
    declared = calendar(weekly("00:00", "24:00"))
    assert is_open(declared, "UTC", NONE, at("2026-06-01T00:00+00:00"))
    assert next_change(declared, "UTC", NONE, at("2026-06-01T00:00+00:00")) is None


def test_rules_that_depend_on_their_start_keep_to_it() -> None:
    rule = RecurringWindow("FREQ=WEEKLY;INTERVAL=2;BYDAY=SU", "23:00", 60, "2026-11-01")
    declared = calendar(CalendarWindow(recurring=rule))
    found = spans(declared, "UTC", "2026-11-01T00:00+00:00", "2026-12-01T00:00+00:00")
    assert found == [("01 23:00", "02 00:00"), ("15 23:00", "16 00:00"), ("29 23:00", "30 00:00")]


@pytest.mark.parametrize(
    ("rule", "start", "days"),
    [
        ("FREQ=MONTHLY;BYDAY=-1SU", None, ["2026-01-25", "2026-02-22", "2026-03-29"]),
        ("FREQ=MONTHLY;BYMONTHDAY=31", None, ["2026-01-31", "2026-03-31"]),
        ("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", None, ["2026-01-30", "2026-02-27", "2026-03-31"]),
        ("FREQ=YEARLY;BYMONTH=2;BYDAY=1MO", None, ["2026-02-02"]),
        ("FREQ=DAILY;INTERVAL=30", "2025-12-31", ["2026-01-30", "2026-03-01", "2026-03-31"]),
        ("FREQ=WEEKLY;BYDAY=SU;COUNT=3", "2025-12-25", ["2026-01-04", "2026-01-11"]),
        ("FREQ=WEEKLY;BYDAY=SU;UNTIL=20260111", None, ["2026-01-04", "2026-01-11"]),
        (
            "FREQ=WEEKLY;INTERVAL=2;BYDAY=SU,MO;WKST=SU",
            "2026-03-15",
            ["2026-03-15", "2026-03-16", "2026-03-29", "2026-03-30"],
        ),
        ("FREQ=MONTHLY", "2026-01-31", ["2026-01-31", "2026-03-31"]),
        ("FREQ=DAILY;BYMONTH=1", "2026-01-30", ["2026-01-30", "2026-01-31"]),
    ],
)
def test_a_rule_gives_the_days_that_a_diary_would(rule: str, start: str | None, days: list[str]) -> None:
    declared = calendar(CalendarWindow(recurring=RecurringWindow(rule, "12:00", 60, start)))
    found = openings(declared, "Asia/Tokyo", NONE, at("2026-01-01T00:00+09:00"), at("2026-04-01T00:00+09:00"))
    assert [str((opens + 9 * HOUR).date()) for opens, _ in found] == days


def test_a_store_whose_opening_is_left_out_by_the_clocks_stays_closed() -> None:
    """Nor does such an opening end one closed time and begin another."""
    hours = Timetable.of(STORE, [HoursException("2026-03-08", "02:15", "02:45")])
    found = spans(CLOSED, NEW_YORK, "2026-03-07T23:45-05:00", "2026-03-09T00:00-04:00", hours)
    assert found == [("08 04:30", "09 09:00")]


@pytest.mark.parametrize("closes", ["00:00", "24:00"])
def test_a_whole_day_ends_with_the_day(closes: str) -> None:
    """Documents keep `24:00` as `00:00`."""
    declared = calendar(weekly("00:00", closes, ["wed"]))
    assert spans(declared, "UTC", "2026-06-01T00:00+00:00", "2026-06-08T00:00+00:00") == [("03 00:00", "04 00:00")]


def test_a_renamed_zone_is_the_same_zone() -> None:
    declared = calendar(weekly("22:00", "06:00"))
    begins, ends = at("2026-01-01T00:00+00:00"), at("2027-01-01T00:00+00:00")
    assert openings(declared, "America/Godthab", NONE, begins, ends) == openings(
        declared, "America/Nuuk", NONE, begins, ends
    )


@pytest.mark.parametrize(("day", "minutes"), [("2026-10-03", 450), ("2026-04-04", 510), ("2026-06-06", 480)])
def test_clocks_that_change_by_half_an_hour_lengthen_a_night_by_that(day: str, minutes: int) -> None:
    declared = calendar(weekly("22:00", "06:00", ["sat"]))
    noon = edge("Australia/Lord_Howe", datetime.fromisoformat(f"{day}T12:00"))
    ((opens, closes),) = openings(declared, "Australia/Lord_Howe", NONE, noon, noon + 24 * HOUR)
    assert closes - opens == timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("zone", "local", "instant"),
    [
        ("Pacific/Apia", "2011-12-30T12:00", "2011-12-30T10:00+00:00"),
        ("Australia/Lord_Howe", "2026-10-04T02:15", "2026-10-03T15:30+00:00"),
        ("America/Sao_Paulo", "2018-11-04T00:00", "2018-11-04T03:00+00:00"),
        ("Africa/Cairo", "2026-04-24T00:30", "2026-04-23T22:00+00:00"),
        ("Asia/Beirut", "2026-03-29T00:00", "2026-03-28T22:00+00:00"),
        ("America/Nuuk", "2026-03-28T23:30", "2026-03-29T01:00+00:00"),
        ("America/Godthab", "2026-03-28T23:30", "2026-03-29T01:00+00:00"),
        ("Africa/Casablanca", "2026-02-15T02:30", "2026-02-15T01:30+00:00"),
        ("Africa/Casablanca", "2026-03-22T02:30", "2026-03-22T02:00+00:00"),
        ("Europe/Dublin", "2026-10-25T01:30", "2026-10-25T00:30+00:00"),
        ("Australia/Lord_Howe", "2026-04-05T01:45", "2026-04-04T14:45+00:00"),
        (NEW_YORK, "2026-11-01T01:30", "2026-11-01T05:30+00:00"),
        (NEW_YORK, "2026-11-01T02:00", "2026-11-01T07:00+00:00"),
    ],
)
def test_every_local_time_is_one_instant(zone: str, local: str, instant: str) -> None:
    assert edge(zone, datetime.fromisoformat(local)) == at(instant)


def test_a_freeze_at_the_stores_own_time_has_its_edges_on_the_wall() -> None:
    begins, ends = interval("2026-11-27T00:00:00", "2026-12-01T00:00:00", "America/Chicago")
    assert (begins, ends) == (at("2026-11-27T06:00+00:00"), at("2026-12-01T06:00+00:00"))
