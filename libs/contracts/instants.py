"""Instants and local times as documents write them; what breaks a rule is `Invalid`.

The one rule: an instant has an offset and is kept in UTC; a local time has none and means each store's own wall clock.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

from libs.contracts.refusals import Invalid

YEAR_MIN, YEAR_MAX = 1900, 2199
"""What documents may speak of: an offset added at either end still is a date."""

_DATE = r"\d{4}-\d{2}-\d{2}"
_LOCAL = re.compile(rf"({_DATE})[Tt ](\d{{2}}:\d{{2}}(?::\d{{2}})?)")
_INSTANT = re.compile(
    rf"{_DATE}[Tt ]\d{{2}}:\d{{2}}(?::\d{{2}}(?:\.\d{{1,6}})?)?(?:[Zz]|[+-]\d{{2}}:\d{{2}})", re.ASCII
)


def read_instant(text: str, pointer: str) -> datetime:
    """Return the instant that RFC 3339 text with an offset means, in UTC; seconds may be left out.

    Raises:
        Invalid: it has no offset, or is no such text.
    """
    if _LOCAL.fullmatch(text):
        raise Invalid(
            f"{text[:40]!r} has no offset, so it is another instant in every time zone",
            pointer=pointer,
            fix="write an offset, such as 2026-12-24T18:00:00Z or 2026-12-24T12:00:00-06:00",
        )
    parsed = _parsed(text) if _INSTANT.fullmatch(text) else None
    if parsed is None or not YEAR_MIN <= parsed.year <= YEAR_MAX:
        raise Invalid(
            f"{text[:40]!r} is not an instant between {YEAR_MIN} and {YEAR_MAX}",
            pointer=pointer,
            fix="write RFC 3339 with an offset, such as 2026-12-24T18:00:00Z",
        )
    return parsed.astimezone(UTC)


def read_local(text: str, pointer: str) -> datetime:
    """Return the local time (naive) that text without an offset means.

    Raises:
        Invalid: it has an offset, or is no such text.
    """
    if _INSTANT.fullmatch(text):
        raise Invalid(
            f"{text[:40]!r} has an offset, where a local time is expected",
            pointer=pointer,
            fix="leave the offset out, or leave `at: store` out and write one in both",
        )
    parsed = _parsed(text) if _LOCAL.fullmatch(text) else None
    if parsed is None or not YEAR_MIN <= parsed.year <= YEAR_MAX:
        raise Invalid(
            f"{text[:40]!r} is not a local time between {YEAR_MIN} and {YEAR_MAX}",
            pointer=pointer,
            fix="write such as 2026-12-24T18:00",
        )
    return parsed


def read_date(text: str, pointer: str) -> date:
    """Return the date that `YYYY-MM-DD` means.

    Raises:
        Invalid: there is no such day.
    """
    parsed = _parsed(text) if re.fullmatch(_DATE, text, re.ASCII) else None
    if parsed is None or not YEAR_MIN <= parsed.year <= YEAR_MAX:
        raise Invalid(f"{text[:40]!r} is not a date", pointer=pointer, fix="write such as 2026-12-24")
    return parsed.date()


def instant_text(at: datetime) -> str:
    """Return an instant in UTC as documents and events write it: RFC 3339 with `Z`."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _parsed(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text.upper().replace(" ", "T"))
    except ValueError:
        return None
