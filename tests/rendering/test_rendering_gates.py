"""Law, approval, freezes and windows between target and admitted: what passes, what waits, and why."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from libs.contracts import (
    By,
    LooseningConfirmed,
    LooseningWithheld,
    OverrideRequested,
    OverrideRevoked,
    OverrideStarted,
    PlacementPolicyDeclared,
    RemovalsConfirmed,
    StoreRemoved,
)
from services.rendering.asking.blocked import blocked
from services.rendering.writing.message import trailers
from tests.rendering.rendering_gated import FREEZE, KEY, at, fleet_of, nightly, ordinals_of, why
from tests.support.renderer import application, choose, namespace, store


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


async def test_why_sums_up_what_is_waited_for_one_after_the_other() -> None:
    renderer = await fleet_of(1)
    frozen = replace(FREEZE, name="fb", begins="2026-01-01T00:00:00Z", ends="2026-01-03T18:00:00Z")
    renderer.facts(nightly("night", "01:00", "05:00"), frozen, choose("pos-api", ("/c/*", "2.0.0")))
    await renderer.settle()
    answer = why(renderer, "store-000")

    assert answer["earliest"] == "2026-01-04T07:00:00+00:00"
    assert answer["earliest_reason"] == (
        "earliest Sun 2026-01-04 01:00 America/Chicago: freeze fb until Sat 2026-01-03 12:00 America/Chicago,"
        " then window night"
    )
    await at(renderer, datetime(2026, 1, 4, 6, 59, 59, tzinfo=UTC))
    assert renderer.version_on(KEY, "store-000") == "1.0.0"
    await at(renderer, datetime(2026, 1, 4, 7, tzinfo=UTC))
    assert renderer.version_on(KEY, "store-000") == "2.0.0"
    assert "earliest" not in why(renderer, "store-000")


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
