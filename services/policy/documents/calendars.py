"""Calendar documents: windows in three forms, excluded dates, and what the calendar applies to."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import Field

from libs.contracts.instants import DAYS, END_OF_DAY, read_date
from libs.contracts.refusals import Invalid
from libs.web.schema import Spec, read_as
from services.policy.documents.recurrence import check_rule
from services.policy.documents.rendering import document, one_of, saying
from services.policy.domain.calendars import Command, DeclareCalendar
from services.policy.domain.checks import APPLICATIONS_MAX, check_distinct
from services.policy.events import (
    CalendarDeclared,
    CalendarWindow,
    ClosedWindow,
    Exclusion,
    RecurringWindow,
    WeeklyWindow,
)

if TYPE_CHECKING:
    from datetime import datetime

    from libs.commands.kinds import Make
    from libs.fleet import Fleet

DAY_MINUTES = 24 * 60
WEEK_MINUTES = 7 * DAY_MINUTES
WINDOWS_MAX = 50
EXCLUSIONS_MAX = 1_000
MIDNIGHT = "00:00"
_FORMS = "give a window one form: days/from/to, or rrule/from/duration_minutes, or closed"

T = TypeVar("T")

_CLOCK = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]")


class ClosedItem(Spec):
    """While a store is closed: from some minutes after it closes until some before it opens."""

    after_close_minutes: int = Field(default=0, ge=0, le=DAY_MINUTES)
    before_open_minutes: int = Field(default=0, ge=0, le=DAY_MINUTES)


class WindowItem(Spec):
    """One window in one of three forms: `days/from/to`, `rrule/from/duration_minutes[/start]`, or `closed`."""

    days: list[str] | None = Field(default=None, min_length=1, max_length=len(DAYS))
    from_: str | None = Field(default=None, alias="from")
    to: str | None = None
    rrule: str | None = None
    duration_minutes: int | None = Field(default=None, ge=1, le=WEEK_MINUTES)
    start: str | None = None
    closed: ClosedItem | None = None


class ExclusionItem(Spec):
    """Local dates on which the calendar is closed: one `date`, or `from` until `until`, exclusive."""

    date: str | None = None
    from_: str | None = Field(default=None, alias="from")
    until: str | None = None


class CalendarSpec(Spec):
    """What the calendar applies to, and when it is open."""

    windows: list[WindowItem] = Field(min_length=1, max_length=WINDOWS_MAX)
    clusters: str | None = None
    applications: list[str] = Field(default_factory=list)
    exclude: list[ExclusionItem] = Field(default_factory=list, max_length=EXCLUSIONS_MAX)
    cutoff_minutes: int = Field(default=0, ge=0, le=DAY_MINUTES)
    signoff: str | None = None
    allow_empty: bool = False
    require: bool = False


def parse_calendar(written: Any, name: str | None) -> tuple[str, Make[Command]]:
    """Return a calendar's name and what makes the command that declares it.

    Raises:
        Invalid: the document does not fit.
    """
    read = read_as(written, kind="Calendar", spec=CalendarSpec, name=name)
    spec = read.spec
    check_distinct(spec.applications, "/spec/applications", count_max=APPLICATIONS_MAX)
    calendar = CalendarDeclared(
        name=read.name,
        windows=[_window(item, f"/spec/windows/{index}") for index, item in enumerate(spec.windows)],
        exclude=[_exclusion(item, f"/spec/exclude/{index}") for index, item in enumerate(spec.exclude)],
        clusters=spec.clusters,
        applications=list(spec.applications),
        cutoff_minutes=spec.cutoff_minutes,
        signoff=spec.signoff,
        allow_empty=spec.allow_empty,
        labels=read.labels,
        require=spec.require,
    )

    def make(actor: str, at: datetime) -> DeclareCalendar:
        return DeclareCalendar(calendar, actor, at)

    return read.name, make


def _window(item: WindowItem, pointer: str) -> CalendarWindow:
    forms = [item.days is not None, item.rrule is not None, item.closed is not None]
    if sum(forms) != 1:
        detail = "the window has several forms" if any(forms) else "the window has no form"
        raise Invalid(detail, pointer=pointer, fix=_FORMS)
    if item.closed is not None:
        _only(item, pointer, {"closed"})
        return CalendarWindow(closed=ClosedWindow(item.closed.after_close_minutes, item.closed.before_open_minutes))
    opens = _clock(_there(item.from_, f"{pointer}/from"), f"{pointer}/from")
    if item.days is not None:
        _only(item, pointer, {"days", "from", "to"})
        return CalendarWindow(weekly=_weekly(item.days, opens, _there(item.to, f"{pointer}/to"), pointer))
    _only(item, pointer, {"rrule", "from", "duration_minutes", "start"})
    start = None if item.start is None else read_date(item.start, f"{pointer}/start")
    rule = check_rule(item.rrule or "", start, f"{pointer}/rrule")
    minutes = _there(item.duration_minutes, f"{pointer}/duration_minutes")
    return CalendarWindow(recurring=RecurringWindow(rule, opens, minutes, None if start is None else str(start)))


def _only(item: WindowItem, pointer: str, fields: set[str]) -> None:
    """Refuse fields of another form, which would have no effect."""
    said = item.model_dump(by_alias=True, exclude_none=True)
    for name in said:
        if name not in fields:
            raise Invalid(f"{name} has no effect in this form of window", pointer=f"{pointer}/{name}", fix=_FORMS)


def _there(value: T | None, pointer: str) -> T:
    if value is None:
        raise Invalid(f"the field {pointer.rpartition('/')[2]!r} is missing", pointer=pointer)
    return value


def _clock(text: str, pointer: str) -> str:
    if not _CLOCK.fullmatch(text):
        raise Invalid(f"{text[:20]!r} is not a time of day HH:MM", pointer=pointer, fix="write such as 01:30")
    return text


def _weekly(days: list[str], opens: str, closes: str, pointer: str) -> WeeklyWindow:
    for index, day in enumerate(days):
        one_of(day, DAYS, f"{pointer}/days/{index}")
    check_distinct(days, f"{pointer}/days", count_max=len(DAYS))
    if closes == END_OF_DAY:
        closes = MIDNIGHT
    elif _clock(closes, f"{pointer}/to") == opens:
        raise Invalid("from and to are the same", pointer=f"{pointer}/to", fix="write 00:00 and 24:00 for a whole day")
    return WeeklyWindow(sorted(days, key=DAYS.index), opens, closes)


def _exclusion(item: ExclusionItem, pointer: str) -> Exclusion:
    if (item.date is None) == (item.from_ is None and item.until is None):
        raise Invalid(
            "an exclusion must be one date, or from and until", pointer=pointer, fix="write {date: 2026-12-24}"
        )
    if item.date is not None:
        day = read_date(item.date, f"{pointer}/date")
        return Exclusion(str(day), str(day + timedelta(days=1)))
    first = read_date(_there(item.from_, f"{pointer}/from"), f"{pointer}/from")
    until = read_date(_there(item.until, f"{pointer}/until"), f"{pointer}/until")
    if until <= first:
        raise Invalid("until is not after from, so no date is left out", pointer=f"{pointer}/until")
    return Exclusion(str(first), str(until))


def calendar_document(event: CalendarDeclared, _facts: Fleet) -> dict[str, Any]:
    """Return the document of a calendar."""
    spec = saying(clusters=event.clusters, applications=event.applications)
    spec["windows"] = [_window_item(each) for each in event.windows]
    spec |= saying(
        exclude=[_exclusion_item(each) for each in event.exclude],
        cutoff_minutes=event.cutoff_minutes,
        signoff=event.signoff,
        allow_empty=event.allow_empty,
        require=event.require,
    )
    return document("Calendar", event.name, event.labels, spec)


def _window_item(window: CalendarWindow) -> dict[str, Any]:
    if (weekly := window.weekly) is not None:
        whole = weekly.opens == weekly.closes
        return {"days": weekly.days, "from": weekly.opens, "to": END_OF_DAY if whole else weekly.closes}
    if (recurring := window.recurring) is not None:
        item = {
            "rrule": recurring.rrule,
            "from": recurring.opens,
            "duration_minutes": recurring.duration_minutes,
        }
        return item | saying(start=recurring.start)
    closed = window.closed or ClosedWindow()
    minutes = saying(after_close_minutes=closed.after_close_minutes, before_open_minutes=closed.before_open_minutes)
    return {"closed": minutes}


def _exclusion_item(exclusion: Exclusion) -> dict[str, Any]:
    one_day = str(read_date(exclusion.first, "") + timedelta(days=1)) == exclusion.until
    return {"date": exclusion.first} if one_day else {"from": exclusion.first, "until": exclusion.until}
