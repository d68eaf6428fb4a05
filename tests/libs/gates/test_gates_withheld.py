"""What was withheld: on its clusters the stricter of before and after governs, until somebody lets it count."""

from __future__ import annotations

from typing import Any

from pyroaring import BitMap

from libs.contracts import CalendarRemoved, LooseningConfirmed, LooseningWithheld, StoreRemoved
from libs.fleet import Fleet, packed
from libs.gates import Gates
from tests.libs.gates.gates_words import (
    BERLIN,
    BY,
    CHICAGO,
    NEW_YORK,
    NOBODY,
    at,
    calendar,
    closed,
    fleet_of,
    freeze,
    frozen,
    gates,
    law,
    names,
    ordinal,
    override,
    store,
    weekly,
    while_closed,
)

NIGHT = calendar("night", weekly("01:00", "05:00"))
SHUT = at("2026-07-01T18:00")
SPAN = ("2026-06-30T00:00:00Z", "2026-07-03T00:00:00Z")


def withhold(fleet: Fleet, clusters: list[str], *then: Any, name: str = "w") -> None:
    """Let events follow that do not count on these clusters."""
    fleet.assume(LooseningWithheld(name, packed(BitMap([ordinal(fleet, each) for each in clusters]))))
    for event in then:
        fleet.assume(event)


def confirm(fleet: Fleet, name: str = "w") -> None:
    fleet.assume(LooseningConfirmed(name, "agreed", BY))


def test_a_removed_calendar_still_closes_where_the_removal_is_withheld() -> None:
    fleet = fleet_of(store("tx"), store("ny"), NIGHT)
    withhold(fleet, ["tx"], CalendarRemoved("night"))

    assert closed(fleet, SHUT) == {"tx"}
    assert closed(fleet, at("2026-07-01T07:00")) == set()
    confirm(fleet)
    assert closed(fleet, SHUT) == set()


def test_a_wider_window_does_not_count_and_a_narrower_one_does() -> None:
    fleet = fleet_of(store("tx"), NIGHT)
    withhold(fleet, ["tx"], calendar("night", weekly("03:00", "23:00")))

    assert closed(fleet, at("2026-07-01T07:00")) == {"tx"}  # 02:00: open before, not after
    assert closed(fleet, at("2026-07-01T08:30")) == set()
    assert closed(fleet, SHUT) == {"tx"}  # 13:00: open after, not before


def test_a_store_that_is_moved_out_of_a_freeze_stays_frozen() -> None:
    fleet = fleet_of(store("tx", state="tx"), store("ny", state="tx"), freeze("f", *SPAN, "state = tx"))
    withhold(fleet, ["tx"], store("tx", state="ny"), store("ny", state="ny"))

    assert frozen(fleet, SHUT) == {"tx"}
    assert frozen(fleet, at("2026-07-03T00:00")) == set()


def test_a_freeze_that_was_shortened_since_ends_as_it_is_declared_today() -> None:
    fleet = fleet_of(store("tx", state="tx"), freeze("f", *SPAN, "state = tx"))
    withhold(fleet, ["tx"], store("tx", state="ny"))
    fleet.assume(freeze("f", SPAN[0], "2026-07-01T12:00:00Z", "state = tx"))

    assert frozen(fleet, at("2026-07-01T11:00")) == {"tx"}
    assert frozen(fleet, SHUT) == set()


def test_another_zone_counts_only_where_both_are_open() -> None:
    fleet = fleet_of(store("tx", CHICAGO), calendar("night", weekly("00:00", "12:00")))
    withhold(fleet, ["tx"], store("tx", BERLIN))

    assert closed(fleet, at("2026-07-01T00:00")) == {"tx"}  # 02:00 in Berlin, 19:00 in Chicago
    assert closed(fleet, at("2026-07-01T06:00")) == set()  # 08:00 and 01:00
    assert closed(fleet, at("2026-07-01T11:00")) == {"tx"}  # 13:00 and 06:00


def test_a_local_freeze_holds_by_both_clocks() -> None:
    fleet = fleet_of(store("tx", CHICAGO), freeze("f", "2026-07-01T00:00:00", "2026-07-02T00:00:00", local=True))
    withhold(fleet, ["tx"], store("tx", BERLIN))

    assert frozen(fleet, at("2026-06-30T22:00")) == {"tx"}  # Berlin's begins
    assert frozen(fleet, at("2026-07-02T04:00")) == {"tx"}  # Chicago's goes on
    assert frozen(fleet, at("2026-07-02T05:00")) == set()


def test_other_opening_hours_count_only_where_both_are_closed() -> None:
    fleet = fleet_of(store("tx", hours=("06:00", "22:00")), calendar("c", while_closed()))
    withhold(fleet, ["tx"], store("tx", hours=("12:00", "14:00")))

    assert closed(fleet, at("2026-07-01T15:00")) == {"tx"}  # 10:00
    assert closed(fleet, at("2026-07-01T10:00")) == set()  # 05:00


def test_an_application_level_calendar_without_clusters_is_withheld_there_too() -> None:
    fleet = fleet_of(
        store("tx"), store("ny"), calendar("pos", weekly("01:00", "05:00"), clusters=None, applications=["pos"])
    )
    withhold(fleet, ["tx"], CalendarRemoved("pos"))

    assert closed(fleet, SHUT, "pos") == {"tx"}
    assert closed(fleet, SHUT, "signage") == set()


def test_an_override_opens_the_old_rule_and_is_used() -> None:
    fleet = fleet_of(store("tx"), store("ny"), NIGHT)
    withhold(fleet, ["tx"], CalendarRemoved("night"))
    override(fleet, "o", ["tx"], SHUT, at("2026-07-01T20:00"), calendar="night")

    assert closed(fleet, SHUT) == set()
    used = gates(fleet, SHUT).closed_by_window("pos", first=NOBODY).used
    assert {each: names(fleet, clusters) for each, clusters in used.items()} == {"o": {"tx"}}


def test_several_withheld_changes_hold_together() -> None:
    fleet = fleet_of(store("tx"), NIGHT)
    withhold(fleet, ["tx"], calendar("night", weekly("12:00", "14:00")), name="v")
    withhold(fleet, ["tx"], CalendarRemoved("night"), name="w")

    assert closed(fleet, SHUT) == {"tx"}  # 13:00, which the second change opened
    confirm(fleet, "v")
    assert closed(fleet, SHUT) == set()
    assert closed(fleet, at("2026-07-01T07:00")) == {"tx"}
    confirm(fleet, "w")
    assert closed(fleet, at("2026-07-01T07:00")) == set()


def test_what_is_withheld_of_a_removed_store_goes_on() -> None:
    fleet = fleet_of(store("tx"), NIGHT)
    withhold(fleet, ["tx"], CalendarRemoved("night"), StoreRemoved("tx"))

    assert closed(fleet, SHUT) == {"tx"}


def test_the_next_change_knows_withheld_windows() -> None:
    fleet = fleet_of(store("tx"), NIGHT)
    known = Gates(fleet)
    withhold(fleet, ["tx"], CalendarRemoved("night"))

    assert known.next_change(SHUT) == at("2026-07-02T06:00")
    confirm(fleet)
    assert known.next_change(SHUT) is None


def test_old_law_goes_on() -> None:
    fleet = fleet_of(store("tx"), law("utah", None, None))
    withhold(fleet, ["tx"], StoreRemoved("tx"))

    assert names(fleet, fleet.forbidden("lottery", SHUT)) == {"tx"}


def test_a_withheld_rule_is_named_where_it_closes() -> None:
    fleet = fleet_of(store("tx"), NIGHT)
    withhold(fleet, ["tx"], CalendarRemoved("night"))
    found = gates(fleet, SHUT).explain_window("pos", 0, first=False)

    assert not found.open
    assert found.opens_at == at("2026-07-02T06:00")
    assert found.reason == (
        "calendar night is closed (as it was before withheld change w); it opens Thu 2026-07-02 01:00 America/Chicago"
    )
    assert [(what, key) for what, key, _ in found.evidence] == [
        ("calendar night", ("calendar", "night")),
        ("withheld change w", ("withheld", "w")),
    ]


def test_a_withheld_rule_is_explained_by_the_clusters_own_clock_of_then() -> None:
    fleet = fleet_of(store("ny", NEW_YORK), store("bln", BERLIN), store("tx"), NIGHT)
    withhold(fleet, ["bln", "tx"], CalendarRemoved("night"), store("bln", CHICAGO))

    found = gates(fleet, SHUT).explain_window("pos", ordinal(fleet, "bln"), first=False)
    assert found.opens_at == at("2026-07-01T23:00")
    assert found.reason.endswith("it opens Thu 2026-07-02 01:00 Europe/Berlin")
    assert gates(fleet, SHUT).explain_window("pos", ordinal(fleet, "tx"), first=False).opens_at == at(
        "2026-07-02T06:00"
    )


def test_another_withheld_change_under_the_same_name_is_another() -> None:
    fleet = fleet_of(store("tx"), store("ny"), NIGHT)
    known = Gates(fleet)

    def shut() -> set[str]:
        return names(fleet, known.at(SHUT).closed_by_window("pos", first=NOBODY).clusters)

    withhold(fleet, ["tx"], CalendarRemoved("night"))
    assert shut() == {"tx"}
    confirm(fleet)
    fleet.assume(NIGHT)
    withhold(fleet, ["ny"], CalendarRemoved("night"))
    assert shut() == {"ny"}
    assert not known.at(SHUT).explain_window("pos", ordinal(fleet, "ny"), first=False).open
    assert known.at(SHUT).explain_window("pos", ordinal(fleet, "tx"), first=False).open
