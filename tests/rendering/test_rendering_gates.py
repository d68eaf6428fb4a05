"""Law, approval, freezes and windows between target and admitted: what passes, what waits, and why."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pyroaring import BitMap

from libs.contracts import (
    ApprovalCompleted,
    ApprovalRefused,
    ApprovalRequested,
    By,
    CalendarDeclared,
    CalendarWindow,
    ConfigurationDeclared,
    FreezeDeclared,
    LooseningConfirmed,
    LooseningWithheld,
    OverrideRequested,
    OverrideRevoked,
    OverrideStarted,
    PlacementPolicyDeclared,
    RemovalsConfirmed,
    SignOffDeclared,
    SignOffStage,
    StoreRemoved,
    WeeklyWindow,
)
from libs.fleet import packed
from services.rendering.blocked import blocked
from services.rendering.message import trailers
from services.rendering.why import GATES, Why
from tests.support.renderer import Renderer, application, choose, namespace, store

KEY = "pos/pos-api"
FREEZE = FreezeDeclared(
    "black-friday", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "/c/*", "Black Friday", "operations"
)
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


async def fleet_of(count: int) -> Renderer:
    renderer = Renderer()
    renderer.facts(*(store(f"store-{number:03}", size="small") for number in range(count)))
    renderer.facts(namespace("pos"), application("pos-api", "pos"), renderer.release("pos-api", "pos", "1.0.0"))
    renderer.facts(renderer.release("pos-api", "pos", "2.0.0"), choose("pos-api", ("/c/*", "1.0.0")))
    await renderer.settle()
    return renderer


def nightly(name: str, opens: str, closes: str, **more: object) -> CalendarDeclared:
    window = CalendarWindow(weekly=WeeklyWindow(DAYS, opens, closes))
    return CalendarDeclared(name, [window], clusters="/c/*", **more)  # type: ignore[arg-type]


def ordinals_of(renderer: Renderer, *names: str) -> bytes:
    found = [renderer.model.fleet.selection.ordinal_ever(name) for name in names]
    return packed(BitMap([each for each in found if each is not None]))


async def at(renderer: Renderer, instant: datetime) -> None:
    """Move the clock, never back, and settle."""
    renderer.now = max(renderer.now, instant)
    await renderer.settle()


def why(renderer: Renderer, cluster: str) -> dict[str, Any]:
    ordinal = renderer.model.fleet.selection.ordinal_ever(cluster)
    assert ordinal is not None
    answer = Why(renderer.model, renderer.last.hold, ordinal, "pos-api", renderer.now).answer()
    assert [gate["gate"] for gate in answer["gates"]] == list(GATES)
    return answer


async def test_a_freeze_keeps_everything_back_until_it_ends() -> None:
    renderer = await fleet_of(2)
    renderer.facts(FREEZE, choose("pos-api", ("/c/*", "2.0.0")))
    await renderer.settle()
    assert renderer.version_on(KEY, "store-000") == "1.0.0"
    assert renderer.last.until == datetime(2026, 1, 2, tzinfo=UTC)
    assert why(renderer, "store-000")["closed"] == "freeze"

    await at(renderer, datetime(2026, 1, 1, 23, 59, 59, 999_999, UTC))
    assert renderer.version_on(KEY, "store-000") == "1.0.0"

    await at(renderer, datetime(2026, 1, 2, tzinfo=UTC))
    assert renderer.version_on(KEY, "store-000") == "2.0.0"


async def test_removals_and_deleted_stores_wait_as_everything_else() -> None:
    renderer = await fleet_of(200)
    renderer.facts(FREEZE, StoreRemoved("store-000"), choose("pos-api", ("not /c/store-001", "1.0.0")))
    commits = len(renderer.commits)
    await renderer.settle()

    assert renderer.version_on(KEY, "store-000") == "1.0.0"
    assert renderer.version_on(KEY, "store-001") == "1.0.0"
    assert len(renderer.commits) == commits

    await at(renderer, datetime(2026, 1, 2, tzinfo=UTC))
    assert renderer.version_on(KEY, "store-000") is None
    assert renderer.version_on(KEY, "store-001") is None


async def test_a_deleted_store_stays_bound_by_what_selected_it_last() -> None:
    renderer = await fleet_of(3)
    renderer.facts(replace(FREEZE, clusters="size = small"), StoreRemoved("store-000"))
    await renderer.settle()
    assert renderer.version_on(KEY, "store-000") == "1.0.0"

    renderer.restart()
    await renderer.settle()
    assert renderer.version_on(KEY, "store-000") == "1.0.0"


@pytest.mark.parametrize(("new_clusters", "version"), [("pass", "1.0.0"), ("hold", None)])
async def test_a_new_cluster_opens_in_a_freeze_unless_the_freeze_holds_it(new_clusters: str, version: str) -> None:
    renderer = await fleet_of(1)
    renderer.facts(replace(FREEZE, new_clusters=new_clusters), nightly("night", "01:00", "02:00"), store("store-new"))
    await renderer.settle()

    assert renderer.version_on(KEY, "store-new") == version
    ordinal = renderer.model.fleet.selection.ordinal_ever("store-new")
    assert ordinal is not None
    assert (ordinal in renderer.model.trees.registered) == (new_clusters == "pass")


async def test_a_window_admits_while_it_is_open() -> None:
    renderer = await fleet_of(1)
    renderer.facts(nightly("night", "01:00", "05:00"), choose("pos-api", ("/c/*", "2.0.0")))
    await at(renderer, datetime(2026, 1, 1, 6, 59, 59, tzinfo=UTC))  # 00:59:59 in Chicago
    assert renderer.version_on(KEY, "store-000") == "1.0.0"
    answer = why(renderer, "store-000")
    gate = next(each for each in answer["gates"] if each["gate"] == "window")
    assert gate["opens_at"] == "2026-01-01T07:00:00+00:00"

    await at(renderer, datetime(2026, 1, 1, 7, tzinfo=UTC))
    assert renderer.version_on(KEY, "store-000") == "2.0.0"


async def test_namespace_labels_wait_too() -> None:
    renderer = await fleet_of(1)
    renderer.facts(FREEZE, namespace("pos", team="pos"))
    commits = len(renderer.commits)
    await renderer.settle()
    assert len(renderer.commits) == commits

    await at(renderer, datetime(2026, 1, 2, tzinfo=UTC))
    assert len(renderer.commits) == commits + 1


async def test_law_takes_away_and_immediate_law_passes_freezes() -> None:
    renderer = await fleet_of(10)
    law = PlacementPolicyDeclared("no-pos", ["pos-api"], "/c/store-000", "Code 1")
    renderer.facts(FREEZE, law)
    await renderer.settle()
    assert renderer.version_on(KEY, "store-000") == "1.0.0"
    assert why(renderer, "store-000")["closed"] == "law"

    renderer.facts(replace(law, enforcement="immediate"))
    await renderer.settle()
    assert renderer.version_on(KEY, "store-000") is None
    assert renderer.version_on(KEY, "store-001") == "1.0.0"


async def test_law_holds_from_its_first_instant_and_no_longer_than_its_last() -> None:
    renderer = await fleet_of(10)
    begins, ends = datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)
    renderer.facts(PlacementPolicyDeclared("no-pos", ["pos-api"], "/c/store-000", "Code 1", begins, ends))
    await at(renderer, begins - timedelta(microseconds=1))
    assert renderer.version_on(KEY, "store-000") == "1.0.0"

    await at(renderer, begins)
    assert renderer.version_on(KEY, "store-000") is None

    await at(renderer, ends - timedelta(microseconds=1))
    assert renderer.version_on(KEY, "store-000") is None
    await at(renderer, ends)
    assert renderer.version_on(KEY, "store-000") == "1.0.0"


async def test_massive_law_is_held_by_the_fuse_though_it_is_immediate() -> None:
    renderer = await fleet_of(10)
    renderer.facts(PlacementPolicyDeclared("no-pos", ["pos-api"], "/c/*", "Code 1", enforcement="immediate"))
    await renderer.settle()

    assert renderer.last.hold is not None
    assert renderer.version_on(KEY, "store-000") == "1.0.0"


async def test_an_override_opens_its_freeze_for_its_clusters_and_its_time_and_is_recorded() -> None:
    renderer = await fleet_of(2)
    renderer.facts(FREEZE, choose("pos-api", ("/c/*", "2.0.0")))
    await renderer.settle()
    asked = OverrideRequested(
        "o1", "digest", ordinals_of(renderer, "store-000"), "/c/store-000", 60, "till broke", By("rita"),
        freeze="black-friday",
    )  # fmt: skip
    renderer.facts(asked)
    await renderer.settle()
    assert renderer.version_on(KEY, "store-000") == "1.0.0"

    renderer.facts(OverrideStarted("o1", renderer.now, renderer.now + timedelta(hours=1), ["ana"]))
    await renderer.settle()
    assert renderer.version_on(KEY, "store-000") == "2.0.0"
    assert renderer.version_on(KEY, "store-001") == "1.0.0"
    assert renderer.model.fleet.policy.overrides["o1"].uses == 1
    decision = renderer.model.decision.first
    assert decision.overrides == ["o1"]
    assert ("Override", "o1") in [(each.key, each.value) for each in trailers(decision, "e")]


async def test_an_override_that_ended_or_was_revoked_opens_nothing() -> None:
    renderer = await fleet_of(1)
    asked = OverrideRequested(
        "o1", "d", ordinals_of(renderer, "store-000"), "/c/store-000", 60, "r", By("rita"), freeze="black-friday"
    )
    began = renderer.now
    renderer.facts(FREEZE, asked, OverrideStarted("o1", began, began + timedelta(minutes=10), ["ana"]))
    await at(renderer, began + timedelta(minutes=10))
    renderer.facts(choose("pos-api", ("/c/*", "2.0.0")))
    await renderer.settle()
    assert renderer.version_on(KEY, "store-000") == "1.0.0"

    renderer.facts(replace(asked, id="o2"), OverrideStarted("o2", renderer.now, renderer.now + timedelta(hours=1), []))
    renderer.facts(OverrideRevoked("o2", "not needed", By("ana")))
    await renderer.settle()
    assert renderer.version_on(KEY, "store-000") == "1.0.0"


SIGNOFF = SignOffDeclared("two-eyes", [SignOffStage(["release-manager"], 1)], 24)


async def signed_off() -> Renderer:
    renderer = await fleet_of(3)
    renderer.facts(SIGNOFF, replace(namespace("pos"), signoff="two-eyes"))
    await renderer.settle()
    return renderer


def requests_of(renderer: Renderer) -> list[ApprovalRequested]:
    return [each.event for each in renderer.history if isinstance(each.event, ApprovalRequested)]


async def test_a_change_of_content_waits_for_its_approval() -> None:
    renderer = await signed_off()
    renderer.record(choose("pos-api", ("/c/*", "2.0.0")), actor="rita")
    await renderer.settle()
    assert renderer.version_on(KEY, "store-000") == "1.0.0"
    assert why(renderer, "store-000")["closed"] == "approval"
    (asked,) = requests_of(renderer)
    assert (asked.kind, asked.subject, asked.requesters) == (
        "change",
        "pos-api",
        ["ana", "rita"],
    ) or asked.requesters == ["rita"]

    renderer.facts(ApprovalCompleted(asked.id, asked.digest, ["omar"]))
    await renderer.settle()
    assert renderer.version_on(KEY, "store-000") == "2.0.0"
    assert renderer.model.decision.first.approved_by == ["omar"]
    assert len(requests_of(renderer)) == 1


async def test_one_byte_more_voids_what_was_given() -> None:
    renderer = await signed_off()
    renderer.facts(choose("pos-api", ("/c/*", "2.0.0")))
    await renderer.settle()
    (asked,) = requests_of(renderer)
    renderer.facts(ApprovalCompleted(asked.id, asked.digest, ["omar"]))
    renderer.facts(ConfigurationDeclared("loud", "/c/store-000", ["pos-api"], values={"level": "loud"}))
    await renderer.settle()

    assert renderer.version_on(KEY, "store-000") == "1.0.0"
    assert len(requests_of(renderer)) == 2


async def test_relabelling_adds_nobody_to_what_was_approved() -> None:
    renderer = await signed_off()
    renderer.facts(
        choose(
            "pos-api",
            ("size = small", "2.0.0"),
        ),
        store("store-002", size="large"),
    )
    await renderer.settle()
    (first, *_) = requests_of(renderer)
    renderer.facts(*(ApprovalCompleted(each.id, each.digest, ["omar"]) for each in requests_of(renderer)))
    renderer.facts(store("store-009", size="small"))
    await renderer.settle()

    assert renderer.version_on(KEY, "store-000") == "2.0.0"
    assert renderer.version_on(KEY, "store-009") is None
    assert requests_of(renderer)[-1].digest != first.digest


async def test_a_refused_change_is_not_asked_about_again_until_it_is_another() -> None:
    renderer = await signed_off()
    renderer.facts(choose("pos-api", ("/c/*", "2.0.0")))
    await renderer.settle()
    (asked,) = requests_of(renderer)
    renderer.facts(ApprovalRefused(asked.id, asked.digest, "not tested", By("omar")))
    await renderer.settle()
    assert len(requests_of(renderer)) == 1
    assert renderer.version_on(KEY, "store-000") == "1.0.0"


async def test_an_approval_that_ran_out_of_time_is_asked_for_again() -> None:
    renderer = await signed_off()
    renderer.facts(choose("pos-api", ("/c/*", "2.0.0")))
    await renderer.settle()
    await at(renderer, renderer.now + timedelta(hours=25))
    assert len(requests_of(renderer)) == 2


async def test_a_held_plan_of_a_signed_off_application_goes_when_it_is_approved() -> None:
    renderer = await signed_off()
    renderer.facts(application("pos-api", "pos", "/c/store-000"))
    await renderer.settle()
    assert renderer.last.hold is not None
    (asked,) = requests_of(renderer)
    assert (asked.kind, asked.subject) == ("hold", renderer.last.hold.plan)

    renderer.facts(ApprovalCompleted(asked.id, asked.digest, ["omar"]))
    await renderer.settle()
    assert renderer.version_on(KEY, "store-001") is None
    assert renderer.version_on(KEY, "store-000") == "1.0.0"


async def test_a_confirmed_plan_waits_for_its_windows_and_is_not_asked_about_again() -> None:
    renderer = await fleet_of(4)
    renderer.facts(store("store-003", zone="Asia/Tokyo", size="small"))
    await renderer.settle()
    renderer.facts(nightly("night", "01:00", "02:00"), application("pos-api", "pos", "none"))
    await at(renderer, datetime(2026, 1, 1, 12, tzinfo=UTC))
    hold = renderer.last.hold
    assert hold is not None
    renderer.record(RemovalsConfirmed("main", hold.plan, "closing"), "hold-main")
    await at(renderer, datetime(2026, 1, 1, 16, tzinfo=UTC))  # 01:00 in Tokyo
    assert renderer.version_on(KEY, "store-003") is None
    assert renderer.version_on(KEY, "store-000") == "1.0.0"

    renderer.restart()
    await at(renderer, datetime(2026, 1, 2, 7, tzinfo=UTC))
    assert renderer.version_on(KEY, "store-000") is None
    assert renderer.last.hold is None


async def test_what_is_withheld_keeps_the_stricter_of_old_and_new_until_it_is_confirmed() -> None:
    renderer = await fleet_of(2)
    renderer.facts(replace(FREEZE, clusters="size = small"), choose("pos-api", ("/c/*", "2.0.0")))
    withheld = LooseningWithheld("w1", ordinals_of(renderer, "store-000"), ["store-store-000"], "labels")
    renderer.facts(withheld, store("store-000", size="large"))
    await renderer.settle()
    renderer.restart()
    await renderer.settle()
    assert renderer.version_on(KEY, "store-000") == "1.0.0"

    renderer.facts(LooseningConfirmed("w1", "right", By("omar")))
    await renderer.settle()
    assert renderer.version_on(KEY, "store-000") == "2.0.0"


async def test_why_names_the_withheld_change_for_which_a_law_still_forbids() -> None:
    renderer = await fleet_of(2)
    renderer.facts(PlacementPolicyDeclared("no-pos", ["pos-api"], "size = small", "Code 1"))
    renderer.facts(LooseningWithheld("w1", ordinals_of(renderer, "store-000"), ["store-store-000"], "labels"))
    renderer.facts(store("store-000", size="large"))
    await renderer.settle()

    gates = {
        cluster: next(each for each in why(renderer, cluster)["gates"] if each["gate"] == "law")
        for cluster in ("store-000", "store-001")
    }
    assert gates["store-000"]["reason"] == "no-pos forbids it here (Code 1) (as it was before withheld change w1)"
    assert [each["what"] for each in gates["store-000"]["evidence"]] == [
        "placement policy no-pos",
        "withheld change w1",
    ]
    assert gates["store-001"]["reason"] == "no-pos forbids it here (Code 1)"
    assert [each["what"] for each in gates["store-001"]["evidence"]] == ["placement policy no-pos"]


async def test_blocked_lists_what_waits_with_counts() -> None:
    renderer = await fleet_of(3)
    renderer.facts(replace(FREEZE, clusters="/c/store-000"), nightly("night", "01:00", "02:00"))
    renderer.facts(choose("pos-api", ("/c/*", "2.0.0")))
    await renderer.settle()

    found = blocked(renderer.model, renderer.last.hold, renderer.now, None, None)
    counts = {(each["gate"], each["by"]): each["count"] for each in found}
    assert counts == {("freeze", "freeze black-friday"): 1, ("window", "calendar night"): 3}
    assert all(each["until"] for each in found)


async def test_an_approved_change_cannot_be_steered_by_a_label_afterwards() -> None:
    renderer = await signed_off()
    renderer.facts(store("store-002", size="canary"))
    renderer.facts(choose("pos-api", ("/c/*", "1.0.0"), ("size = canary", "2.0.0")))
    await renderer.settle()
    renderer.facts(*(ApprovalCompleted(each.id, each.digest, ["omar"]) for each in requests_of(renderer)))
    await renderer.settle()
    assert renderer.version_on(KEY, "store-002") == "2.0.0"
    before = len(requests_of(renderer))

    renderer.facts(store("store-002", size="small"), store("store-001", size="canary"))
    await renderer.settle()
    assert (renderer.version_on(KEY, "store-001"), renderer.version_on(KEY, "store-002")) == ("1.0.0", "2.0.0")
    assert len(requests_of(renderer)) == before + 1

    last = requests_of(renderer)[-1]
    renderer.facts(ApprovalCompleted(last.id, last.digest, ["omar"]))
    await renderer.settle()
    assert (renderer.version_on(KEY, "store-001"), renderer.version_on(KEY, "store-002")) == ("2.0.0", "1.0.0")
