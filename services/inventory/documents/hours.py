"""Opening hours as in documents and imports: on days of the week, and exceptions on dates.

An exception replaces the whole of its local date, so a date has only one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from libs.contracts.instants import DAYS, END_OF_DAY, read_date
from libs.contracts.names import nearest
from libs.contracts.refusals import Invalid
from libs.web.schema import Spec
from services.inventory.events import HoursException, OpeningHours, StoreDeclared

HOURS_MAX = 50
EXCEPTIONS_MAX = 400
CLOSED = "closed"

_CLOCK = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]", re.ASCII)
_TIMES = re.compile(r"([0-9:]{5})-([0-9:]{5})", re.ASCII)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class HoursItem(Spec):
    """Opening hours on some `days` of the week, or an exception: other ones on one `date`, or `closed` then."""

    days: list[str] | None = Field(default=None, min_length=1, max_length=len(DAYS))
    date: str | None = None
    open: str | None = None
    close: str | None = None
    closed: bool | None = None


@dataclass(frozen=True, slots=True)
class StoreHours:
    """What a store declares: hours of the week, and exceptions by ascending date."""

    regular: tuple[OpeningHours, ...] = ()
    exceptions: tuple[HoursException, ...] = ()


def check_hours(days: Sequence[str], opens: str, closes: str, pointer: str) -> OpeningHours:
    """Return opening hours as they are kept: days in the order of the week.

    Raises:
        Invalid: a day or a time is not valid.
    """
    for index, day in enumerate(days):
        if day not in DAYS:
            raise Invalid(
                f"{day[:20]!r} is not a day",
                pointer=f"{pointer}/days/{index}",
                fix=f"write one of {', '.join(DAYS)}",
                nearest=nearest(day.lower()[:3], DAYS),
            )
    if len(set(days)) != len(days):
        raise Invalid("a day is named twice", pointer=f"{pointer}/days")
    _check_times(opens, closes, pointer)
    return OpeningHours(sorted(days, key=DAYS.index), opens, closes)


def _check_times(opens: str, closes: str, pointer: str) -> None:
    if not _CLOCK.fullmatch(opens):
        raise Invalid(f"{opens[:20]!r} is not a time of day HH:MM", pointer=f"{pointer}/open")
    if not _CLOCK.fullmatch(closes) and closes != END_OF_DAY:
        raise Invalid(f"{closes[:20]!r} is not a time of day HH:MM", pointer=f"{pointer}/close")
    if opens == closes:
        raise Invalid(
            "open and close are the same", pointer=f"{pointer}/close", fix="write 00:00 and 24:00 for the whole day"
        )


def check_items(items: Sequence[HoursItem], at: str = "/spec/hours") -> StoreHours:
    """Return the hours of a document's list.

    Raises:
        Invalid: an entry is not valid, or two entries are for one date.
    """
    found: list[OpeningHours | HoursException] = []
    for index, item in enumerate(items):
        pointer = f"{at}/{index}"
        if (item.days is None) == (item.date is None):
            raise Invalid(
                "an entry of hours must be for days of the week or for one date",
                pointer=pointer,
                fix="give either days or date",
            )
        if item.closed is not None:
            found.append(_closed(item, pointer))
            continue
        opens, closes = _there(item.open, f"{pointer}/open"), _there(item.close, f"{pointer}/close")
        if item.days is not None:
            found.append(check_hours(item.days, opens, closes, pointer))
        else:
            _check_times(opens, closes, pointer)
            found.append(HoursException(str(read_date(item.date or "", f"{pointer}/date")), opens, closes))
    return _gathered(found, at)


def _closed(item: HoursItem, pointer: str) -> HoursException:
    if item.date is None or item.closed is not True or item.open is not None or item.close is not None:
        raise Invalid(
            "closed is only allowed with a date",
            pointer=f"{pointer}/closed",
            fix="write {date, closed: true}",
        )
    return HoursException(str(read_date(item.date, f"{pointer}/date")))


def _there(value: str | None, pointer: str) -> str:
    if value is None:
        raise Invalid(f"the field {pointer.rpartition('/')[2]!r} is missing", pointer=pointer)
    return value


def _gathered(found: Iterable[OpeningHours | HoursException], at: str) -> StoreHours:
    regular: list[OpeningHours] = []
    exceptions: dict[str, HoursException] = {}
    for index, each in enumerate(found):
        if isinstance(each, OpeningHours):
            regular.append(each)
        elif each.date in exceptions:
            raise Invalid(f"{each.date} is listed twice", pointer=f"{at}/{index}/date")
        else:
            exceptions[each.date] = each
    for count, count_max in ((len(regular), HOURS_MAX), (len(exceptions), EXCEPTIONS_MAX)):
        if count > count_max:
            raise Invalid(f"there are more than {count_max}", pointer=at)
    return StoreHours(tuple(regular), tuple(exceptions[date] for date in sorted(exceptions)))


def hours_from_text(text: str) -> StoreHours:
    """Return the hours of a cell: `mon-fri 06:00-23:00; 2026-12-24 08:00-14:00; 2026-12-25 closed`.

    Raises:
        Invalid: it is not opening hours.
    """
    parts = [each.strip() for each in text.split(";") if each.strip()]
    return _gathered([_part(part) for part in parts], "/spec/hours")


def _part(part: str) -> OpeningHours | HoursException:
    when, _, times = part.lower().partition(" ")
    times = times.strip()
    if _DATE.fullmatch(when) and times == CLOSED:
        return HoursException(str(read_date(when, "/spec/hours")))
    found = _TIMES.fullmatch(times)
    if found is None:
        raise Invalid(
            f"{part[:60]!r} are not opening hours",
            fix="write mon-fri 06:00-23:00; sat,sun 07:00-02:00; 2026-12-24 08:00-14:00; 2026-12-25 closed",
        )
    if _DATE.fullmatch(when):
        _check_times(found[1], found[2], "/spec/hours")
        return HoursException(str(read_date(when, "/spec/hours")), found[1], found[2])
    return check_hours(_days(when), found[1], found[2], "/spec/hours")


def _days(text: str) -> list[str]:
    if text == "daily":
        return list(DAYS)
    days: list[str] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if dash and first in DAYS and last in DAYS and DAYS.index(first) <= DAYS.index(last):
            days += DAYS[DAYS.index(first) : DAYS.index(last) + 1]
        else:
            days.append(part)
    return days


def hours_items(event: StoreDeclared) -> list[dict[str, Any]]:
    """Return a store's hours as its document lists them: the week first, then the dates."""
    items: list[dict[str, Any]] = [{"days": each.days, "open": each.open, "close": each.close} for each in event.hours]
    for each in event.exceptions:
        said = {"open": each.open, "close": each.close} if each.open else {"closed": True}
        items.append({"date": each.date, **said})
    return items
