"""When calendars are open, for each distinct (calendar, hours, zone) among some clusters, in store time.

A row is about one calendar; whether a change passes depends on all that apply, on freezes and on overrides.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING

import numpy as np

from libs.calendars import never_opens, openings, zone_of
from libs.contracts import CalendarDeclared
from libs.fleet import is_member
from libs.gates.schedules import Schedule, hours_of, instant_of_micros
from libs.gates.views import View, as_they_are

if TYPE_CHECKING:
    from pyroaring import BitMap

    from libs.fleet import Fleet
    from libs.gates.schedules import Pair
    from libs.gates.views import Spread


@dataclass(frozen=True, slots=True)
class WindowRow:
    """One calendar in stores of one zone and, where it looks at them, one set of hours (as `Hours.text` writes them).

    Instants are on the stores' clocks, with their offset from UTC. `never_opens` says why, if it no longer opens.
    `example` is the name of one of its clusters; `clusters` is their number.
    """

    calendar: str
    applications: tuple[str, ...]
    require: bool
    zone: str
    hours: str
    clusters: int
    example: str
    open: bool
    next_change: datetime | None
    openings: tuple[tuple[datetime, datetime], ...]
    never_opens: str | None


def windows(fleet: Fleet, where: BitMap, start: datetime, end: datetime, now: datetime) -> list[WindowRow]:
    """Return the openings in [start, end), by calendar, zone and hours; only of calendars that apply to `where`."""
    view = View(Schedule)
    as_they_are(view, fleet)
    rows: list[WindowRow] = []
    for name in sorted(fleet.policy.calendars):
        found = _rows(fleet, view.spread("calendar", name), where, (start, end), now)
        rows += sorted(found, key=lambda row: (row.zone, row.hours))
    return rows


def _rows(
    fleet: Fleet, spread: Spread, where: BitMap, span: tuple[datetime, datetime], now: datetime
) -> Iterator[WindowRow]:
    calendar, schedule = spread.document, spread.schedule
    asked = is_member(where, spread.places, fleet.selection.size)
    distinct, examples, counts = np.unique(spread.row_of[asked], return_index=True, return_counts=True)
    schedule.judge(distinct, now)
    for row, example, count in zip(distinct.tolist(), examples.tolist(), counts.tolist(), strict=True):
        pair: Pair = schedule.pairs[row]
        zone: tzinfo = zone_of(pair[0]) if pair[0] else UTC
        until = instant_of_micros(int(schedule.until[row]))
        if isinstance(calendar, CalendarDeclared):
            found = openings(calendar, pair[0], hours_of(pair[1]), *span)
            yield WindowRow(
                calendar.name,
                tuple(calendar.applications),
                calendar.require,
                pair[0],
                pair[1],
                count,
                fleet.selection.name(int(spread.places[asked][example])),
                bool(schedule.on[row]),
                None if until is None else until.astimezone(zone),
                tuple((begins.astimezone(zone), ends.astimezone(zone)) for begins, ends in found),
                never_opens(calendar, pair[0], hours_of(pair[1]), now),
            )
