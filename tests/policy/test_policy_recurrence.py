"""Recurrence rules of windows: what is taken can be expanded, and nothing that is sent costs more than a moment."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

import pytest
from dateutil.rrule import rrulestr
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.calendars import Timetable, never_opens
from libs.contracts import CalendarDeclared, CalendarWindow, RecurringWindow
from libs.contracts.refusals import Invalid
from services.policy.documents.recurrence import check_rule

START = date(2026, 1, 1)
WEEKDAYS = st.sampled_from(["MO", "TU", "WE", "TH", "FR", "SA", "SU"])
ORDINALS = st.sampled_from(["", "", "1", "-1", "5", "-5", "6", "53", "99"])
PARTS = {
    "INTERVAL": st.sampled_from(["0", "1", "2", "7", "52", "9999"]),
    "COUNT": st.sampled_from(["1", "5", "9999"]),
    "UNTIL": st.sampled_from(["20261231", "20991231", "19990101", "20260230"]),
    "BYDAY": st.lists(st.tuples(ORDINALS, WEEKDAYS).map("".join), min_size=1, max_size=3).map(",".join),
    "BYMONTHDAY": st.sampled_from(["1", "-1", "31", "30,-31", "29", "99"]),
    "BYYEARDAY": st.sampled_from(["1", "366", "-366", "999"]),
    "BYWEEKNO": st.sampled_from(["1", "53", "-1", "99"]),
    "BYMONTH": st.sampled_from(["1", "2", "12", "2,4", "13"]),
    "BYSETPOS": st.sampled_from(["1", "-1", "366", "999"]),
    "WKST": WEEKDAYS,
}
RULES = st.builds(
    lambda frequency, parts: ";".join([f"FREQ={frequency}", *(f"{name}={value}" for name, value in parts.items())]),
    st.sampled_from(["DAILY", "WEEKLY", "MONTHLY", "YEARLY"]),
    st.fixed_dictionaries({}, optional=PARTS),
)


@given(RULES)
@settings(max_examples=150, deadline=None)
def test_every_rule_is_judged_and_what_is_taken_gives_a_day(rule: str) -> None:
    try:
        taken = check_rule(rule, START, "/rrule")
    except Invalid:
        return
    assert next(iter(rrulestr(taken, dtstart=datetime.combine(START, time()))), None) is not None
    window = CalendarWindow(recurring=RecurringWindow(taken, "01:00", 60, str(START)))
    calendar = CalendarDeclared("night", [window], clusters="/c/*")
    never_opens(calendar, "America/Chicago", Timetable(), datetime(2026, 11, 24, tzinfo=UTC))


@pytest.mark.parametrize(
    "rule",
    [
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=DAILY;BYSETPOS=-366",
        "FREQ=DAILY;INTERVAL=7;BYDAY=MO",
        "FREQ=WEEKLY;INTERVAL=9999;BYMONTH=2;BYDAY=MO",
        "FREQ=MONTHLY;BYDAY=1TU;BYSETPOS=366",
        "FREQ=MONTHLY;BYDAY=53TH",
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30",
        "FREQ=YEARLY;BYWEEKNO=1;BYDAY=53MO",
        "FREQ=YEARLY;INTERVAL=4;BYMONTH=2;BYMONTHDAY=29",
        "FREQ=SECONDLY",
        "FREQ=DAILY;BYHOUR=1",
        "FREQ=DAILY;COUNT=99999999999999999999",
        "FREQ=DAILY;FREQ=WEEKLY",
        "FREQ=YEARLY;BYEASTER=1",
        "DTSTART:20260101\nFREQ=DAILY",
        "",
        ";" * 200,
    ],
)
def test_what_gives_no_day_or_is_no_rule_is_refused(rule: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_rule(rule, START, "/spec/windows/0/rrule")
    assert caught.value.pointer == "/spec/windows/0/rrule"


@pytest.mark.parametrize(
    "rule",
    [
        "freq=weekly;byday=su",
        "FREQ=DAILY;BYMONTHDAY=-1",
        "FREQ=MONTHLY;BYDAY=-1SU",
        "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;BYDAY=SU",
        "FREQ=YEARLY;BYWEEKNO=53;BYDAY=MO",
        "FREQ=DAILY;UNTIL=20260101",
    ],
)
def test_a_rule_is_kept_in_upper_case(rule: str) -> None:
    assert check_rule(rule, START, "/rrule") == rule.upper()


@pytest.mark.parametrize(
    "rule", ["FREQ=WEEKLY", "FREQ=MONTHLY", "FREQ=YEARLY", "FREQ=YEARLY;BYMONTH=3", "FREQ=WEEKLY;UNTIL=20301231"]
)
def test_a_rule_that_names_no_day_takes_it_from_its_start(rule: str) -> None:
    with pytest.raises(Invalid) as caught:
        check_rule(rule, None, "/spec/windows/0/rrule")
    assert caught.value.pointer == "/spec/windows/0/start"
    assert check_rule(rule, START, "/spec/windows/0/rrule") == rule


@pytest.mark.parametrize(
    "rule", ["FREQ=DAILY", "FREQ=WEEKLY;BYDAY=SU", "FREQ=MONTHLY;BYDAY=-1SU", "FREQ=YEARLY;BYYEARDAY=1"]
)
def test_a_rule_that_names_its_days_needs_no_start(rule: str) -> None:
    assert check_rule(rule, None, "/rrule") == rule
