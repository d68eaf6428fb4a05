"""A further calendar of a level: when it is declared, the warning's example is what the gates say."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from libs.contracts import (
    ApplicationDeclared,
    CalendarDeclared,
    CalendarWindow,
    Exclusion,
    FreezeDeclared,
    NamespaceDeclared,
    WeeklyWindow,
)
from libs.fleet import Fleet
from libs.gates import Gates
from services.policy.domain.calendars import DeclareCalendar, warnings
from tests.libs.gates.gates_words import fleet_of, store

AT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
CLOCKS = ["00:00", "03:00", "09:00", "12:00", "18:00", "22:00"]
FIRST_AT = re.compile(r"on (\S+) changes.* may pass \w{3} (\S+ \S+) UTC only because of new")


@st.composite
def calendars(draw: st.DrawFn, name: str) -> CalendarDeclared:
    windows = [
        CalendarWindow(weekly=WeeklyWindow(draw(st.lists(st.sampled_from(DAYS), min_size=1, unique=True)), *edges))
        for edges in draw(st.lists(st.tuples(st.sampled_from(CLOCKS), st.sampled_from(CLOCKS)), min_size=1, max_size=2))
    ]
    exclude = draw(st.sampled_from([[], [Exclusion("2026-11-24", "2026-11-28")]]))
    clusters = draw(st.sampled_from(["/c/*", "size = large"]))
    return CalendarDeclared(name, windows, exclude, clusters, require=draw(st.booleans()))


@st.composite
def others(draw: st.DrawFn) -> list[CalendarDeclared | FreezeDeclared]:
    found: list[CalendarDeclared | FreezeDeclared] = [draw(calendars(name)) for name in ("a", "b")]
    if draw(st.booleans()):
        found.append(FreezeDeclared("f", "2026-11-24T06:00:00Z", "2026-11-26T06:00:00Z", "/c/*", "reason", "owner"))
    return found


def told(said: list[str]) -> tuple[str, datetime] | None:
    found = next((match for each in said if (match := FIRST_AT.search(each))), None)
    return None if found is None else (found[1], datetime.fromisoformat(found[2]).replace(tzinfo=UTC))


def passes(fleet: Fleet, at: datetime) -> BitMap:
    instant = Gates(fleet).at(at)
    closed = (ask("", first=BitMap()).clusters for ask in (instant.closed_by_freeze, instant.closed_by_window))
    return BitMap(range(2)) - BitMap.union(*closed)


@settings(max_examples=60, deadline=None)
@given(others(), calendars("new"))
def test_the_example_is_the_first_instant_at_which_only_the_new_one_opens(
    known: list[CalendarDeclared | FreezeDeclared], new: CalendarDeclared
) -> None:
    stores = [store("s-0", "UTC", size="large"), store("s-1", "UTC", size="small")]
    before, after = fleet_of(*stores, *known), fleet_of(*stores, *known, new)

    example = told(warnings(DeclareCalendar(new, "ada", AT), before))

    levels = [each for each in known if isinstance(each, CalendarDeclared) and not each.require]
    more: dict[str, datetime] = {}
    for hours in range(13 * 24):  # each weekday once after the exclusions
        at = AT + timedelta(hours=hours)
        for ordinal in passes(after, at) - passes(before, at):
            bound = [each for each in levels if each.clusters == "/c/*" or ordinal == 0]
            if bound and not new.require:
                more.setdefault(f"s-{ordinal}", at)
    if example is None:
        assert more == {}
    else:
        assert more[example[0]] == example[1]


def test_a_calendar_of_an_application_widens_what_another_of_it_allows() -> None:
    def nightly(name: str, opens: str, closes: str, *, require: bool = False) -> CalendarDeclared:
        window = CalendarWindow(weekly=WeeklyWindow(DAYS, opens, closes))
        return CalendarDeclared(name, [window], applications=["pos-api"], require=require)

    stores = [store("tx-1"), NamespaceDeclared("pos", "/c/*"), ApplicationDeclared("pos-api", "pos", None)]
    fleet = fleet_of(*stores, nightly("night", "01:00", "05:00"))

    (said,) = warnings(DeclareCalendar(nightly("new", "04:00", "06:00"), "ada", AT), fleet)

    assert said == (
        "it widens calendar night: one open calendar is enough, so on tx-1 changes of pos-api may pass"
        " Wed 2026-11-25 05:00 America/Chicago only because of new; with `require: true` it must be open"
        " besides the others"
    )
    assert warnings(DeclareCalendar(nightly("new", "02:00", "04:00"), "ada", AT), fleet) == []
    assert warnings(DeclareCalendar(nightly("new", "04:00", "06:00", require=True), "ada", AT), fleet) == []
    assert warnings(DeclareCalendar(nightly("night", "04:00", "06:00"), "ada", AT), fleet) == []
