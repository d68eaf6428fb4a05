from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts import ClusterSpec, Event, GroupDeclared, OpeningHours, StoreDeclared, StoreRemoved
from libs.contracts.absent import Absent
from libs.fleet import Fleet
from libs.kinds.categories import REFERRING
from services.inventory.api import STORE
from services.inventory.domain import (
    ClusterNameTaken,
    ClusterStillNamed,
    DeclareStore,
    RemoveStore,
    State,
    decide,
    guards,
    relabelled,
    without_cluster,
)

AT = datetime(2026, 11, 24, tzinfo=UTC)
AUSTIN = StoreDeclared("tx-austin-0042", "America/Chicago", {"size": "large"}, [], [ClusterSpec("tx-austin-0042")])
KITCHEN = replace(AUSTIN, clusters=[*AUSTIN.clusters, ClusterSpec("tx-austin-0042-kitchen")])


def after(*events: Event) -> tuple[State, Fleet]:
    """The store's state, and the fleet, that a history leaves."""
    state: State = Absent()
    facts = Fleet()
    for event in events:
        if isinstance(event, StoreDeclared | StoreRemoved):
            state = STORE.evolve(state, event)
        facts.assume(event)
    return state, facts


def declare(store: StoreDeclared) -> DeclareStore:
    return DeclareStore(store, "ada", AT)


def test_a_store_that_is_declared_is_as_it_was_said() -> None:
    assert decide(declare(AUSTIN), *after()) == [AUSTIN]


def test_declaring_the_same_again_adds_nothing() -> None:
    assert decide(declare(AUSTIN), *after(AUSTIN)) == []


def test_what_the_new_declaration_leaves_out_is_gone() -> None:
    without_labels = replace(AUSTIN, labels={})
    assert decide(declare(without_labels), *after(AUSTIN)) == [without_labels]


def test_a_cluster_name_that_another_store_has_is_refused() -> None:
    other = replace(AUSTIN, name="tx-waco-0001")
    with pytest.raises(ClusterNameTaken, match="belongs to store tx-austin-0042"):
        decide(declare(other), Absent(), after(AUSTIN)[1])


def test_a_name_that_its_store_has_given_up_is_free() -> None:
    given_up = replace(AUSTIN, clusters=[])
    other = replace(AUSTIN, name="tx-waco-0001")
    assert decide(declare(other), Absent(), after(AUSTIN, given_up)[1]) == [other]


def test_a_store_may_be_left_without_clusters() -> None:
    assert decide(declare(replace(AUSTIN, clusters=[])), *after(AUSTIN))


def test_a_cluster_that_an_expression_names_cannot_be_deleted() -> None:
    group = GroupDeclared("/geo/tx", expression="/c/tx-austin-0042")
    state, facts = after(AUSTIN, group)
    with pytest.raises(ClusterStillNamed, match="group /geo/tx") as refusal:
        decide(RemoveStore(AUSTIN.name, "ada", AT), state, facts)
    assert refusal.value.extra["referrers"] == ["group /geo/tx"]
    with pytest.raises(ClusterStillNamed):
        decide(declare(replace(AUSTIN, clusters=[])), state, facts)


def test_a_cluster_that_a_group_lists_leaves_it_quietly() -> None:
    group = GroupDeclared("/geo/tx", clusters=["tx-austin-0042"])
    state, facts = after(AUSTIN, group)
    assert decide(RemoveStore(AUSTIN.name, "ada", AT), state, facts) == [StoreRemoved(AUSTIN.name)]


def test_removing_what_is_not_there_adds_nothing() -> None:
    assert decide(RemoveStore(AUSTIN.name, "ada", AT), *after()) == []


def test_deleting_one_cluster_declares_its_store_without_it() -> None:
    state, facts = after(KITCHEN)
    assert isinstance(state, StoreDeclared)
    command = without_cluster(state, "tx-austin-0042-kitchen", "ada", AT)
    assert decide(command, state, facts) == [AUSTIN]


def test_only_new_and_dropped_cluster_names_are_guarded() -> None:
    state, _ = after(AUSTIN)
    assert guards(declare(replace(AUSTIN, labels={})), state) == ()
    assert guards(declare(AUSTIN), Absent()) == ("store",)
    assert guards(declare(KITCHEN), state) == ("store",)
    assert guards(RemoveStore(AUSTIN.name, "ada", AT), state) == REFERRING


def test_relabelling_keeps_everything_else() -> None:
    assert relabelled(KITCHEN, {"grill": ["Acme3000"]}, ["size"]) == replace(KITCHEN, labels={"grill": ["Acme3000"]})


NAMES = st.sampled_from(["a", "b", "c", "d"])
LABELS = st.dictionaries(st.sampled_from(["size", "lanes"]), st.sampled_from(["1", "2"]) | st.just(["1", "2"]))
CLUSTERS = st.lists(st.builds(ClusterSpec, NAMES, LABELS), unique_by=lambda each: each.name, max_size=3)
HOURS = st.lists(st.builds(OpeningHours, st.just(["mon"]), st.just("06:00"), st.just("22:00")), max_size=1)
DECLARED = st.builds(declare, st.builds(StoreDeclared, NAMES, st.just("America/Chicago"), LABELS, HOURS, CLUSTERS))
COMMANDS = st.lists(DECLARED | st.builds(RemoveStore, NAMES, st.just("ada"), st.just(AT)), max_size=12)


@given(COMMANDS)
def test_for_every_history_deciding_twice_adds_nothing_and_names_stay_unique(
    commands: list[DeclareStore | RemoveStore],
) -> None:
    states: dict[str, State] = {}
    facts = Fleet()
    for command in commands:
        name = command.store.name if isinstance(command, DeclareStore) else command.name
        state = states.get(name, Absent())
        try:
            events = decide(command, state, facts)
        except ClusterNameTaken:
            continue
        for event in events:
            state = STORE.evolve(state, event)
            facts.assume(event)
        states[name] = state
        assert decide(command, state, facts) == []
    names = [each.name for state in states.values() if isinstance(state, StoreDeclared) for each in state.clusters]
    assert len(names) == len(set(names))
    assert len(names) == len(facts.selection.everything)
