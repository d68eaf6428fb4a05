"""Given facts, when rendering steps, then clusters get what the facts ask for, or a refusal, or a hold."""

from __future__ import annotations

from datetime import timedelta

import pytest

from libs.contracts import (
    ApplicationRemoved,
    ConfigurationDeclared,
    NamespaceRemoved,
    RemovalsConfirmed,
    StoreRemoved,
    WritingRestored,
)
from libs.fleet.fuse import fuse_trips
from tests.support.renderer import MANIFEST, Renderer, application, choose, namespace, replay, store

KEY = "pos/pos-api"


async def fleet_of(count: int, **labels: str) -> Renderer:
    """A fleet on which release 1.0.0 of pos-api is admitted everywhere."""
    renderer = Renderer()
    renderer.facts(*(store(f"store-{number:03d}", **labels) for number in range(count)))
    renderer.facts(namespace("pos"), application("pos-api", "pos"), renderer.release("pos-api", "pos", "1.0.0"))
    renderer.facts(choose("pos-api", ("/c/*", "1.0.0")))
    await renderer.settle()
    return renderer


async def test_a_chosen_release_is_admitted_on_every_cluster_that_it_selects() -> None:
    renderer = await fleet_of(3)

    assert [renderer.version_on(KEY, f"store-00{number}") for number in range(3)] == ["1.0.0"] * 3
    assert len(renderer.commits) == 1


async def test_nothing_is_committed_when_no_byte_changes() -> None:
    renderer = await fleet_of(2)
    before = list(renderer.commits)

    renderer.facts(store("store-000", grill="Acme3000"))
    await renderer.settle()

    assert renderer.commits == before


async def test_the_last_choice_that_selects_a_cluster_wins() -> None:
    renderer = await fleet_of(3)
    renderer.facts(renderer.release("pos-api", "pos", "2.0.0", MANIFEST + "  new: yes\n"))

    renderer.facts(choose("pos-api", ("/c/*", "1.0.0"), ("/c/store-001", "2.0.0")))
    await renderer.settle()

    assert [renderer.version_on(KEY, f"store-00{number}") for number in range(3)] == ["1.0.0", "2.0.0", "1.0.0"]


async def test_a_placeholder_without_a_value_refuses_only_those_clusters_and_removes_nothing() -> None:
    renderer = await fleet_of(2)
    needs = MANIFEST + "  grill: ${edge.labels.grill}\n"
    renderer.facts(store("store-001", grill="Acme3000"), renderer.release("pos-api", "pos", "2.0.0", needs))

    renderer.facts(choose("pos-api", ("/c/*", "2.0.0")))
    await renderer.settle()

    assert renderer.refusals() == {(KEY, "unresolved-placeholder"): ["store-000"]}
    assert renderer.version_on(KEY, "store-000") == "1.0.0"
    assert renderer.version_on(KEY, "store-001") == "2.0.0"


async def test_a_refusal_ends_when_the_fact_that_was_missing_comes() -> None:
    renderer = await fleet_of(1)
    renderer.facts(renderer.release("pos-api", "pos", "2.0.0", MANIFEST + "  grill: ${edge.labels.grill}\n"))
    renderer.facts(choose("pos-api", ("/c/*", "2.0.0")))
    await renderer.settle()

    renderer.facts(store("store-000", grill="Acme3001"))
    await renderer.settle()

    assert renderer.refusals() == {}
    assert renderer.version_on(KEY, "store-000") == "2.0.0"


async def test_layers_of_equal_rank_that_disagree_refuse_the_application_where_they_meet() -> None:
    renderer = await fleet_of(2)

    renderer.facts(
        ConfigurationDeclared("one", "/c/*", values={"level": "debug"}),
        ConfigurationDeclared("two", "/c/store-001", values={"level": "warn"}),
    )
    await renderer.settle()

    assert renderer.refusals() == {(KEY, "configuration-conflict"): ["store-001"]}


async def test_values_that_a_release_forbids_are_refused() -> None:
    renderer = await fleet_of(2)
    schema = '{"type": "object", "properties": {"level": {"enum": ["info", "warn"]}}}'
    renderer.facts(renderer.release("pos-api", "pos", "2.0.0", schema=schema), choose("pos-api", ("/c/*", "2.0.0")))

    renderer.facts(ConfigurationDeclared("loud", "/c/store-000", values={"level": "shout"}))
    await renderer.settle()

    assert list(renderer.refusals()) == [(KEY, "values-invalid")]
    assert renderer.version_on(KEY, "store-001") == "2.0.0"


async def test_when_capacity_shrinks_what_is_admitted_keeps_its_place_and_newcomers_are_refused() -> None:
    renderer = Renderer()
    renderer.facts(store("store-000", cpu="2"), namespace("zeta", cpu="1"), application("old", "zeta"))
    renderer.facts(renderer.release("old", "zeta", "1.0.0"), choose("old", ("/c/*", "1.0.0")))
    await renderer.settle()
    renderer.facts(namespace("alpha", cpu="1"), application("new", "alpha"), renderer.release("new", "alpha", "1.0.0"))

    renderer.facts(store("store-000", cpu="1"), choose("new", ("/c/*", "1.0.0")))
    await renderer.settle()

    assert renderer.refusals() == {("alpha/new", "capacity-exceeded"): ["store-000"]}
    assert renderer.version_on("zeta/old", "store-000") == "1.0.0"

    renderer.facts(store("store-000", cpu="2"))
    await renderer.settle()

    assert renderer.refusals() == {}
    assert renderer.version_on("alpha/new", "store-000") == "1.0.0"


async def test_of_two_newcomers_that_do_not_both_fit_the_first_by_name_does() -> None:
    renderer = Renderer()
    renderer.facts(store("store-000", cpu="1"), namespace("beta", cpu="1"), namespace("alpha", cpu="1"))
    for home in ("beta", "alpha"):
        renderer.facts(application(f"in-{home}", home), renderer.release(f"in-{home}", home, "1.0.0"))
        renderer.facts(choose(f"in-{home}", ("/c/*", "1.0.0")))
    await renderer.settle()

    assert renderer.refusals() == {("beta/in-beta", "capacity-exceeded"): ["store-000"]}


async def test_an_object_that_another_application_holds_is_refused_to_the_newcomer() -> None:
    renderer = await fleet_of(2)
    same = MANIFEST.replace("NAME", "pos-api")
    renderer.facts(application("rival", "pos"), renderer.release("rival", "pos", "1.0.0", same))

    renderer.facts(choose("rival", ("/c/store-001", "1.0.0")))
    await renderer.settle()

    assert renderer.refusals() == {("pos/rival", "object-conflict"): ["store-001"]}
    assert renderer.version_on(KEY, "store-001") == "1.0.0"


async def test_two_newcomers_that_hold_the_same_object_are_both_refused() -> None:
    renderer = Renderer()
    same = MANIFEST.replace("NAME", "shared")
    renderer.facts(store("store-000"), namespace("pos"))
    for name in ("one", "two"):
        renderer.facts(application(name, "pos"), renderer.release(name, "pos", "1.0.0", same))
        renderer.facts(choose(name, ("/c/*", "1.0.0")))
    await renderer.settle()

    assert sorted(renderer.refusals()) == [("pos/one", "object-conflict"), ("pos/two", "object-conflict")]


async def test_massive_removals_are_held_while_everything_else_goes_on() -> None:
    renderer = await fleet_of(200)
    renderer.facts(application("pos-api", "pos", "/c/store-000"), store("store-000", size="xl"), store("new-store"))

    await renderer.settle()

    assert renderer.last.hold is not None
    assert renderer.last.hold.count == 199
    assert renderer.version_on(KEY, "store-199") == "1.0.0"
    assert "new-store" in {renderer.model.fleet.selection.name(each) for each in renderer.model.trees.registered}


async def test_a_confirmed_plan_goes_ahead() -> None:
    renderer = await fleet_of(200)
    renderer.facts(application("pos-api", "pos", "/c/store-000"))
    await renderer.settle()
    assert renderer.last.hold is not None

    renderer.record(RemovalsConfirmed("main", renderer.last.hold.plan, "meant"), "hold-main")
    await renderer.settle()

    assert renderer.last.hold is None
    assert renderer.version_on(KEY, "store-199") is None
    assert renderer.version_on(KEY, "store-000") == "1.0.0"


async def test_a_plan_that_grew_has_another_id_and_its_old_confirmation_is_void() -> None:
    renderer = await fleet_of(200)
    renderer.facts(application("pos-api", "pos", "/c/store-000 or /c/store-001"))
    await renderer.settle()
    first = renderer.last.hold
    assert first is not None

    renderer.facts(application("pos-api", "pos", "/c/store-000"))
    renderer.record(RemovalsConfirmed("main", first.plan, "too late"), "hold-main")
    await renderer.settle()

    assert renderer.last.hold is not None
    assert renderer.last.hold.plan != first.plan
    assert renderer.version_on(KEY, "store-150") == "1.0.0"


async def test_many_small_removals_within_an_hour_trip_the_fuse() -> None:
    renderer = await fleet_of(400)
    gone = 0
    while renderer.last.hold is None and gone < 120:
        names = range(gone, gone + 20)
        renderer.facts(*(StoreRemoved(f"store-{number:03d}") for number in names))
        await renderer.settle()
        gone += 20

    assert renderer.last.hold is not None
    assert gone == 60
    renderer.now += timedelta(minutes=61)
    await renderer.settle()
    assert renderer.last.hold is None


async def test_deleting_a_few_clusters_removes_their_directories() -> None:
    renderer = await fleet_of(200)

    renderer.facts(StoreRemoved("store-007"))
    await renderer.settle()

    assert renderer.last.hold is None
    assert renderer.version_on(KEY, "store-007") is None
    assert len(renderer.model.trees.registered) == 199


async def test_a_cluster_that_comes_back_gets_everything_again() -> None:
    renderer = await fleet_of(200)
    before = renderer.model.clusters_tree
    renderer.facts(StoreRemoved("store-007"))
    await renderer.settle()

    renderer.facts(store("store-007"))
    await renderer.settle()

    assert renderer.model.clusters_tree == before


async def test_an_application_that_moves_to_another_namespace_is_another_place() -> None:
    renderer = await fleet_of(2)
    renderer.facts(ApplicationRemoved("pos-api"), choose("pos-api"), namespace("other"))
    renderer.facts(application("pos-api", "other"), renderer.release("pos-api", "other", "2.0.0"))
    renderer.facts(choose("pos-api", ("/c/*", "2.0.0")))
    await renderer.settle()

    assert renderer.last.hold is not None
    renderer.record(RemovalsConfirmed("main", renderer.last.hold.plan), "hold-main")
    await renderer.settle()

    assert renderer.version_on("other/pos-api", "store-000") == "2.0.0"
    assert renderer.version_on(KEY, "store-000") is None


async def test_a_namespace_that_loses_its_last_application_disappears_from_the_tree() -> None:
    renderer = await fleet_of(1)
    empty = Renderer()
    empty.facts(store("store-000"))
    await empty.settle()

    renderer.facts(choose("pos-api"), ApplicationRemoved("pos-api"), NamespaceRemoved("pos"))
    await renderer.settle()
    assert renderer.last.hold is not None
    renderer.record(RemovalsConfirmed("main", renderer.last.hold.plan), "hold-main")
    await renderer.settle()

    assert renderer.model.clusters_tree == empty.model.clusters_tree


async def test_labels_of_a_namespace_reach_its_file_without_any_release_changing() -> None:
    renderer = await fleet_of(2)
    before = renderer.model.clusters_tree

    renderer.facts(namespace("pos", team="till"))
    await renderer.settle()

    assert renderer.model.clusters_tree != before
    assert renderer.last.empty


async def test_restoring_commits_what_is_admitted_on_top_of_what_was_found() -> None:
    renderer = await fleet_of(1)
    tree = renderer.model.clusters_tree

    renderer.record(WritingRestored("main", "f" * 40, "somebody wrote"), "branch-main")
    await renderer.settle()

    assert len(renderer.commits) == 2
    assert renderer.model.clusters_tree == tree
    _, commits = await replay(renderer.history, renderer.blobs)
    assert commits == renderer.commits


@pytest.mark.parametrize(
    ("count", "recent", "admitted", "trips"),
    [
        (0, 500, 1000, False),
        (49, 0, 1000, False),
        (50, 0, 1000, True),
        (50, 0, 5000, False),
        (51, 0, 5000, True),
        (1, 49, 1000, True),
        (1, 0, 2, True),
        (1, 0, 3, False),
    ],
)
def test_the_fuse_trips_over_one_percent_and_fifty_or_half(count: int, recent: int, admitted: int, trips: bool) -> None:
    assert fuse_trips(count, recent, admitted) is trips


CLUSTER_WIDE = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: shared}\n"


async def _two_namespaces(first: str, second: str, allow: tuple[str, ...]) -> Renderer:
    renderer = Renderer()
    renderer.facts(store("store-000"), namespace("alpha"), namespace("beta"))
    for name, home, body in (("one", "alpha", first), ("two", "beta", second)):
        renderer.facts(application(name, home), renderer.release(name, home, "1.0.0", body, allow=allow))
        renderer.facts(choose(name, ("/c/*", "1.0.0")))
    await renderer.settle()
    return renderer


async def test_cluster_wide_objects_of_two_namespaces_meet() -> None:
    renderer = await _two_namespaces(CLUSTER_WIDE, CLUSTER_WIDE, ("ClusterRole",))

    assert sorted(renderer.refusals()) == [("alpha/one", "object-conflict"), ("beta/two", "object-conflict")]


async def test_objects_of_one_name_in_two_namespaces_do_not_meet() -> None:
    same = MANIFEST.replace("NAME", "shared")

    assert (await _two_namespaces(same, same, ())).refusals() == {}


async def test_an_object_in_the_namespace_of_another_application_meets_it() -> None:
    same = MANIFEST.replace("NAME", "shared")
    placed = same.replace("name: shared", "name: shared, namespace: beta")
    renderer = await _two_namespaces(placed, same, ("namespace/beta",))

    assert sorted(renderer.refusals()) == [("alpha/one", "object-conflict"), ("beta/two", "object-conflict")]
