"""A freeze holds everything that it applies to, from its beginning until its end, unless an override opens it."""

from __future__ import annotations

from pyroaring import BitMap

from libs.contracts import FreezeRemoved, OverrideRevoked, StoreRemoved
from libs.gates import Gates
from tests.libs.gates.gates_words import (
    BY,
    MICROSECOND,
    NEW_YORK,
    NOBODY,
    at,
    fleet_of,
    freeze,
    frozen,
    gates,
    names,
    ordinal,
    override,
    store,
)

BEGINS, ENDS = at("2026-11-27T06:00"), at("2026-12-01T06:00")
DURING = at("2026-11-28T12:00")
UTC_FREEZE = freeze("sale", "2026-11-27T06:00:00Z", "2026-12-01T06:00:00Z")
LOCAL_FREEZE = freeze("sale", "2026-11-27T00:00:00", "2026-12-01T00:00:00", local=True)
STORES = (store("tx"), store("ny", NEW_YORK))


def test_a_freeze_holds_from_its_beginning_until_its_end_exclusive() -> None:
    fleet = fleet_of(*STORES, UTC_FREEZE)

    assert frozen(fleet, BEGINS - MICROSECOND) == set()
    assert frozen(fleet, BEGINS) == {"tx", "ny"}
    assert frozen(fleet, ENDS - MICROSECOND) == {"tx", "ny"}
    assert frozen(fleet, ENDS) == set()


def test_a_local_freeze_holds_by_each_stores_own_clock() -> None:
    fleet = fleet_of(*STORES, LOCAL_FREEZE)

    assert frozen(fleet, at("2026-11-27T05:00") - MICROSECOND) == set()
    assert frozen(fleet, at("2026-11-27T05:00")) == {"ny"}
    assert frozen(fleet, BEGINS - MICROSECOND) == {"ny"}
    assert frozen(fleet, BEGINS) == {"tx", "ny"}
    assert frozen(fleet, at("2026-12-01T05:00")) == {"tx"}
    assert frozen(fleet, ENDS) == set()


def test_a_freeze_binds_the_clusters_that_its_expression_selects() -> None:
    fleet = fleet_of(store("tx", state="tx"), store("ny", state="ny"), freeze("f", *_SPAN, "state = tx"))

    assert frozen(fleet, DURING) == {"tx"}
    fleet.assume(store("ny", state="tx"))
    assert frozen(fleet, DURING) == {"tx", "ny"}
    fleet.assume(FreezeRemoved("f"))
    assert frozen(fleet, DURING) == set()


def test_gates_that_were_asked_before_follow_what_the_expression_selects() -> None:
    fleet = fleet_of(store("tx", state="tx"), store("ny", state="ny"), freeze("f", *_SPAN, "state = tx"))
    known = Gates(fleet)

    def held() -> set[str]:
        return names(fleet, known.at(DURING).closed_by_freeze("pos", first=NOBODY).clusters)

    assert held() == {"tx"}
    fleet.assume(store("ny", state="tx"))
    assert held() == {"tx", "ny"}
    fleet.assume(store("ut", state="tx"))
    assert held() == {"tx", "ny", "ut"}
    fleet.assume(StoreRemoved("ut"))
    assert held() == {"tx", "ny", "ut"}
    fleet.assume(store("tx", state="ut"))
    assert held() == {"ny", "ut"}


def test_a_freeze_of_some_applications_leaves_the_others_alone() -> None:
    fleet = fleet_of(*STORES, freeze("f", *_SPAN, applications=["pos"]))

    assert frozen(fleet, DURING, "pos") == {"tx", "ny"}
    assert frozen(fleet, DURING, "signage") == set()
    assert frozen(fleet, DURING, "") == set()


def test_a_first_admission_passes_unless_the_freeze_says_hold() -> None:
    passing = fleet_of(*STORES, freeze("f", *_SPAN))
    holding = fleet_of(*STORES, freeze("f", *_SPAN, new_clusters="hold"))
    first = BitMap([ordinal(passing, "ny")])

    assert frozen(passing, DURING, first=first) == {"tx"}
    assert frozen(holding, DURING, first=first) == {"tx", "ny"}


def test_what_is_still_admitted_on_a_removed_store_is_frozen_too() -> None:
    fleet = fleet_of(store("tx", state="tx"), store("ny", state="ny"), freeze("f", *_SPAN, "state = tx"))
    fleet.assume(StoreRemoved("tx"))

    assert frozen(fleet, DURING) == {"tx"}


def test_an_override_opens_the_freeze_on_its_clusters_for_its_time() -> None:
    fleet = fleet_of(*STORES, UTC_FREEZE)
    begins, ends = at("2026-11-28T12:00"), at("2026-11-28T16:00")
    override(fleet, "o", ["ny"], begins, ends, freeze="sale")

    assert frozen(fleet, begins - MICROSECOND) == {"tx", "ny"}
    assert frozen(fleet, begins) == {"tx"}
    assert frozen(fleet, ends - MICROSECOND) == {"tx"}
    assert frozen(fleet, ends) == {"tx", "ny"}
    used = gates(fleet, begins).closed_by_freeze("pos", first=NOBODY).used
    assert {each: names(fleet, clusters) for each, clusters in used.items()} == {"o": {"ny"}}


def test_an_override_keeps_the_clusters_that_it_was_granted_for() -> None:
    fleet = fleet_of(store("tx"), store("ny", state="ny"), UTC_FREEZE)
    override(fleet, "o", ["ny"], BEGINS, ENDS, freeze="sale")
    fleet.assume(store("tx", state="ny"))
    fleet.assume(store("ny", state="tx"))

    assert frozen(fleet, DURING) == {"tx"}


def test_an_override_for_one_application_opens_no_other() -> None:
    fleet = fleet_of(*STORES, UTC_FREEZE)
    override(fleet, "o", ["tx", "ny"], BEGINS, ENDS, freeze="sale", applications=["pos"])

    assert frozen(fleet, DURING, "pos") == set()
    assert frozen(fleet, DURING, "signage") == {"tx", "ny"}


def test_every_freeze_must_be_overridden() -> None:
    fleet = fleet_of(*STORES, UTC_FREEZE, freeze("stocktaking", *_SPAN))
    override(fleet, "o", ["tx", "ny"], BEGINS, ENDS, freeze="sale")

    assert frozen(fleet, DURING) == {"tx", "ny"}
    assert gates(fleet, DURING).closed_by_freeze("pos", first=NOBODY).used == {}
    override(fleet, "p", ["ny"], BEGINS, ENDS, freeze="stocktaking")
    assert frozen(fleet, DURING) == {"tx"}
    used = gates(fleet, DURING).closed_by_freeze("pos", first=NOBODY).used
    assert {each: names(fleet, clusters) for each, clusters in used.items()} == {"o": {"ny"}, "p": {"ny"}}


def test_an_override_of_another_document_of_that_name_opens_nothing() -> None:
    fleet = fleet_of(*STORES, UTC_FREEZE)
    override(fleet, "o", ["tx", "ny"], BEGINS, ENDS, calendar="sale")

    assert frozen(fleet, DURING) == {"tx", "ny"}


def test_overrides_of_one_freeze_open_each_their_own_clusters() -> None:
    fleet = fleet_of(*STORES, store("ut"), UTC_FREEZE)
    override(fleet, "o", ["tx", "ny"], BEGINS, ENDS, freeze="sale")
    override(fleet, "p", ["ny", "ut"], BEGINS, ENDS, freeze="sale")

    found = gates(fleet, DURING).closed_by_freeze("pos", first=NOBODY)
    assert found.clusters == NOBODY
    assert {each: names(fleet, clusters) for each, clusters in found.used.items()} == {
        "o": {"tx", "ny"},
        "p": {"ny", "ut"},
    }


def test_an_override_that_was_revoked_opens_nothing() -> None:
    fleet = fleet_of(*STORES, UTC_FREEZE)
    override(fleet, "o", ["tx", "ny"], BEGINS, ENDS, freeze="sale")
    fleet.assume(OverrideRevoked("o", "a mistake", BY))

    assert frozen(fleet, DURING) == {"tx", "ny"}


def test_an_override_is_not_used_where_nothing_would_be_closed() -> None:
    fleet = fleet_of(*STORES, UTC_FREEZE)
    override(fleet, "o", ["tx", "ny"], at("2026-11-20T00:00"), ENDS, freeze="sale")
    first = BitMap([ordinal(fleet, "ny")])

    assert gates(fleet, at("2026-11-25T00:00")).closed_by_freeze("pos", first=NOBODY).used == {}
    used = gates(fleet, DURING).closed_by_freeze("pos", first=first).used
    assert {each: names(fleet, clusters) for each, clusters in used.items()} == {"o": {"tx"}}


def test_applications_that_nothing_names_share_one_answer() -> None:
    fleet = fleet_of(*STORES, UTC_FREEZE, freeze("f", *_SPAN, applications=["pos"]))
    now = Gates(fleet).at(DURING)

    shared = now.closed_by_freeze("signage", first=NOBODY)
    assert now.closed_by_freeze("lottery", first=NOBODY) is shared
    assert now.closed_by_freeze("pos", first=NOBODY) is not shared


_SPAN = ("2026-11-27T06:00:00Z", "2026-12-01T06:00:00Z")
