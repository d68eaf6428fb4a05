"""Removals settle, directories of deleted clusters stay for a grace, refused choices fall back: told, and replayed."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from pyroaring import BitMap

from libs.contracts import ApplicationDeclared, GraceEnded, GroupDeclared, PlacementPolicyDeclared, StoreRemoved
from services.rendering.asking.blocked import blocked
from services.rendering.asking.why import Why
from services.rendering.deciding.laying import end_grace, retired
from services.rendering.timing import Timing
from tests.support.described import described
from tests.support.renderer import MANIFEST, Renderer, application, choose, namespace, replay, store

SETTLE, GRACE = timedelta(seconds=15), timedelta(days=7)
KEY = "pos/pos-api"
SECOND = timedelta(seconds=1)


async def fleet_of(count: int, *, settle: timedelta = SETTLE, grace: timedelta = GRACE) -> Renderer:
    renderer = Renderer(timing=Timing(settle, grace, timedelta(0)))
    renderer.facts(*(store(f"s-{number:03}", size="s") for number in range(count)))
    renderer.facts(GroupDeclared("/geo/a", [f"s-{number:03}" for number in range(count)]), GroupDeclared("/geo/b"))
    renderer.facts(namespace("pos", "/g/geo/a or /g/geo/b"), application("pos-api", "pos"))
    renderer.facts(renderer.release("pos-api", "pos", "1.0.0"), choose("pos-api", ("/c/*", "1.0.0")))
    await renderer.settle()
    return renderer


def group(path: str, *names: str) -> GroupDeclared:
    return GroupDeclared(path, list(names))


def rest(renderer: Renderer, *without: int) -> list[str]:
    return [each for number, each in enumerate(sorted(renderer.model.fleet.stores)) if number not in without]


def why(renderer: Renderer, cluster: str) -> dict[str, Any]:
    ordinal = renderer.model.fleet.selection.ordinal_ever(cluster)
    assert ordinal is not None
    return Why(renderer.model, renderer.last.hold, ordinal, "pos-api", renderer.now).answer()


async def wait(renderer: Renderer, duration: timedelta) -> None:
    renderer.now += duration
    await renderer.settle()


async def check_replay(renderer: Renderer) -> None:
    """Settings of the process that decided are not needed to replay what it decided."""
    model, commits = await replay(renderer.history, renderer.blobs)
    assert commits == renderer.commits
    assert described(model) == described(renderer.model)


# --- removals settle -------------------------------------------------------------------------------------------------


async def test_a_removal_goes_once_it_has_been_wanted_for_a_while() -> None:
    renderer = await fleet_of(4)
    renderer.facts(group("/geo/a", *rest(renderer, 0)))
    await renderer.settle()
    assert renderer.version_on(KEY, "s-000") == "1.0.0"
    answer = why(renderer, "s-000")
    (gate,) = [each for each in answer["gates"] if not each["open"] and each["gate"] == "settled"]
    assert datetime.fromisoformat(gate["opens_at"]) > renderer.now
    assert f"its removal waits for gate settled until {gate['opens_at']}" in answer["summary"]
    (item,) = blocked(renderer.model, None, renderer.now, None, None)
    assert (item["gate"], item["count"]) == ("settled", 1)
    assert renderer.last.settling == 1
    assert renderer.last.until is not None

    renderer.now = renderer.last.until
    await renderer.settle()
    assert renderer.version_on(KEY, "s-000") is None
    await check_replay(renderer)


async def test_a_store_that_moves_from_one_group_to_another_loses_nothing() -> None:
    renderer = await fleet_of(4)
    commits = len(renderer.commits)
    renderer.facts(group("/geo/a", *rest(renderer, 1)))
    await renderer.settle()
    renderer.facts(group("/geo/b", "s-001"))
    await wait(renderer, 2 * SETTLE)
    assert renderer.version_on(KEY, "s-001") == "1.0.0"
    assert len(renderer.commits) == commits


async def test_a_break_begins_the_wait_anew() -> None:
    renderer = await fleet_of(4)
    for _ in range(3):
        renderer.facts(group("/geo/a", *rest(renderer, 2)))
        await wait(renderer, SETTLE - 3 * SECOND)
        assert renderer.version_on(KEY, "s-002") == "1.0.0"
        renderer.facts(group("/geo/a", *rest(renderer)))
        await renderer.settle()
    renderer.facts(group("/geo/a", *rest(renderer, 2)))
    await renderer.settle()
    await wait(renderer, SETTLE)
    assert renderer.version_on(KEY, "s-002") is None


async def test_what_settles_does_not_trip_the_fuse_until_it_has() -> None:
    renderer = await fleet_of(4)
    renderer.facts(group("/geo/a"))
    await renderer.settle()
    assert renderer.last.hold is None
    await wait(renderer, SETTLE)
    assert renderer.last.hold is not None
    assert renderer.last.hold.count == 4


async def test_immediate_law_removes_at_once() -> None:
    renderer = await fleet_of(4)
    law = PlacementPolicyDeclared("law", ["pos-api"], "/c/s-003", "Code 1", enforcement="immediate")
    renderer.facts(law)
    await renderer.settle()
    assert renderer.version_on(KEY, "s-003") is None


async def test_other_changes_do_not_wait_for_a_removal() -> None:
    renderer = await fleet_of(4)
    renderer.facts(renderer.release("pos-api", "pos", "2.0.0"), choose("pos-api", ("not /c/s-000", "2.0.0")))
    await renderer.settle()
    assert [renderer.version_on(KEY, f"s-00{number}") for number in range(4)] == ["1.0.0", "2.0.0", "2.0.0", "2.0.0"]


# --- deleted clusters ------------------------------------------------------------------------------------------------


async def test_the_directory_of_a_deleted_cluster_stays_empty_for_its_grace() -> None:
    renderer = await fleet_of(4)
    ordinal = renderer.model.fleet.selection.ordinal("s-001")
    assert ordinal is not None
    renderer.facts(StoreRemoved("s-001"))
    await wait(renderer, SETTLE)
    assert renderer.version_on(KEY, "s-001") is None
    assert ordinal in renderer.model.trees.registered
    (item,) = retired(renderer.model)
    assert (item["name"], item["placements"]) == ("s-001", 0)
    until = datetime.fromisoformat(item["until"])
    assert renderer.last.until == until

    await wait(renderer, until - renderer.now - SECOND)
    assert ordinal in renderer.model.trees.registered
    await wait(renderer, SECOND)
    assert ordinal not in renderer.model.trees.registered
    assert retired(renderer.model) == []
    await check_replay(renderer)


async def test_a_grace_is_counted_from_when_the_directory_was_emptied() -> None:
    """What closed gates kept on a deleted cluster for weeks must still be seen to go."""
    renderer = await fleet_of(2)
    renderer.facts(StoreRemoved("s-001"))
    await wait(renderer, SETTLE)
    assert renderer.last.hold is not None  # half of all placements
    await wait(renderer, 2 * GRACE)
    (item,) = retired(renderer.model)
    assert (item["placements"], item["until"]) == (1, None)


@pytest.mark.parametrize("emptied", [True, False])
async def test_a_grace_can_be_ended(emptied: bool) -> None:
    renderer = await fleet_of(4)
    ordinal = renderer.model.fleet.selection.ordinal("s-001")
    assert ordinal is not None
    renderer.facts(StoreRemoved("s-001"))
    if emptied:
        await wait(renderer, SETTLE)
    assert end_grace(renderer.model, "s-000", "it lives") is None
    for event in end_grace(renderer.model, "s-001", "it burned down") or ():
        renderer.record(event, "layout-main")
    assert end_grace(renderer.model, "s-001", "again") == []
    await wait(renderer, SETTLE)
    assert ordinal not in renderer.model.trees.registered
    await check_replay(renderer)


async def test_a_cluster_that_comes_back_and_goes_again_has_its_grace_again() -> None:
    renderer = await fleet_of(4)
    ordinal = renderer.model.fleet.selection.ordinal("s-001")
    assert ordinal is not None
    renderer.facts(StoreRemoved("s-001"))
    await wait(renderer, SETTLE)
    renderer.facts(store("s-001", size="s"))
    await renderer.settle()
    assert renderer.version_on(KEY, "s-001") == "1.0.0"
    renderer.facts(StoreRemoved("s-001"))
    renderer.record(GraceEnded("main", b"", "nobody's"), "layout-main")
    await wait(renderer, SETTLE)
    await wait(renderer, GRACE - timedelta(hours=1))
    assert ordinal in renderer.model.trees.registered
    await wait(renderer, timedelta(hours=1))
    assert ordinal not in renderer.model.trees.registered
    renderer.facts(store("s-001", size="s"))
    await renderer.settle()
    assert renderer.version_on(KEY, "s-001") == "1.0.0"
    await check_replay(renderer)


# --- fallback --------------------------------------------------------------------------------------------------------

NEEDS_GRILL = MANIFEST.replace("${edge.labels.size:-unknown}", "${edge.labels.grill}")


async def refused(renderer: Renderer, fallback: str | None) -> ApplicationDeclared:
    """The second release is refused on every cluster; the namespace leaves s-000 and comes back."""
    declared = replace(application("pos-api", "pos"), fallback=fallback)
    renderer.facts(declared, renderer.release("pos-api", "pos", "2.0.0", NEEDS_GRILL))
    renderer.facts(choose("pos-api", ("/c/*", "2.0.0")))
    await renderer.settle()
    renderer.facts(group("/geo/a", *rest(renderer, 0)))
    await wait(renderer, SETTLE)
    renderer.facts(group("/geo/b", "s-000"))
    await wait(renderer, SETTLE)
    return declared


async def test_a_refused_choice_falls_back_to_the_newest_one_that_renders() -> None:
    renderer = await fleet_of(4)
    await refused(renderer, "previous")
    assert renderer.version_on(KEY, "s-000") == "1.0.0"
    assert renderer.model.decision.given(KEY)
    answer = why(renderer, "s-000")
    assert "release 2.0.0 is refused" in answer["summary"]
    assert any("fallback" in gate["reason"] for gate in answer["gates"])
    await check_replay(renderer)

    renderer.facts(store("s-000", size="s", grill="Acme"))
    await wait(renderer, SETTLE)
    assert renderer.version_on(KEY, "s-000") == "2.0.0"
    assert 0 not in renderer.model.placements.by_key[KEY].fallbacks.get("1.0.0", BitMap())
    await check_replay(renderer)


async def test_without_a_fallback_nothing_runs_and_the_first_line_says_so() -> None:
    renderer = await fleet_of(4)
    declared = await refused(renderer, None)
    assert renderer.version_on(KEY, "s-000") is None
    summary = why(renderer, "s-000")["summary"]
    assert summary.startswith("Nothing runs here: release 2.0.0 is refused (unresolved-placeholder")
    assert "1.0.0 was chosen before" in summary
    assert "fallback: previous" in summary
    assert renderer.version_on(KEY, "s-001") == "1.0.0"

    renderer.facts(replace(declared, fallback="previous"))
    await wait(renderer, SETTLE)
    assert renderer.version_on(KEY, "s-000") == "1.0.0"
    renderer.restart()
    await renderer.settle()
    await check_replay(renderer)


async def test_a_fallback_follows_configuration_and_law_as_a_choice_does() -> None:
    renderer = await fleet_of(4)
    await refused(renderer, "previous")
    law = PlacementPolicyDeclared("law", ["pos-api"], "/c/s-000", "Code 1", enforcement="immediate")
    renderer.facts(law)
    await renderer.settle()
    assert renderer.version_on(KEY, "s-000") is None
    assert renderer.version_on(KEY, "s-001") == "1.0.0"
    await check_replay(renderer)
