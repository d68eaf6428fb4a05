"""Recurrence rules (RFC 5545, section 3.3.10) as far as a window may use them: by days, without times.

The one rule: a rule that passes here is cheap to expand, and opens at least once in a generation.
"""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING

from dateutil.rrule import rrulestr

from libs.contracts.names import nearest
from libs.contracts.refusals import Invalid

if TYPE_CHECKING:
    from collections.abc import Mapping

RULE_CHARACTERS_MAX = 200
LISTED_MAX = 62
YEARS_LOOKED_AHEAD = 29
"""Within which a rule has to open: the 29th of February falls on each weekday within 28 years, but for 2100."""
FREQUENCIES = ("DAILY", "WEEKLY", "MONTHLY", "YEARLY")
_DAY = "MO|TU|WE|TH|FR|SA|SU"
_PARTS: Mapping[str, re.Pattern[str]] = {
    "FREQ": re.compile("|".join(FREQUENCIES)),
    "INTERVAL": re.compile(r"[1-9][0-9]{0,3}"),
    "COUNT": re.compile(r"[1-9][0-9]{0,3}"),
    "UNTIL": re.compile(r"[0-9]{8}"),
    "BYDAY": re.compile(rf"(?:[+-]?[1-9][0-9]?)?(?:{_DAY})(?:,(?:[+-]?[1-9][0-9]?)?(?:{_DAY}))*"),
    "BYMONTHDAY": re.compile(r"[+-]?[1-9][0-9]?(?:,[+-]?[1-9][0-9]?)*"),
    "BYYEARDAY": re.compile(r"[+-]?[1-9][0-9]{0,2}(?:,[+-]?[1-9][0-9]{0,2})*"),
    "BYWEEKNO": re.compile(r"[+-]?[1-9][0-9]?(?:,[+-]?[1-9][0-9]?)*"),
    "BYMONTH": re.compile(r"[1-9][0-9]?(?:,[1-9][0-9]?)*"),
    "BYSETPOS": re.compile(r"[+-]?[1-9][0-9]{0,2}(?:,[+-]?[1-9][0-9]{0,2})*"),
    "WKST": re.compile(_DAY),
}
_FIX = "write such as FREQ=WEEKLY;BYDAY=SU; `from` says the time"


def check_rule(text: str, start: date | None, pointer: str) -> str:
    """Return a rule in upper case, its parts as they were ordered.

    Raises:
        Invalid: it is none, needs a `start`, or never opens.
    """
    if len(text) > RULE_CHARACTERS_MAX:
        raise Invalid(f"the rule is longer than {RULE_CHARACTERS_MAX} characters", pointer=pointer)
    rule = text.upper()
    parts = _parts(rule, pointer)
    if start is None and (needy := [part for part in ("INTERVAL", "COUNT") if part in parts]):
        raise Invalid(
            f"a rule with {needy[0]} depends on where it begins",
            pointer=pointer.replace("/rrule", "/start"),
            fix="say start, a local date such as 2026-11-01",
        )
    _check_opens(rule, start or date(2024, 1, 1), pointer)
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
            raise Invalid(f"{name} is there twice", pointer=pointer)
        if not _PARTS[name].fullmatch(value) or value.count(",") >= LISTED_MAX:
            near = nearest(value, FREQUENCIES) if name == "FREQ" else None
            fix = f"did you mean {near}?" if near else _FIX
            raise Invalid(f"{part[:40]!r} is not understood", pointer=pointer, fix=fix, nearest=near)
        parts[name] = value
    if "FREQ" not in parts:
        raise Invalid("the rule has no FREQ", pointer=pointer, fix=_FIX)
    if "COUNT" in parts and "UNTIL" in parts:
        raise Invalid("a rule has COUNT or UNTIL, not both", pointer=pointer)
    return parts


def _check_opens(rule: str, start: date, pointer: str) -> None:
    """Refuse a rule that gives no day within `YEARS_LOOKED_AHEAD`; dateutil would look for one until the year 9999."""
    begins = datetime.combine(start, time())
    until = begins + timedelta(days=366 * YEARS_LOOKED_AHEAD)
    bounded = ";".join(part for part in rule.split(";") if not part.startswith(("COUNT=", "UNTIL=")))
    try:
        last = re.search(r"UNTIL=(\d{8})", rule)
        ends = until if last is None else min(until, datetime.strptime(last[1], "%Y%m%d"))  # noqa: DTZ007 - local
        found = rrulestr(f"{bounded};UNTIL={ends:%Y%m%dT%H%M%S}", dtstart=begins)
        opens = next(iter(found), None)
    except ValueError as error:
        raise Invalid(f"the rule cannot be read: {error}", pointer=pointer, fix=_FIX) from None
    if opens is None:
        raise Invalid("the rule never gives a day", pointer=pointer, fix=_FIX)
