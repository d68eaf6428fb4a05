"""An approval lets through what it is of: one content, on its clusters."""

from __future__ import annotations

from datetime import timedelta

from pyroaring import BitMap

from libs.contracts import ApprovalCompleted, ApprovalRefused, ApprovalRequested, SignOffStage
from libs.fleet import Fleet, content_digest, packed
from libs.gates import covered
from tests.libs.gates.gates_words import BY, at

EXPIRES = at("2026-11-27T00:00") + timedelta(days=1)
ITEMS = {"release 1": "abc"}


def requested(name: str, clusters: list[int], *, items: dict[str, str] | None = None, kind: str = "change") -> Fleet:
    fleet = Fleet()
    request(fleet, name, clusters, items=items, kind=kind)
    return fleet


def request(
    fleet: Fleet, name: str, clusters: list[int], *, items: dict[str, str] | None = None, kind: str = "change"
) -> None:
    stages = [SignOffStage(["operations"])]
    found = packed(BitMap(clusters))
    content = items or ITEMS
    fleet.assume(ApprovalRequested(name, kind, "pos", "d", "s", stages, EXPIRES, clusters=found, items=content))


def test_nothing_is_covered_before_the_last_stage() -> None:
    fleet = requested("a", [1, 2])

    assert covered(fleet.policy, "pos", content_digest(ITEMS)) == (BitMap(), [])
    fleet.assume(ApprovalCompleted("a", "d", ["bo", "al"]))
    assert covered(fleet.policy, "pos", content_digest(ITEMS)) == (BitMap([1, 2]), ["al", "bo"])


def test_another_content_or_application_is_not_covered() -> None:
    fleet = requested("a", [1, 2])
    fleet.assume(ApprovalCompleted("a", "d", ["bo"]))

    assert covered(fleet.policy, "pos", content_digest({"release 1": "abd"})) == (BitMap(), [])
    assert covered(fleet.policy, "signage", content_digest(ITEMS)) == (BitMap(), [])


def test_approvals_of_one_content_cover_together() -> None:
    fleet = requested("a", [1, 2])
    fleet.assume(ApprovalCompleted("a", "d", ["bo"]))
    request(fleet, "b", [3])
    fleet.assume(ApprovalCompleted("b", "d", ["al", "bo"]))

    assert covered(fleet.policy, "pos", content_digest(ITEMS)) == (BitMap([1, 2, 3]), ["al", "bo"])


def test_what_was_superseded_or_refused_covers_nothing() -> None:
    fleet = requested("a", [1, 2])
    fleet.assume(ApprovalCompleted("a", "d", ["bo"]))
    request(fleet, "b", [1, 2], items={"release 2": "x"})
    fleet.assume(ApprovalRefused("b", "d", "no", BY))

    assert covered(fleet.policy, "pos", content_digest(ITEMS)) == (BitMap(), [])
    assert covered(fleet.policy, "pos", content_digest({"release 2": "x"})) == (BitMap(), [])


def test_an_approval_of_another_kind_covers_no_change() -> None:
    fleet = requested("a", [1], kind="override")
    fleet.assume(ApprovalCompleted("a", "d", ["bo"]))

    assert covered(fleet.policy, "pos", content_digest(ITEMS)) == (BitMap(), [])
