"""Groups: given a history, when a command, then events or a refusal with its code and pointer."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.contracts import ClusterSpec, GroupDeclared, GroupRemoved, NamespaceDeclared, StoreDeclared
from libs.contracts.absent import Absent
from libs.contracts.refusals import Cycle, Invalid, Rejected, SelectsNothing, StillReferenced, UnknownReference
from libs.fleet import Fleet
from services.grouping.api import GROUP
from services.grouping.domain import DeclareGroup, RemoveGroup, State, check_path, decide, living, warnings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libs.contracts import Event

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def store(name: str, city: str, *, kitchen: bool = False) -> StoreDeclared:
    clusters = [ClusterSpec(name), *([ClusterSpec(f"{name}-kitchen")] if kitchen else [])]
    return StoreDeclared(name, "America/Chicago", labels={"city": city}, clusters=clusters)


STORES = (store("tx-austin-0042", "austin", kitchen=True), store("tx-austin-0043", "austin"), store("ny-0001", "nyc"))


def fleet(*events: Event) -> Fleet:
    facts = Fleet()
    for event in (*STORES, *events):
        facts.assume(event)
    return facts


def group(path: str, expression: str | None = None, **more: Any) -> GroupDeclared:
    return GroupDeclared(path=path, expression=expression, **more)


def declare(path: str, expression: str | None = None, **more: Any) -> DeclareGroup:
    return DeclareGroup(group(path, expression, **more), "ada", NOW)


def remove(path: str) -> RemoveGroup:
    return RemoveGroup(path, "ada", NOW)


def after(state: State, events: Sequence[Event]) -> State:
    for event in events:
        state = GROUP.evolve(state, event)
    return state


def refused(kind: type[Rejected], command: DeclareGroup | RemoveGroup, state: State, facts: Fleet) -> Rejected:
    with pytest.raises(kind) as caught:
        decide(command, state, facts)
    return caught.value


def test_a_group_keeps_its_members_sorted_and_its_expression_canonical() -> None:
    command = declare(
        "/geo/us/tx", "not (not city = austin)", clusters=("tx-austin-0043", "ny-0001", "ny-0001"), stores=("ny-0001",)
    )

    assert decide(command, Absent(), fleet()) == [
        group("/geo/us/tx", "city = austin", clusters=["ny-0001", "tx-austin-0043"], stores=["ny-0001"])
    ]


def test_a_group_that_is_declared_again_in_other_words_is_unchanged() -> None:
    state = group("/geo/us/tx", "city = austin", clusters=["ny-0001", "tx-austin-0043"])
    command = declare("/geo/us/tx", "(city = austin)", clusters=("tx-austin-0043", "ny-0001"))

    assert decide(command, state, fleet(state)) == []


def test_a_group_may_have_no_members_of_its_own_and_is_warned_of() -> None:
    assert decide(declare("/geo"), Absent(), fleet()) == [group("/geo")]
    assert warnings(declare("/geo"), fleet()) == ["/geo has no members of its own, only those of groups below it"]
    assert warnings(declare("/geo", "city = austin"), fleet()) == []


@pytest.mark.parametrize("field", ["clusters", "stores"])
def test_an_unknown_member_is_refused_with_its_place_and_the_nearest_name(field: str) -> None:
    members: dict[str, Any] = {field: ("ny-0001", "tx-austin-0044")}
    command = declare("/geo/us", **members)

    refusal = refused(UnknownReference, command, Absent(), fleet())

    assert refusal.code == "unknown-reference"
    assert refusal.pointer == f"/spec/{field}/1"
    assert refusal.extra["nearest"] in {"tx-austin-0042", "tx-austin-0043"}


def test_a_kitchen_cluster_is_a_cluster_but_no_store() -> None:
    assert decide(declare("/geo/us", clusters=("tx-austin-0042-kitchen",)), Absent(), fleet())
    assert refused(UnknownReference, declare("/geo", stores=("tx-austin-0042-kitchen",)), Absent(), fleet()).pointer


@pytest.mark.parametrize(
    ("expression", "nearest"),
    [("/g/geo/us/txs", "/geo/us/tx"), ("citty = austin", "city"), ("/n/poss", "pos")],
)
def test_an_expression_that_names_what_does_not_exist_is_refused(expression: str, nearest: str) -> None:
    facts = fleet(group("/geo/us/tx", "city = austin"), NamespaceDeclared("pos", "city = austin"))

    refusal = refused(UnknownReference, declare("/delivery", expression), Absent(), facts)

    assert (refusal.code, refusal.pointer) == ("unknown-reference", "/spec/expression")
    assert str(refusal.extra["nearest"]).lstrip("/") == nearest.lstrip("/")


def test_an_expression_that_cannot_be_read_is_invalid() -> None:
    refusal = refused(Invalid, declare("/geo", "city = "), Absent(), fleet())

    assert (refusal.code, refusal.pointer) == ("invalid-expression", "/spec/expression")


def test_a_group_cannot_select_itself_through_others() -> None:
    facts = fleet(group("/a", "city = austin"), group("/c", "/g/a"))

    refusal = refused(Cycle, declare("/a/b", "/g/c"), Absent(), facts)

    assert (refusal.code, refusal.pointer) == ("cycle", "/spec/expression")
    assert any("a" in step for step in refusal.extra["cycle"])


def test_a_group_cannot_select_its_parent() -> None:
    facts = fleet(group("/geo/us", "city = austin"))

    assert refused(Cycle, declare("/geo/us/tx", "/g/geo/us"), Absent(), facts).code == "cycle"


def test_a_group_cannot_select_a_namespace_that_selects_it() -> None:
    facts = fleet(group("/geo", "city = austin"), NamespaceDeclared("pos", "/g/geo"))

    assert refused(Cycle, declare("/geo", "/n/pos"), facts.groups["/geo"], facts).code == "cycle"


def test_an_expression_that_selects_nothing_is_refused_unless_that_is_said() -> None:
    nowhere = "city = austin and city = nyc"

    refusal = refused(SelectsNothing, declare("/geo", nowhere), Absent(), fleet())

    assert (refusal.code, refusal.pointer) == ("selects-nothing", "/spec/expression")
    assert decide(declare("/geo", nowhere, allow_empty=True), Absent(), fleet())
    assert decide(declare("/geo", "none"), Absent(), fleet()) == [group("/geo", "none")]


def test_an_expression_in_force_is_not_checked_again_when_something_else_changes() -> None:
    state = group("/geo", "roof = flat")
    facts = fleet()

    assert decide(declare("/geo", "roof = flat", stores=("ny-0001",)), state, facts) == [
        group("/geo", "roof = flat", stores=["ny-0001"])
    ]


def test_a_cluster_that_is_gone_has_left_the_group() -> None:
    state = group("/geo", clusters=["ny-0001", "tx-closed"], stores=["ny-0001", "tx-closed"])
    facts = fleet(state)

    assert living(state, facts) == group("/geo", clusters=["ny-0001"], stores=["ny-0001"])
    assert decide(declare("/geo", clusters=("ny-0001",), stores=("ny-0001",)), state, facts) == []


@pytest.mark.parametrize(
    "path",
    [
        *("geo", "", "/", "/geo/", "//geo", "/Geo", "/geo/../us", "/geo/.git", "/geo/us tx", "/-geo", "/" + "a" * 64),
        "/a" * 17,
        "/" + "/".join(["a" * 60] * 5),
    ],
)
def test_what_is_no_path_is_invalid(path: str) -> None:
    refusal = refused(Invalid, declare(path), Absent(), fleet())

    assert refusal.pointer == "/metadata/path"


def test_sixteen_elements_are_a_path() -> None:
    check_path("/a" * 16)


def test_a_group_that_nothing_refers_to_is_removed() -> None:
    state = group("/geo", "city = austin")

    assert decide(remove("/geo"), state, fleet(state)) == [GroupRemoved("/geo")]
    assert decide(remove("/geo"), Absent(), fleet()) == []


def test_a_group_that_an_expression_refers_to_stays() -> None:
    state = group("/geo", "city = austin")
    facts = fleet(state, NamespaceDeclared("pos", "/g/geo"), group("/delivery", "/g/geo"))

    refusal = refused(StillReferenced, remove("/geo"), state, facts)

    assert refusal.code == "still-referenced"
    assert refusal.extra["referrers"] == ["group /delivery", "namespace pos"]


def test_a_referred_group_may_go_while_groups_below_it_hold_its_path_up() -> None:
    state = group("/geo", "city = austin")
    facts = fleet(state, group("/geo/us", "city = austin"), NamespaceDeclared("pos", "/g/geo"))

    assert decide(remove("/geo"), state, facts) == [GroupRemoved("/geo")]


def test_the_last_group_below_a_referred_path_stays() -> None:
    state = group("/geo/us/tx", "city = austin")
    facts = fleet(state, NamespaceDeclared("pos", "/g/geo"))

    refusal = refused(StillReferenced, remove("/geo/us/tx"), state, facts)

    assert refusal.extra["referrers"] == ["namespace pos"]
    assert decide(remove("/geo/us/tx"), state, fleet(state, group("/geo/ca"), NamespaceDeclared("pos", "/g/geo")))


names = st.sampled_from(["ny-0001", "tx-austin-0042", "tx-austin-0043", "tx-austin-0042-kitchen", "gone"])
commands = st.one_of(
    st.builds(
        declare,
        path=st.sampled_from(["/geo", "/geo/us", "/x"]),
        clusters=st.lists(names, max_size=3),
        stores=st.lists(names, max_size=2),
        expression=st.sampled_from(
            [None, "none", "city = austin", "city in (nyc, austin)", "/g/geo", "/g/x or city = nyc", "city = rome"]
        ),
        allow_empty=st.booleans(),
        labels=st.just({}),
    ),
    st.builds(RemoveGroup, path=st.sampled_from(["/geo", "/geo/us", "/x"]), actor=st.just("ada"), at=st.just(NOW)),
)


@given(st.lists(commands, max_size=8))
@settings(max_examples=60, deadline=None)
def test_for_every_history_deciding_a_command_twice_adds_nothing(history: list[DeclareGroup | RemoveGroup]) -> None:
    facts = fleet()
    states: dict[str, State] = {}
    for command in history:
        path = command.group.path if isinstance(command, DeclareGroup) else command.path
        state = states.get(path, Absent())
        try:
            events = decide(command, state, facts)
        except Rejected:
            continue
        for event in events:
            facts.assume(event)
        states[path] = state = after(state, events)
        assert decide(command, state, facts) == []
        if isinstance(state, GroupDeclared):
            declared = living(state, facts)
            again = declare(
                declared.path,
                declared.expression,
                clusters=tuple(declared.clusters),
                stores=tuple(declared.stores),
                allow_empty=declared.allow_empty,
            )
            assert decide(again, state, facts) == []
            assert decide(replace(again, actor="bob"), state, facts) == []
