"""Required calendars: whatever a change of calendars newly opens is said to be loosened."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from libs.access.effects import Before
from libs.access.loosening import loosened
from libs.contracts import CalendarDeclared, CalendarRemoved, CalendarWindow, WeeklyWindow
from libs.fleet import Fleet
from libs.gates import Gates
from tests.libs.gates.gates_words import fleet_of, store

AT = datetime(2026, 11, 24, 0, 0, tzinfo=UTC)
NAMES = ["a", "b", "c"]
STORES = [store("s-0", "UTC", size="large"), store("s-1", "UTC", size="small")]


@st.composite
def calendars(draw: st.DrawFn) -> CalendarDeclared:
    edges = draw(st.sampled_from([("00:00", "06:00"), ("03:00", "09:00"), ("12:00", "18:00"), ("00:00", "00:00")]))
    windows = [CalendarWindow(weekly=WeeklyWindow(["tue"], *edges))]
    clusters = draw(st.sampled_from(["/c/*", "size = large"]))
    name = draw(st.sampled_from(NAMES))
    return CalendarDeclared(name, windows, clusters=clusters, require=draw(st.booleans()))


def _open(fleet: Fleet) -> dict[datetime, BitMap]:
    instants = [AT + timedelta(hours=hours) for hours in range(24)]
    gates = Gates(fleet)
    return {at: BitMap([0, 1]) - gates.at(at).closed_by_window("", first=BitMap()).clusters for at in instants}


changes = st.one_of(calendars(), st.sampled_from(NAMES).map(CalendarRemoved))


@settings(max_examples=200, deadline=None)
@given(st.lists(calendars(), max_size=3), changes)
def test_what_newly_opens_is_loosened(
    known: list[CalendarDeclared], change: CalendarDeclared | CalendarRemoved
) -> None:
    before, after = fleet_of(*STORES, *known), fleet_of(*STORES, *known, change)

    found = BitMap.union(BitMap(), *loosened(Before(before, after, BitMap()), [change], AT).values())

    was, is_now = _open(before), _open(after)
    newly = BitMap.union(*(is_now[at] - was[at] for at in was))
    assert newly <= found


def test_a_further_required_calendar_or_one_that_becomes_required_loosens_nothing() -> None:
    tuesday = [CalendarWindow(weekly=WeeklyWindow(["tue"], "01:00", "05:00"))]
    one, two = (CalendarDeclared(name, tuesday, clusters="/c/*") for name in ("one", "two"))
    required = CalendarDeclared("two", tuesday, clusters="/c/*", require=True)

    for known in ([one], [one, two], [two]):
        before, after = fleet_of(*STORES, *known), fleet_of(*STORES, *known, required)
        assert loosened(Before(before, after, BitMap()), [required], AT) == {}
    assert loosened(Before(fleet_of(*STORES, one, required), fleet_of(*STORES, one, two), BitMap()), [two], AT)
