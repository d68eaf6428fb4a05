"""At each level one open calendar is enough; both levels must be open; what no calendar applies to is open."""

from __future__ import annotations

from pyroaring import BitMap

from libs.contracts import CalendarRemoved, StoreRemoved
from libs.gates import Gates
from tests.libs.gates.gates_words import (
    MICROSECOND,
    NEW_YORK,
    NOBODY,
    at,
    calendar,
    closed,
    fleet_of,
    freeze,
    gates,
    names,
    ordinal,
    override,
    store,
    weekly,
    while_closed,
)

STORES = (store("tx"), store("ny", NEW_YORK))
NIGHT = calendar("night", weekly("01:00", "05:00"))
OPEN_BOTH = at("2026-07-01T07:00")  # 02:00 in Chicago, 03:00 in New York
SHUT = at("2026-07-01T18:00")


def test_a_window_is_open_by_each_stores_own_clock_half_open() -> None:
    fleet = fleet_of(*STORES, NIGHT)

    assert closed(fleet, at("2026-07-01T05:00") - MICROSECOND) == {"tx", "ny"}
    assert closed(fleet, at("2026-07-01T05:00")) == {"tx"}
    assert closed(fleet, at("2026-07-01T06:00") - MICROSECOND) == {"tx"}
    assert closed(fleet, at("2026-07-01T06:00")) == set()
    assert closed(fleet, at("2026-07-01T09:00")) == {"ny"}
    assert closed(fleet, at("2026-07-01T10:00")) == {"tx", "ny"}


def test_what_no_calendar_binds_is_open() -> None:
    fleet = fleet_of(store("tx", state="tx"), store("ny", state="ny"), calendar("c", clusters="state = tx"))

    assert closed(fleet, SHUT) == {"tx"}
    fleet.assume(CalendarRemoved("c"))
    assert closed(fleet, SHUT) == set()


def test_several_calendars_at_one_level_are_open_when_any_is() -> None:
    fleet = fleet_of(*STORES, NIGHT, calendar("noon", weekly("12:00", "14:00"), clusters="/c/tx"))

    assert closed(fleet, SHUT) == {"ny"}
    assert closed(fleet, OPEN_BOTH) == set()
    assert closed(fleet, at("2026-07-01T20:00")) == {"tx", "ny"}


def test_both_levels_must_be_open_where_both_bind() -> None:
    fleet = fleet_of(*STORES, NIGHT, calendar("early", weekly("02:00", "03:00"), clusters=None, applications=["pos"]))

    assert closed(fleet, at("2026-07-01T06:30"), "pos") == {"tx"}  # 01:30 and 02:30
    assert closed(fleet, at("2026-07-01T06:30"), "signage") == set()
    assert closed(fleet, at("2026-07-01T07:30"), "pos") == {"ny"}
    assert closed(fleet, SHUT, "pos") == {"tx", "ny"}


def test_a_calendar_of_an_application_on_clusters_binds_it_there_alone() -> None:
    fleet = fleet_of(*STORES, calendar("c", clusters="/c/tx", applications=["pos"]))

    assert closed(fleet, SHUT, "pos") == {"tx"}
    assert closed(fleet, SHUT, "signage") == set()


def test_stores_that_are_alike_but_for_their_hours_are_judged_apart() -> None:
    fleet = fleet_of(
        store("early", hours=("06:00", "20:00")),
        store("late", hours=("10:00", "23:00")),
        store("none"),
        calendar("closed", while_closed(after=30, before=60)),
    )

    assert closed(fleet, at("2026-07-01T12:00")) == {"early", "none"}  # 07:00
    assert closed(fleet, at("2026-07-02T02:00")) == {"late", "none"}  # 21:00
    fleet.assume(store("late", hours=("06:00", "20:00")))
    assert closed(fleet, at("2026-07-02T02:00")) == {"none"}


def test_a_store_that_moves_to_another_zone_opens_by_that_zone() -> None:
    fleet = fleet_of(*STORES, NIGHT)
    known = Gates(fleet)
    before = known.at(at("2026-07-01T05:30")).closed_by_window("pos", first=NOBODY)
    fleet.assume(store("tx", NEW_YORK))
    after = known.at(at("2026-07-01T05:30")).closed_by_window("pos", first=NOBODY)

    assert names(fleet, before.clusters) == {"tx"}
    assert names(fleet, after.clusters) == set()


def test_first_admissions_pass_windows() -> None:
    fleet = fleet_of(*STORES, NIGHT)

    assert closed(fleet, SHUT, first=BitMap([ordinal(fleet, "ny")])) == {"tx"}


def test_what_is_still_admitted_on_a_removed_store_waits_for_its_window() -> None:
    fleet = fleet_of(store("tx", state="tx"), store("ny"), calendar("c", weekly("01:00", "05:00"), clusters="/c/*"))
    fleet.assume(calendar("a", weekly("01:00", "05:00"), clusters=None, applications=["pos"]))
    fleet.assume(StoreRemoved("tx"))

    assert closed(fleet, SHUT, "signage") == {"tx", "ny"}
    assert closed(fleet, at("2026-07-01T05:30"), "pos") == {"tx", "ny"}
    assert closed(fleet, OPEN_BOTH, "pos") == set()


def test_an_override_of_a_calendar_opens_its_level_and_not_the_other() -> None:
    fleet = fleet_of(*STORES, NIGHT, calendar("early", weekly("02:00", "03:00"), clusters=None, applications=["pos"]))
    override(fleet, "o", ["tx"], SHUT, at("2026-07-01T20:00"), calendar="night")

    assert closed(fleet, SHUT, "signage") == {"ny"}
    assert closed(fleet, SHUT, "pos") == {"tx", "ny"}
    override(fleet, "p", ["tx"], SHUT, at("2026-07-01T20:00"), calendar="early")
    assert closed(fleet, SHUT, "pos") == {"ny"}
    used = gates(fleet, SHUT).closed_by_window("pos", first=NOBODY).used
    assert {each: names(fleet, clusters) for each, clusters in used.items()} == {"o": {"tx"}, "p": {"tx"}}
    assert closed(fleet, at("2026-07-01T20:00"), "signage") == {"tx", "ny"}


def test_an_override_is_of_no_use_where_its_calendar_does_not_bind() -> None:
    fleet = fleet_of(*STORES, NIGHT, calendar("noon", weekly("12:00", "13:00"), clusters="/c/tx"))
    override(fleet, "o", ["tx", "ny"], OPEN_BOTH, at("2026-07-03T00:00"), calendar="noon")
    shut = at("2026-07-01T20:00")

    assert closed(fleet, shut) == {"ny"}
    used = gates(fleet, shut).closed_by_window("pos", first=NOBODY).used
    assert {each: names(fleet, clusters) for each, clusters in used.items()} == {"o": {"tx"}}
    assert gates(fleet, OPEN_BOTH).closed_by_window("pos", first=NOBODY).used == {}


def test_an_open_window_does_not_open_a_freeze() -> None:
    fleet = fleet_of(*STORES, NIGHT, freeze("f", "2026-06-30T00:00:00Z", "2026-07-03T00:00:00Z"))
    now = gates(fleet, OPEN_BOTH)

    assert not now.closed_by_window("pos", first=NOBODY).clusters
    assert names(fleet, now.closed_by_freeze("pos", first=NOBODY).clusters) == {"tx", "ny"}


def test_answers_follow_the_first_admissions_that_are_asked_about() -> None:
    fleet = fleet_of(*STORES, NIGHT)
    now = gates(fleet, SHUT)

    assert names(fleet, now.closed_by_window("pos", first=NOBODY).clusters) == {"tx", "ny"}
    assert names(fleet, now.closed_by_window("pos", first=BitMap([0])).clusters) == {"ny"}
    assert names(fleet, now.closed_by_window("pos", first=BitMap([1])).clusters) == {"tx"}


def test_a_mutated_set_of_first_admissions_is_not_taken_for_the_old_one() -> None:
    fleet = fleet_of(*STORES, NIGHT)
    now = gates(fleet, SHUT)
    first = BitMap([0])

    assert names(fleet, now.closed_by_window("pos", first=first).clusters) == {"ny"}
    first.add(1)
    assert names(fleet, now.closed_by_window("pos", first=first).clusters) == set()
