"""Parses instants and local times; text that breaks a rule raises `Invalid`.

The one rule: an instant is RFC 3339, has an offset and is kept in UTC; a local time has none and means each store's own
wall clock. All instants from outside are read here.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

from libs.contracts.refusals import Invalid

UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
END_OF_DAY = "24:00"

YEAR_MIN, YEAR_MAX = 1900, 2199
"""The years that documents may name: with any offset added, both ends are still valid dates."""

ALL_YEARS = (1, 9999)
"""The years that a query may name: no facts are that old or new, but `until` may be far away."""
_TEXT_CHARACTERS_MAX = 100

_ENDS = ("/until", "/expires", "?to")
"""Fields that name the end of an interval."""

_DATE = r"\d{4}-\d{2}-\d{2}"
_LOCAL = re.compile(rf"({_DATE})[Tt ](\d{{2}}:\d{{2}}(?::\d{{2}})?)", re.ASCII)
_MINUTE = r"(?:[01]\d|2[0-3]):[0-5]\d"
_INSTANT = re.compile(
    rf"({_DATE})[Tt]({_MINUTE})(?::(\d{{2}})(?:\.(\d+))?)?(?:[Zz]|([+-])({_MINUTE}))",
    re.ASCII,
)
_SPACED = re.compile(rf"{_DATE} .*", re.ASCII)
_PLUS_LOST = re.compile(rf"{_DATE}[Tt]\d{{2}}:\d{{2}}[\d:.]* \d{{2}}:\d{{2}}", re.ASCII)
_MICROSECOND_DIGITS = 6
_LEAP_SECOND = 60


def parsed_instant(text: str) -> datetime | None:
    """Return the instant that RFC 3339 text means, in UTC, or None if it is not one.

    `t` and `z` are read as `T` and `Z` (§5.6), seconds may be left out, `-00:00` is UTC (§4.3), digits beyond
    microseconds are cut off, and a leap second (§5.7), `23:59:60` in UTC, is the midnight after it, as in POSIX.
    """
    match = _INSTANT.fullmatch(text) if len(text) <= _TEXT_CHARACTERS_MAX else None
    if match is None:
        return None
    day, minute, seconds, fraction, sign, apart = match.groups()
    hours, minutes = (apart or "00:00").split(":")
    leaps = seconds == str(_LEAP_SECOND)
    second = "59" if leaps else seconds or "00"
    micros = "0" if leaps else (fraction or "0")[:_MICROSECOND_DIGITS]
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    try:
        local = datetime.fromisoformat(f"{day}T{minute}:{second}.{micros:0<6}+00:00")
        at = local + offset if sign == "-" else local - offset
        if not leaps:
            return at
        after = at + timedelta(seconds=1)
    except (ValueError, OverflowError):
        return None
    return after if (after.hour, after.minute) == (0, 0) else None


def read_instant(text: str, pointer: str | None, years: tuple[int, int] = (YEAR_MIN, YEAR_MAX)) -> datetime:
    """Return the instant that RFC 3339 text with an offset means, in UTC, within `years`; seconds may be left out.

    Raises:
        Invalid: it has no offset, or is not an instant; the message says what to write.
    """
    parsed = parsed_instant(text)
    if parsed is not None and years[0] <= parsed.year <= years[1]:
        return parsed
    if _LOCAL.fullmatch(text):
        raise Invalid(
            f"{text[:40]!r} has no offset, so it is another instant in every time zone",
            pointer=pointer,
            fix="write an offset, such as 2026-12-24T18:00:00Z or 2026-12-24T12:00:00-06:00",
        )
    if (day := _day(text)) is not None:
        raise _only_a_date(day, pointer, "Z")
    if _PLUS_LOST.fullmatch(text):
        raise Invalid(
            f"{text[:40]!r} has a space where the + of its offset belongs",
            pointer=pointer,
            fix="write + as %2B in a URL, such as 2026-12-24T18:00:00%2B01:00",
        )
    if _SPACED.fullmatch(text):
        raise Invalid(
            f"{text[:40]!r} has a space between date and time, where RFC 3339 has a T",
            pointer=pointer,
            fix="write 2026-12-24T18:00:00Z",
        )
    between = "" if years == ALL_YEARS else f" between {years[0]} and {years[1]}"
    raise Invalid(
        f"{text[:40]!r} is not an instant{between}",
        pointer=pointer,
        fix="write RFC 3339 with an offset: 2026-12-24T18:00:00Z or 2026-12-24T12:00:00-06:00",
    )


def read_local(text: str, pointer: str) -> datetime:
    """Return the local time (naive) that text without an offset means.

    Raises:
        Invalid: it has an offset, or is not a local time.
    """
    if _INSTANT.fullmatch(text):
        raise Invalid(
            f"{text[:40]!r} has an offset, where a local time is expected",
            pointer=pointer,
            fix="leave the offset out, or leave `at: store` out and write one in both",
        )
    if (day := _day(text)) is not None:
        raise _only_a_date(day, pointer, "")
    parsed = _parsed(text) if _LOCAL.fullmatch(text) else None
    if parsed is None or not YEAR_MIN <= parsed.year <= YEAR_MAX:
        raise Invalid(
            f"{text[:40]!r} is not a local time between {YEAR_MIN} and {YEAR_MAX}",
            pointer=pointer,
            fix="write such as 2026-12-24T18:00",
        )
    return parsed


def _only_a_date(day: date, pointer: str | None, offset: str) -> Invalid:
    """Return the refusal of a date instead of a time: the suggested instant of that day depends on the field."""
    written, meant = day, "the beginning of that day"
    if (pointer or "").endswith(_ENDS) and day.year < YEAR_MAX:
        written, meant = day + timedelta(days=1), "the end of that day (an end is exclusive)"
    local = (
        "" if offset == "" else "; where the document takes `at: store`, the same without Z is each store's own time"
    )
    return Invalid(
        f"{day} is a date without a time",
        pointer=pointer,
        fix=f"write {written}T00:00{':00' if offset else ''}{offset} for {meant}{local}",
    )


def read_date(text: str, pointer: str) -> date:
    """Return the date that `YYYY-MM-DD` means.

    Raises:
        Invalid: it is not a date, or the day does not exist.
    """
    parsed = _day(text)
    if parsed is None or not YEAR_MIN <= parsed.year <= YEAR_MAX:
        raise Invalid(f"{text[:40]!r} is not a date", pointer=pointer, fix="write such as 2026-12-24")
    return parsed


def instant_text(at: datetime) -> str:
    """Return an instant in UTC as documents and events write it: RFC 3339 with `Z`."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _day(text: str) -> date | None:
    parsed = _parsed(text) if re.fullmatch(_DATE, text, re.ASCII) else None
    return None if parsed is None else parsed.date()


def _parsed(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text.upper().replace(" ", "T"))
    except ValueError:
        return None
