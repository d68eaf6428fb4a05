"""Documents are put in order by what they refer to, and those of one service stay together where they can."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.commands.ordering import ordered
from libs.contracts.documents import DECIDED_BY, names_of

Document = dict[str, Any]


def document(kind: str, name: str, **spec: Any) -> Document:
    metadata = {"path": name} if kind == "Group" else {"name": name}
    return {"apiVersion": "resedge.dev/v1", "kind": kind, "metadata": metadata, "spec": spec}


def names(documents: Sequence[Document]) -> list[str]:
    return ["/".join(names_of(each)).lower() for each in documents]


def in_order(documents: Sequence[Document]) -> list[Document]:
    return [documents[index] for index in ordered(documents).sequence]


FLEET = [
    document("Store", "tx-1", clusters=[{"name": "tx-1-a"}]),
    document("Group", "/devices/grills", expression='has(grill) and not name like "/g/geo/*"'),
    document("Group", "/geo/us", expression="size = large"),
    document("Group", "/geo/us/tx", clusters=["tx-1-a"]),
    document("Group", "/marketing/pilot", expression="/g/geo/us and /n/pos"),
    document("Namespace", "menu", expression="(/g/marketing) and /c/tx-1-a"),
    document("Namespace", "pos", expression="/g/geo"),
    document("Application", "pos-api", namespace="pos"),
    document("Configuration", "pos-tx", applications=["pos-api"], expression="/g/geo/us/tx", values={}),
    document("Role", "operations", rules=[{"verbs": ["get"], "kinds": ["*"]}]),
    document("SignOff", "two-people", stages=[{"roles": ["admin", "operations"], "quorum": 2}]),
    document("Namespace", "till", expression="/c/*", signoff="two-people"),
    document("Calendar", "a-night", applications=["pos-api"], signoff="two-people", windows=[{"closed": {}}]),
    document("Freeze", "a-freeze", clusters="/g/geo/us/tx", reason="r", owner="o"),
    document("PlacementPolicy", "a-law", forbid={"applications": ["pos-api"]}, clusters="/n/menu", basis="b"),
    document("RoleBinding", "a-binding", role="operations", subjects=[], clusters="/c/tx-1-a", namespaces=["pos"]),
]
EDGES = [
    ("store/tx-1", "group/geo/us/tx"),
    ("group/geo/us", "group/geo/us/tx"),
    ("group/geo/us/tx", "group/marketing/pilot"),
    ("group/geo/us/tx", "namespace/pos"),
    ("namespace/pos", "group/marketing/pilot"),
    ("group/marketing/pilot", "namespace/menu"),
    ("namespace/pos", "application/pos-api"),
    ("application/pos-api", "configuration/pos-tx"),
    ("role/operations", "signoff/two-people"),
    ("signoff/two-people", "namespace/till"),
    ("signoff/two-people", "calendar/a-night"),
    ("application/pos-api", "calendar/a-night"),
    ("group/geo/us/tx", "freeze/a-freeze"),
    ("application/pos-api", "placementpolicy/a-law"),
    ("namespace/menu", "placementpolicy/a-law"),
    ("role/operations", "rolebinding/a-binding"),
    ("namespace/pos", "rolebinding/a-binding"),
    ("store/tx-1", "rolebinding/a-binding"),
]


@pytest.mark.parametrize("seed", range(20))
def test_in_whatever_order_they_come_what_is_referred_to_is_declared_first(seed: int) -> None:
    shuffled = list(FLEET)
    random.Random(seed).shuffle(shuffled)
    ordered = names(in_order(shuffled))

    assert sorted(ordered) == sorted(names(FLEET))
    assert ordered == names(in_order(FLEET))
    for before, after in EDGES:
        assert ordered.index(before) < ordered.index(after), (before, after)


def test_a_parent_that_refers_to_its_child_comes_after_it() -> None:
    parent = document("Group", "/delivery/all", expression="/g/delivery/all/fast")
    child = document("Group", "/delivery/all/fast", expression="lanes >= 2")

    assert names(in_order([parent, child])) == ["group/delivery/all/fast", "group/delivery/all"]


def test_a_circle_is_left_to_the_server_which_names_it() -> None:
    circle = [document("Namespace", "a", expression="/n/b"), document("Namespace", "b", expression="/n/a")]

    assert names(in_order([*circle, document("Store", "s")])) == ["store/s", "namespace/a", "namespace/b"]


def test_one_service_is_asked_once_where_nothing_stands_between() -> None:
    # The group of a pilot refers to a namespace, which refers to groups; policy refers to all of them.
    usual = ["inventory", "grouping", "policy", "catalog", "grouping", "catalog", "policy"]
    assert [service for service, _ in ordered(FLEET).stages()] == usual
    flat = [document("Store", f"s-{i}") for i in range(9)] + [document("Role", f"r-{i}") for i in range(9)]
    flat += [document("Group", f"/g/{i}", expression="a = b") for i in range(9)]
    flat += [document("Calendar", f"c-{i}", windows=[]) for i in range(9)]
    assert [service for service, _ in ordered(flat[::-1]).stages()] == ["inventory", "grouping", "policy"]


def test_of_refused_documents_those_are_kept_that_wait_for_no_other() -> None:
    broken = [
        document("Namespace", "pos", expression="/g/nothing"),
        document("Application", "pos-api", namespace="pos"),
        document("Configuration", "more", applications=["pos-api"], expression="/c/*", values={}),
        document("Application", "alone", namespace="other"),
    ]

    assert ordered(broken).first_of_each_chain([0, 1, 2, 3]) == [0, 3]
    assert ordered(broken).first_of_each_chain([2, 3]) == [2, 3]
    circle = [document("Namespace", "a", expression="/n/b"), document("Namespace", "b", expression="/n/a")]
    assert ordered(circle).first_of_each_chain([0, 1]) == [0]


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["/g/a", "/n/x and /c/y", "/"]),
    lambda below: (
        st.lists(below, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["name", "path", "clusters", "stores", "expression", "stages", "roles", "forbid", "namespace"]
            ),
            below,
            max_size=4,
        )
    ),
    max_leaves=12,
)
DOCUMENTS = st.lists(
    ANYTHING
    | st.fixed_dictionaries({}, optional={"kind": st.sampled_from([*DECIDED_BY, "Stor"]) | ANYTHING})
    | st.fixed_dictionaries(
        {"kind": st.sampled_from(list(DECIDED_BY)), "metadata": ANYTHING, "spec": ANYTHING},
    ),
    max_size=8,
)


@given(DOCUMENTS)
def test_whatever_the_documents_are_each_has_one_place(documents: list[Any]) -> None:
    order = ordered(documents)

    assert sorted(order.sequence) == list(range(len(documents)))
    assert [index for _, some in order.stages() for index in some] == list(order.sequence)
