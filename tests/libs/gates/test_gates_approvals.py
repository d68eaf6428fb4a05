"""An approval lets through what it is of: one variant on each of its clusters."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from libs.contracts import ApprovalCompleted, ApprovalRefused, ApprovalRequested, SignOffStage
from libs.fleet import Effect, Fleet, effect_of, fixed, packed
from libs.fleet.effects import _NAMED_MAX, VARIANT_BYTES
from libs.gates import about, covered, items_of
from tests.libs.gates.gates_words import BY, at

EXPIRES = at("2026-11-27T00:00") + timedelta(days=1)
STAGES = [SignOffStage(["operations"])]
REMOVED = 0


def effect(variants: dict[int, int]) -> Effect:
    """The variant of each cluster; 0 is none."""
    rows = [[variants[each], each_bits(variants[each])] for each in sorted(variants)]
    return Effect(BitMap(variants), np.array(rows, np.uint64).reshape(-1, 2))


def each_bits(variant: int) -> int:
    """The second half of a digest, of which all bits are used."""
    return (variant * 0xC2B2AE3D27D4EB4F) % 2**64


class Log(dict[str, bytes]):
    """The blobs of a log."""


def fleet_of(log: Log | None = None) -> Fleet:
    return Fleet((Log() if log is None else log).get)


def request(fleet: Fleet, name: str, variants: dict[int, int], *, kind: str = "change", log: Log | None = None) -> None:
    said = fixed(effect(variants))
    if log is not None:
        log.update(said.blobs)
    run = ApprovalRequested(name, kind, "pos", "d", "s", STAGES, EXPIRES, clusters=packed(BitMap(variants)))
    fleet.assume(with_effect(run, variants))


def with_effect(run: ApprovalRequested, variants: dict[int, int]) -> ApprovalRequested:
    said = fixed(effect(variants))
    return replace(run, effect=said.digest, variants=dict(said.variants), variant_blobs=said.names)


def approve(fleet: Fleet, name: str, *people: str) -> None:
    fleet.assume(ApprovalCompleted(name, "d", list(people)))


def where(fleet: Fleet, variants: dict[int, int], application: str = "pos") -> dict[str, list[int]]:
    """Who approved what of a change, and where."""
    found = covered(fleet, application, effect(variants))
    return {person: list(clusters) for person, clusters in sorted(found.items())}


def test_nothing_is_covered_before_the_last_stage() -> None:
    fleet = fleet_of()
    request(fleet, "a", {1: 7, 2: 7})

    assert where(fleet, {1: 7, 2: 7}) == {}
    approve(fleet, "a", "bo", "al")
    assert where(fleet, {1: 7, 2: 7}) == {"al": [1, 2], "bo": [1, 2]}


def test_another_variant_cluster_or_application_is_not_covered() -> None:
    fleet = fleet_of()
    request(fleet, "a", {1: 7, 2: 8, 3: REMOVED})
    approve(fleet, "a", "bo")

    assert where(fleet, {1: 8, 2: 8, 3: 7, 4: 7}) == {"bo": [2]}
    assert where(fleet, {3: REMOVED, 1: REMOVED}) == {"bo": [3]}
    assert where(fleet, {1: 7}, "signage") == {}


def test_runs_cover_together_and_each_names_its_people() -> None:
    fleet = fleet_of()
    request(fleet, "a", {1: 7, 2: 7})
    approve(fleet, "a", "bo")
    request(fleet, "b", {3: 7})
    approve(fleet, "b", "al")

    assert where(fleet, {1: 7, 2: 7, 3: 7}) == {"al": [3], "bo": [1, 2]}


def test_what_was_approved_later_takes_the_place_of_what_was_approved_before_and_a_refusal_does_not() -> None:
    fleet = fleet_of()
    request(fleet, "a", {1: 7, 2: 7})
    approve(fleet, "a", "bo")
    request(fleet, "b", {1: 8})
    fleet.assume(ApprovalRefused("b", "d", "no", BY))

    assert where(fleet, {1: 7, 2: 7}) == {"bo": [1, 2]}
    request(fleet, "c", {1: 9})
    approve(fleet, "c", "al")
    assert where(fleet, {1: 7, 2: 7}) == {"bo": [2]}
    assert where(fleet, {1: 8}) == {}


def test_an_approval_of_another_kind_covers_no_change() -> None:
    fleet = fleet_of()
    request(fleet, "a", {1: 7}, kind="override")
    approve(fleet, "a", "bo")

    assert where(fleet, {1: 7}) == {}


def test_a_run_whose_variants_the_log_lost_covers_nothing() -> None:
    log = Log()
    fleet = fleet_of(log)
    many = dict.fromkeys(range(3), 1) | {each: each for each in range(3, _NAMED_MAX + 9)}
    request(fleet, "a", many, log=log)
    approve(fleet, "a", "bo")
    assert len(fleet.policy.approvals["a"].request.variant_blobs) == 1

    log.clear()
    assert where(fleet, many) == {}


def test_a_run_that_was_recorded_without_its_effect_covers_its_content_where_its_parts_reach_the_same() -> None:
    fleet = fleet_of()
    same, other = items_of(fleet, "pos"), {"release 1": "abd"}
    parts = {"release 1": packed(BitMap([2]))}
    for name, items in (("a", other), ("b", same)):
        run = ApprovalRequested(name, "change", "pos", "d", "s", STAGES, EXPIRES, clusters=packed(BitMap([1, 2])))
        fleet.assume(replace(run, items=items, parts=parts))
        approve(fleet, name, "bo")

    assert fleet.policy.approvals["a"].state == "superseded"
    assert where(fleet, {1: 7, 2: 7, 3: 7}) == {"bo": [1]}
    fleet.assume(ApprovalRequested("c", "change", "pos", "d", "s", STAGES, EXPIRES, items=other))
    assert where(fleet, {1: 7}) == {}


variants = st.dictionaries(st.integers(0, 200), st.integers(0, 3), min_size=1, max_size=40)
unique = st.sets(st.integers(0, 500), min_size=_NAMED_MAX + 1, max_size=120).map(
    lambda found: {each: each + 1 for each in found}
)


@given(st.one_of(variants, unique))
def test_for_every_effect_the_event_says_it_whole(said: dict[int, int]) -> None:
    whole, log = effect(said), Log()
    told = fixed(whole)
    log.update(told.blobs)
    run = with_effect(
        ApprovalRequested("a", "change", "pos", "d", "s", STAGES, EXPIRES, clusters=packed(whole.clusters)), said
    )
    read = effect_of(run, log.get)

    assert read is not None
    assert read.digest == whole.digest == told.digest
    assert read.clusters == whole.clusters
    assert (read.variants == whole.variants).all()
    assert sum(map(len, told.blobs.values())) in {0, VARIANT_BYTES * len(said)}


@given(variants, variants)
def test_for_every_two_effects_what_they_share_is_what_is_equal(one: dict[int, int], other: dict[int, int]) -> None:
    shared = {each for each in one.keys() & other.keys() if one[each] == other[each]}
    fleet = fleet_of()
    request(fleet, "a", one)

    assert set(effect(one).shared(effect(other))) == shared
    assert about(fleet, "pos", fleet.policy.approvals["a"], effect(other)) == (shared == set(other))
    assert (effect(one).digest == effect(other).digest) == (one == other)
