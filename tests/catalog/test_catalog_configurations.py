"""Configurations: given a history, when a command, then events or a refusal with its code and pointer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from libs.contracts import ConfigurationDeclared, ConfigurationRemoved, ReleaseChoice, ReleaseChoicesSet
from libs.contracts.absent import Absent
from libs.contracts.refusals import Invalid, Rejected, SelectsNothing, UnknownReference
from services.catalog.api import CONFIGURATION
from services.catalog.domain.checks import ValuesInvalid
from services.catalog.domain.configurations import (
    ConfigurationConflict,
    DeclareConfiguration,
    RemoveConfiguration,
    State,
    decide,
)
from tests.catalog.catalog_words import API, POS, WHO, fleet, layer, strict

if TYPE_CHECKING:
    from libs.fleet import Fleet

EVERYWHERE_STRICT = (strict("1.0.0"), ReleaseChoicesSet("pos-api", [ReleaseChoice("/c/*", "1.0.0")]))


def declare(name: str = "tax", expression: str = "/c/*", **more: Any) -> DeclareConfiguration:
    return DeclareConfiguration(ConfigurationDeclared(name, expression, **more), **WHO)


def refused(kind: type[Rejected], command: DeclareConfiguration, facts: Fleet, state: State | None = None) -> Rejected:
    with pytest.raises(kind) as caught:
        decide(command, state or Absent(), facts)
    return caught.value


def test_a_configuration_is_declared_in_canonical_form() -> None:
    command = declare(
        expression="(size = large)", applications=("pos-api", "pos-api"), values={"tax": {"rate": 0.0825}}
    )

    assert decide(command, Absent(), fleet(POS, API)) == [
        layer("tax", "size = large", applications=["pos-api"], values={"tax": {"rate": 0.0825}})
    ]


def test_the_same_configuration_again_is_unchanged_whatever_the_order_of_its_keys() -> None:
    state = layer("tax", values={"a": 1, "b": {"c": [1], "d": None}})

    assert decide(declare(values={"b": {"d": None, "c": [1]}, "a": 1}), state, fleet(state)) == []


@pytest.mark.parametrize("value", [True, 1.0, "1"])
def test_one_true_and_1_0_are_different_values(value: Any) -> None:
    state = layer("tax", values={"a": 1})

    assert decide(declare(values={"a": value}), state, fleet(state)) == [layer("tax", values={"a": value})]


def test_what_it_is_for_has_to_exist() -> None:
    facts = fleet(POS, API)

    refusal = refused(UnknownReference, declare(applications=("pos-api", "pos-apy")), facts)

    assert (refusal.code, refusal.pointer) == ("unknown-reference", "/spec/applications/1")
    assert refusal.extra["nearest"] == "pos-api"
    assert refused(UnknownReference, declare(namespace="poss"), facts).pointer == "/spec/namespace"


def test_it_is_for_applications_or_for_a_namespace() -> None:
    refusal = refused(Invalid, declare(applications=("pos-api",), namespace="pos"), fleet(POS, API))

    assert refusal.pointer == "/spec/namespace"


def test_its_expression_has_to_be_readable_known_and_to_select_something() -> None:
    assert refused(Invalid, declare(expression="size ="), fleet()).code == "invalid-expression"
    assert refused(UnknownReference, declare(expression="/g/geo/ny"), fleet()).pointer == "/spec/expression"
    assert refused(SelectsNothing, declare(expression="size = xl"), fleet()).pointer == "/spec/expression"
    assert decide(declare(expression="size = xl", allow_empty=True), Absent(), fleet())


@pytest.mark.parametrize(
    ("values", "pointer"),
    [
        ({"a": float("nan")}, "/spec/values/a"),
        ({"a": [1, float("inf")]}, "/spec/values/a/1"),
        ({"a/b": {"c": 2**63}}, "/spec/values/a~1b/c"),
        ({"a": {"": 1}}, "/spec/values/a"),
        ({"a": b"bytes"}, "/spec/values/a"),
        ({"a": "\ud800"}, "/spec/values/a"),
        ({"a": "x" * 70_000}, "/spec/values"),
    ],
)
def test_values_are_json_within_bounds(values: dict[str, Any], pointer: str) -> None:
    assert refused(Invalid, declare(values=values), fleet()).pointer == pointer


def test_values_may_nest_16_levels() -> None:
    deep: dict[str, Any] = {"leaf": 1}
    for _ in range(15):
        deep = {"a": deep}

    assert decide(declare(values=deep), Absent(), fleet())
    assert str(refused(Invalid, declare(values={"a": {"b": deep}}), fleet()).pointer).startswith("/spec/values/a/b/a")


def test_a_priority_has_bounds() -> None:
    assert refused(Invalid, declare(priority=1_000_001), fleet()).pointer == "/spec/priority"


def test_two_layers_of_equal_rank_cannot_set_one_key_differently_on_a_cluster() -> None:
    facts = fleet(POS, API, layer("base", "size = large", applications=["pos-api"], values={"log": {"level": "info"}}))
    other = declare(expression="/g/geo/tx", applications=("pos-api",), values={"log": {"level": "debug"}})

    refusal = refused(ConfigurationConflict, other, facts)

    assert refusal.code == "configuration-conflict"
    assert refusal.pointer == "/spec/values/log/level"
    assert refusal.extra["cluster"] in {"tx-1", "tx-2"}
    assert refusal.extra["layers"] == ["base", "tax"]


@pytest.mark.parametrize(
    "other",
    [
        {"values": {"log": {"level": "info"}}},
        {"values": {"log": {"level": "debug"}}, "priority": 1},
        {"values": {"log": {"level": "debug"}}, "expression": "size = small"},
        {"values": {"other": 1}},
    ],
)
def test_layers_that_agree_differ_in_rank_or_never_meet_do_not_conflict(other: dict[str, Any]) -> None:
    facts = fleet(POS, API, layer("base", "size = large", applications=["pos-api"], values={"log": {"level": "info"}}))

    assert decide(declare(applications=("pos-api",), **other), Absent(), facts)


def test_a_less_specific_layer_does_not_conflict_with_a_more_specific_one() -> None:
    facts = fleet(POS, API, layer("base", applications=["pos-api"], values={"level": "info"}))

    assert decide(declare(namespace="pos", values={"level": "debug"}), Absent(), facts)


def test_values_that_a_release_in_force_refuses_are_refused_with_a_cluster() -> None:
    good = layer("base", applications=["pos-api"], values={"port": 80})
    facts = fleet(POS, API, good, *EVERYWHERE_STRICT)

    refusal = refused(
        ValuesInvalid,
        declare(expression="size = small", applications=("pos-api",), values={"port": "many"}, priority=9),
        facts,
    )

    assert (refusal.code, refusal.pointer) == ("values-invalid", "/spec/values")
    assert (refusal.extra["cluster"], refusal.extra["count"]) == ("ny-1", 1)


def test_values_for_a_release_that_runs_nowhere_are_not_its_business() -> None:
    facts = fleet(POS, API, strict("1.0.0"))

    assert decide(declare(applications=("pos-api",), values={"port": "many"}), Absent(), facts)


def test_one_of_two_faults_can_be_repaired_alone() -> None:
    bad = layer("base", applications=["pos-api"], values={"level": "loud"})
    facts = fleet(POS, API, bad, *EVERYWHERE_STRICT)

    assert decide(declare(applications=("pos-api",), values={"port": 80}), Absent(), facts)


def test_a_layer_is_removed() -> None:
    state = layer("tax")

    assert decide(RemoveConfiguration("tax", **WHO), state, fleet(state)) == [ConfigurationRemoved("tax")]
    assert decide(RemoveConfiguration("tax", **WHO), Absent(), fleet()) == []
    assert CONFIGURATION.evolve(state, ConfigurationRemoved("tax")) == Absent()
