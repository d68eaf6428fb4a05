"""Recurrence rules (RFC 5545, section 3.3.10) as far as a window may use them: by days, without times.

A rule that passes here gives a day within a generation, so that whoever expands it never looks long. Calendars repeat
every 400 years, weekdays included: a rule is tried near the last year that Python has, since dateutil looks for a first
day until there is no later year.
"""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING

from dateutil.rrule import rrulestr

from libs.contracts.names import nearest
from libs.contracts.refusals import Invalid

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

RULE_CHARACTERS_MAX = 200
YEARS_LOOKED_AHEAD = 29
"""Within which a rule has to give a day: a date falls on each weekday within 28 years, but for a century's end."""
CYCLE_YEARS = 400
LAST_YEAR = 9_999
WEEKS_OF_A_MONTH, WEEKS_OF_A_YEAR = 5, 53
ANY_START = date(2024, 1, 1)
_ALWAYS = frozenset({"FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST", "BYMONTH", "BYDAY"})
_ALLOWED: Mapping[str, frozenset[str]] = {
    "DAILY": _ALWAYS | {"BYMONTHDAY"},
    "WEEKLY": _ALWAYS,
    "MONTHLY": _ALWAYS | {"BYMONTHDAY", "BYSETPOS"},
    "YEARLY": _ALWAYS | {"BYMONTHDAY", "BYSETPOS", "BYYEARDAY", "BYWEEKNO"},
}
"""Frequency → the parts that mean something there (the RFC's table), but for parts that only a year has in practice."""
_NAMING_DAYS = frozenset({"BYDAY", "BYMONTHDAY", "BYYEARDAY", "BYWEEKNO"})
_WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
_DAY = "|".join(_WEEKDAYS)
_WITH_ORDINAL = rf"(?:[+-]?(?:[1-9]|[1-4][0-9]|5[0-3]))?(?:{_DAY})"
_OF_A_YEAR = r"[+-]?(?:[1-9][0-9]?|[12][0-9]{2}|3[0-5][0-9]|36[0-6])"
_PARTS: Mapping[str, re.Pattern[str]] = {
    "FREQ": re.compile("|".join(_ALLOWED)),
    "INTERVAL": re.compile(r"[1-9][0-9]{0,3}"),
    "COUNT": re.compile(r"[1-9][0-9]{0,3}"),
    "UNTIL": re.compile(r"[12][0-9]{7}"),
    "BYDAY": re.compile(rf"{_WITH_ORDINAL}(?:,{_WITH_ORDINAL})*"),
    "BYMONTHDAY": re.compile(r"[+-]?(?:[1-9]|[12][0-9]|3[01])(?:,[+-]?(?:[1-9]|[12][0-9]|3[01]))*"),
    "BYYEARDAY": re.compile(rf"{_OF_A_YEAR}(?:,{_OF_A_YEAR})*"),
    "BYWEEKNO": re.compile(r"[+-]?(?:[1-9]|[1-4][0-9]|5[0-3])(?:,[+-]?(?:[1-9]|[1-4][0-9]|5[0-3]))*"),
    "BYMONTH": re.compile(r"(?:[1-9]|1[0-2])(?:,(?:[1-9]|1[0-2]))*"),
    "BYSETPOS": re.compile(rf"{_OF_A_YEAR}(?:,{_OF_A_YEAR})*"),
    "WKST": re.compile(_DAY),
}
_FIX = "write such as FREQ=WEEKLY;BYDAY=SU; `from` says the time"


def check_rule(text: str, start: date | None, pointer: str) -> str:
    """Return a rule in upper case, its parts in their order.

    Raises:
        Invalid: it is not a rule, needs a `start`, or gives no day.
    """
    if len(text) > RULE_CHARACTERS_MAX:
        raise Invalid(f"the rule is longer than {RULE_CHARACTERS_MAX} characters", pointer=pointer)
    rule = text.upper().strip()
    if rule.startswith(("RRULE:", "RRULE;", "DTSTART", "EXRULE:", "RDATE")):
        plain = rule.rpartition("RRULE:")[2] if "RRULE:" in rule else "FREQ=WEEKLY;BYDAY=SU"
        raise Invalid(
            f"{rule.partition(':')[0][:20]}: is a line of a calendar file; give only the rule",
            pointer=pointer,
            fix=f"write {plain[:80]}; `from` says the time and `start` the first date",
        )
    parts = _parts(rule, pointer)
    _check_together(parts, pointer)
    if start is None and (needy := [part for part in ("INTERVAL", "COUNT") if part in parts]):
        raise Invalid(
            f"a rule with {needy[0]} depends on where it begins",
            pointer=pointer.replace("/rrule", "/start"),
            fix="give start, a local date such as 2026-11-01",
        )
    if start is None and parts["FREQ"] != "DAILY" and not parts.keys() & _NAMING_DAYS:
        raise Invalid(
            "the rule does not say on which day, so it depends on where it begins",
            pointer=pointer.replace("/rrule", "/start"),
            fix="name the day, such as FREQ=WEEKLY;BYDAY=SU or FREQ=MONTHLY;BYMONTHDAY=1, or give start",
        )
    begins = start or ANY_START
    until = min(_until(parts, pointer), date(begins.year + YEARS_LOOKED_AHEAD, 1, 1))
    first = _first_of_days(parts, begins, until) if parts["FREQ"] == "DAILY" else _first(parts, begins)
    if first is None or first > until:
        raise Invalid("the rule never gives a day", pointer=pointer, fix=_FIX)
    return rule


def _parts(rule: str, pointer: str) -> dict[str, str]:
    parts: dict[str, str] = {}
    for part in rule.split(";"):
        name, _, value = part.partition("=")
        if name not in _PARTS:
            near = nearest(name, _PARTS)
            fix = f"did you mean {near}?" if near else _FIX
            raise Invalid(f"{name[:20]!r} is not a part of a window's rule", pointer=pointer, fix=fix, nearest=near)
        if name in parts:
            raise Invalid(f"{name} is listed twice", pointer=pointer)
        if not _PARTS[name].fullmatch(value):
            if name == "UNTIL" and (date_of := re.match(r"[12][0-9]{3}-?[0-9]{2}-?[0-9]{2}", value)):
                raise Invalid(
                    f"{part[:40]!r} is not a date: a rule gives days, so its end is a day too, inclusive",
                    pointer=pointer,
                    fix=f"write UNTIL={date_of[0].replace('-', '')}",
                )
            near = nearest(value, _ALLOWED) if name == "FREQ" else None
            fix = f"did you mean {near}?" if near else _FIX
            raise Invalid(f"{part[:40]!r} is not understood", pointer=pointer, fix=fix, nearest=near)
        parts[name] = value
    if "FREQ" not in parts:
        raise Invalid("the rule has no FREQ", pointer=pointer, fix=_FIX)
    return parts


def _check_together(parts: Mapping[str, str], pointer: str) -> None:
    """Refuse parts that have no meaning together, which dateutil interprets in its own way.

    Raises:
        Invalid: with which ones.
    """
    frequency = parts["FREQ"]
    if "COUNT" in parts and "UNTIL" in parts:
        raise Invalid("a rule can have COUNT or UNTIL, not both", pointer=pointer)
    for name in parts:
        if name not in _ALLOWED[frequency]:
            raise Invalid(f"{name} has no effect in a rule that is {frequency}", pointer=pointer, fix=_FIX)
    _check_numbered(parts, pointer)
    if "BYSETPOS" in parts and not parts.keys() & {"BYDAY", "BYMONTHDAY", "BYYEARDAY", "BYWEEKNO", "BYMONTH"}:
        raise Invalid("BYSETPOS selects among the days of another part, and there is none", pointer=pointer)


def _check_numbered(parts: Mapping[str, str], pointer: str) -> None:
    """Refuse `2MO` where there is no second Monday: dateutil looks past the end of its tables for it."""
    numbers = [abs(int(day[:-2])) for day in parts.get("BYDAY", "").split(",") if len(day) > len("MO")]
    by_week = parts["FREQ"] in {"DAILY", "WEEKLY"} or "BYWEEKNO" in parts
    by_month = parts["FREQ"] == "MONTHLY" or "BYMONTH" in parts
    number_max = 0 if by_week else WEEKS_OF_A_MONTH if by_month else WEEKS_OF_A_YEAR
    if numbers and max(numbers) > number_max:
        raise Invalid(
            f"a weekday numbered {max(numbers)} does not exist in this rule",
            pointer=pointer,
            fix="write such as FREQ=MONTHLY;BYDAY=1SU, the first Sunday of a month",
        )


def _until(parts: Mapping[str, str], pointer: str) -> date:
    text = parts.get("UNTIL")
    if text is None:
        return date.max
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        raise Invalid(f"UNTIL={text} is not a date", pointer=pointer, fix="write such as UNTIL=20271231") from None


def _first_of_days(parts: Mapping[str, str], begins: date, until: date) -> date | None:
    """Return the first day of a daily rule, which is each day that its parts let pass."""
    months = {int(each) for each in parts["BYMONTH"].split(",")} if "BYMONTH" in parts else None
    weekdays = {_WEEKDAYS.index(each) for each in parts["BYDAY"].split(",")} if "BYDAY" in parts else None
    days = {int(each) for each in parts["BYMONTHDAY"].split(",")} if "BYMONTHDAY" in parts else None
    for day in _each_day(begins, until, int(parts.get("INTERVAL", "1"))):
        if months is not None and day.month not in months:
            continue
        if weekdays is not None and day.weekday() not in weekdays:
            continue
        if days is None or not days.isdisjoint({day.day, day.day - _last_of_month(day) - 1}):
            return day
    return None


def _each_day(begins: date, until: date, interval: int) -> Iterator[date]:
    while begins <= until:
        yield begins
        begins += timedelta(days=interval)


def _last_of_month(day: date) -> int:
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1).toordinal() - day.replace(day=1).toordinal()


def _first(parts: Mapping[str, str], begins: date) -> date | None:
    """Return the first day of a rule, as it is found whole cycles later."""
    later = (LAST_YEAR - YEARS_LOOKED_AHEAD - 1 - begins.year) // CYCLE_YEARS * CYCLE_YEARS
    rule = ";".join(f"{name}={value}" for name, value in parts.items() if name not in {"COUNT", "UNTIL"})
    moved = datetime.combine(begins.replace(year=begins.year + later), time())
    found = next(iter(rrulestr(rule, dtstart=moved)), None)
    return None if found is None else found.date().replace(year=found.year - later)
