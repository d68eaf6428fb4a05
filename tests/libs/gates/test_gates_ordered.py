"""What holds of the list of gates, whichever gates are in it, and the one reading of law in force."""

from __future__ import annotations

from pyroaring import BitMap

from libs.contracts import By, LooseningConfirmed, LooseningWithheld, PlacementPolicyDeclared
from libs.fleet import Fleet, packed
from libs.fleet.law import taken_by_law
from libs.gates import GATES, GATES_READ, KEEPING, refusals
from tests.libs.gates.gates_words import at, fleet_of, names, store

NOW = at("2026-07-01T12:00")


def test_a_gate_has_a_name_of_its_own_and_says_when_it_is_open() -> None:
    found = [gate.name for gate in GATES]

    assert len(set(found)) == len(found)
    assert all(gate.open_when and "|" not in gate.open_when for gate in GATES)


def test_what_is_to_be_there_is_asked_before_what_keeps_it_back() -> None:
    kept = [gate.keeps for gate in GATES]

    assert kept == [*sorted(kept[:-1]), False]
    assert GATES[-1].name == "admitted"
    assert len(KEEPING) == sum(kept)


def test_an_admission_is_guarded_by_every_category_that_can_close_a_gate_or_change_a_target() -> None:
    assert set(GATES_READ) == {
        *("store", "group", "namespace", "application", "configuration", "release", "choices"),
        *("calendar", "freeze", "placementpolicy", "approval", "override", "withheld"),
    }


def test_every_code_of_a_refusal_is_told_by_one_gate() -> None:
    codes = sorted(value for name, value in vars(refusals).items() if name.isupper())

    assert sorted(code for gate in GATES for code in gate.refusals) == codes


# --- law in force ----------------------------------------------------------------------------------------------------


def relabelled() -> Fleet:
    """Three clusters, of which one leaves a law by a change that is withheld."""
    law = PlacementPolicyDeclared("dry", ["lottery"], "state = tx", "Code 1")
    fleet = fleet_of(*(store(name, state="tx") for name in ("a", "b")), store("c", state="ny"), law)
    fleet.assume(LooseningWithheld("w", packed(BitMap([1])), ["store-b"], "labels"))
    fleet.assume(store("b", state="ny"))
    return fleet


def taken(fleet: Fleet) -> set[str]:
    everything = fleet.selection.everything
    return {name for each in taken_by_law(fleet, "lottery", everything, NOW) for name in names(fleet, each.clusters)}


def test_what_a_law_takes_is_what_it_forbids_withheld_changes_included() -> None:
    fleet = relabelled()
    assert taken(fleet) == names(fleet, fleet.forbidden("lottery", NOW)) == {"a", "b"}
    (forbidding,) = fleet.laws_of("lottery", NOW)
    assert [forbidding.withheld_on(ordinal) for ordinal in range(3)] == [[], ["w"], []]

    fleet.assume(LooseningConfirmed("w", "right", By("omar")))
    assert taken(fleet) == names(fleet, fleet.forbidden("lottery", NOW)) == {"a"}


def test_only_immediate_law_forbids_at_once() -> None:
    fleet = relabelled()
    assert not fleet.forbidden_at_once("lottery", NOW)

    fleet.assume(PlacementPolicyDeclared("now", ["lottery"], "state = ny", "Code 2", enforcement="immediate"))
    assert names(fleet, fleet.forbidden_at_once("lottery", NOW)) == {"b", "c"}
