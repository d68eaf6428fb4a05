"""Namespaces: given a history, when a command, then events or a refusal with its code and pointer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from libs.contracts import GroupDeclared, NamespaceDeclared, NamespaceRemoved
from libs.contracts.absent import Absent
from libs.contracts.refusals import Cycle, Invalid, Rejected, SelectsNothing, StillReferenced, UnknownReference
from services.catalog.api import NAMESPACE
from services.catalog.domain.namespaces import (
    CapacityExceeded,
    DeclareNamespace,
    NameReserved,
    RemoveNamespace,
    State,
    decide,
)
from tests.catalog.catalog_words import API, POS, WHO, fleet, layer, store

if TYPE_CHECKING:
    from libs.fleet import Fleet


def declare(name: str = "pos", expression: str = "/c/*", **more: Any) -> DeclareNamespace:
    return DeclareNamespace(NamespaceDeclared(name, expression, **more), **WHO)


def refused(
    kind: type[Rejected], command: DeclareNamespace | RemoveNamespace, facts: Fleet, state: State | None = None
) -> Rejected:
    with pytest.raises(kind) as caught:
        decide(command, state or Absent(), facts)
    return caught.value


def test_a_namespace_is_declared_in_canonical_form() -> None:
    command = declare(
        expression="not (not size = large)", owners=("b", "a", "b"), capacity={"memory": "1Gi", "cpu": "500m"}
    )

    assert decide(command, Absent(), fleet()) == [
        NamespaceDeclared("pos", "size = large", owners=["a", "b"], capacity={"cpu": "500m", "memory": "1Gi"})
    ]


def test_the_same_namespace_again_is_unchanged() -> None:
    assert decide(declare(), POS, fleet(POS)) == []
    assert decide(declare(expression="(/c/*)"), POS, fleet(POS)) == []


@pytest.mark.parametrize("name", ["flux-system", "default", "kube-system", "kube-x"])
def test_names_that_the_tree_uses_are_reserved(name: str) -> None:
    refusal = refused(NameReserved, declare(name), fleet())

    assert (refusal.code, refusal.pointer) == ("name-reserved", "/metadata/name")


@pytest.mark.parametrize("name", ["../../x", ".git", "Pos", "a" * 64, ""])
def test_what_is_no_name_is_invalid(name: str) -> None:
    assert refused(Invalid, declare(name), fleet()).pointer == "/metadata/name"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("a b", "c"),
        ("team", "x y"),
        ("team", "x" * 64),
        ("kustomize.toolkit.fluxcd.io/name", "x"),
        ("kubernetes.io/metadata.name", "x"),
    ],
)
def test_a_label_that_kubernetes_or_flux_would_not_leave_alone_is_invalid(key: str, value: str) -> None:
    refusal = refused(Invalid, declare(namespace_labels={key: value}), fleet())

    assert refusal.pointer == f"/spec/labels/{key.replace('/', '~1')}"


def test_an_unknown_permission_is_invalid_with_its_place() -> None:
    assert refused(Invalid, declare(allow=("Secret", "Secrett!")), fleet()).pointer == "/spec/allow/1"


def test_an_unreadable_expression_is_invalid() -> None:
    refusal = refused(Invalid, declare(expression="size ="), fleet())

    assert (refusal.code, refusal.pointer) == ("invalid-expression", "/spec/expression")


def test_an_unknown_label_is_refused_with_the_nearest() -> None:
    refusal = refused(UnknownReference, declare(expression="sise = large"), fleet())

    assert (refusal.code, refusal.pointer, refusal.extra["nearest"]) == (
        "unknown-reference",
        "/spec/expression",
        "size",
    )


def test_a_namespace_cannot_select_itself_through_a_group() -> None:
    facts = fleet(POS, GroupDeclared("/run", expression="/n/pos"))

    refusal = refused(Cycle, declare(expression="/g/run"), facts, POS)

    assert (refusal.code, refusal.pointer) == ("cycle", "/spec/expression")


def test_selecting_nothing_has_to_be_meant() -> None:
    nowhere = "size = large and size = small"

    refusal = refused(SelectsNothing, declare(expression=nowhere), fleet())

    assert (refusal.code, refusal.pointer) == ("selects-nothing", "/spec/expression")
    assert decide(declare(expression=nowhere, allow_empty=True), Absent(), fleet())
    assert decide(declare(expression="none"), Absent(), fleet())


def test_taking_more_than_a_cluster_has_is_refused_with_the_clusters() -> None:
    facts = fleet(NamespaceDeclared("kitchen", "/c/*", capacity={"cpu": "1500m"}))

    refusal = refused(CapacityExceeded, declare(capacity={"cpu": "1"}), facts)

    assert (refusal.code, refusal.pointer) == ("capacity-exceeded", "/spec/capacity/cpu")
    assert (refusal.extra["clusters"], refusal.extra["count"]) == (["tx-2"], 1)
    assert decide(declare(capacity={"cpu": "500m"}), Absent(), facts)


def test_a_few_of_many_clusters_are_named_and_all_counted() -> None:
    facts = fleet(*(store(f"ca-{number}", "large", "1") for number in range(9)))

    refusal = refused(CapacityExceeded, declare(capacity={"cpu": "3"}), facts)

    assert refusal.extra["count"] == 10
    assert len(refusal.extra["clusters"]) == 3
    assert "and 7 more" in refusal.detail


def test_a_namespace_that_takes_no_more_than_before_is_not_refused_for_what_changed_meanwhile() -> None:
    state = NamespaceDeclared("pos", "/c/*", capacity={"cpu": "2"})
    facts = fleet(state, store("tx-2", "large", "1"))

    assert decide(declare(capacity={"cpu": "2"}, owners=("team-pos",)), state, facts)
    assert refused(CapacityExceeded, declare(capacity={"cpu": "3"}), facts, state).extra["clusters"] == ["tx-2"]


def test_a_cluster_without_a_figure_is_unlimited() -> None:
    assert decide(declare(expression="size = small", capacity={"cpu": "900"}), Absent(), fleet())


def test_a_namespace_that_nothing_refers_to_is_removed() -> None:
    assert decide(RemoveNamespace("pos", **WHO), POS, fleet(POS)) == [NamespaceRemoved("pos")]
    assert decide(RemoveNamespace("pos", **WHO), Absent(), fleet()) == []
    assert NAMESPACE.evolve(POS, NamespaceRemoved("pos")) == Absent()


def test_a_namespace_that_others_refer_to_stays() -> None:
    facts = fleet(POS, API, layer("tax", namespace="pos"), GroupDeclared("/run", expression="/n/pos"))

    refusal = refused(StillReferenced, RemoveNamespace("pos", **WHO), facts, POS)

    assert refusal.code == "still-referenced"
    assert refusal.extra["referrers"] == ["application pos-api", "configuration tax", "group /run"]
