"""Configuration layers merge by rank, know where each value came from, and conflict within a rank."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.templates import (
    MISSING,
    Conflict,
    Layer,
    SchemaRejected,
    ValuesSchema,
    conflicts,
    lookup,
    merge_layers,
    merge_values,
)

DEFAULTS = Layer("defaults", (0, 0), {"logLevel": "info", "tax": {"rate": 0.05, "name": "VAT"}, "hosts": ["a", "b"]})
ALL = Layer("all", (1, 0), {"logLevel": "warn", "tax": {"rate": 0.06}})
TEXAS = Layer("texas", (3, 20), {"tax": {"rate": 0.0825, "name": None}, "hosts": ["c"], "new": {"deep": {"x": 1}}})


def test_the_more_specific_layer_wins_whatever_the_order() -> None:
    for layers in ([DEFAULTS, ALL, TEXAS], [TEXAS, ALL, DEFAULTS]):
        merged = merge_layers(layers)

        assert (
            merged.values
            == merge_values(layers)
            == {
                "logLevel": "warn",
                "tax": {"rate": 0.0825},
                "hosts": ["c"],
                "new": {"deep": {"x": 1}},
            }
        )
        assert merged.origins == {
            "/logLevel": "all",
            "/tax/rate": "texas",
            "/hosts": "texas",
            "/new/deep/x": "texas",
        }


def test_priority_decides_within_a_specificity() -> None:
    low, high = Layer("z", (2, -5), {"a": 1}), Layer("a", (2, 0), {"a": 2})

    assert merge_layers([high, low]).values == {"a": 2}
    assert conflicts([high, low]) == []


def test_null_in_a_new_map_leaves_nothing_behind() -> None:
    assert merge_layers([Layer("a", (1, 0), {"x": {"y": None, "z": 1}, "w": None})]).values == {"x": {"z": 1}}


def test_a_map_replaces_a_value_and_a_value_a_map() -> None:
    low, high = {"a": 1, "b": {"c": 1}}, {"a": {"c": 2}, "b": 3}
    merged = merge_layers([Layer("low", (1, 0), low), Layer("high", (2, 0), high)])

    assert merged.values == high
    assert merged.origins == {"/a/c": "high", "/b": "high"}


def test_the_layers_are_left_as_they_were() -> None:
    low: dict[str, Any] = {"a": {"b": 1}}
    merge_layers([Layer("low", (1, 0), low), Layer("high", (2, 0), {"a": {"c": 2}})])

    assert low == {"a": {"b": 1}}


@pytest.mark.parametrize(
    ("one", "other", "key"),
    [
        ({"a": 1}, {"a": 2}, "a"),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, "a.b"),
        ({"a": {"b": 1}}, {"a": 1}, "a"),
        ({"a": None}, {"a": 1}, "a"),
        ({"a": 1}, {"a": True}, "a"),
        ({"a": 1}, {"a": 1.0}, "a"),
        ({"a": [1]}, {"a": [2]}, "a"),
    ],
)
def test_equal_ranks_conflict_over_a_key(one: Any, other: Any, key: str) -> None:
    layers = [Layer("one", (2, 0), one), Layer("other", (2, 0), other), Layer("high", (3, 0), {"a": 9})]

    assert conflicts(layers) == [Conflict(key, ("one", "other"))]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1}, {"a": 1}),
        ({"a": {"b": 1}}, {"a": {"c": 2}}),
        ({"a": None}, {"a": None}),
        ({"a": {}}, {"a": {"b": 1}}),
    ],
)
def test_equal_ranks_agree(one: Any, other: Any) -> None:
    assert conflicts([Layer("one", (2, 0), one), Layer("other", (2, 0), other)]) == []


def test_a_dotted_path_is_looked_up() -> None:
    values = {"tax": {"rate": 0.05, "none": None}, "list": [1]}

    assert lookup(values, "tax.rate") == 0.05
    assert lookup(values, "tax") == {"rate": 0.05, "none": None}
    assert lookup(values, "tax.none") is None
    assert lookup(values, "tax.rate.x") is MISSING
    assert lookup(values, "list.0") is MISSING
    assert lookup(values, "other") is MISSING


KEYS = st.sampled_from(["a", "b", "c/d"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2) | st.lists(st.integers(0, 1), max_size=2),
    lambda inner: st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
LAYERS = st.lists(st.tuples(st.integers(0, 2), st.dictionaries(KEYS, VALUES, max_size=3)), max_size=4)


@given(LAYERS, st.randoms(use_true_random=False))
def test_every_leaf_has_one_origin_and_order_does_not_matter_without_conflicts(drawn: Any, shuffle: Any) -> None:
    layers = [Layer(f"layer{n}", (rank, 0), values) for n, (rank, values) in enumerate(drawn)]
    merged = merge_layers(layers)

    assert sorted(merged.origins) == sorted(_leaves(merged.values, ""))
    renamed = [Layer(f"x{shuffle.random()}", layer.rank, layer.values) for layer in layers]
    if not conflicts(layers):
        assert merge_values(renamed) == merged.values


def _leaves(values: dict[str, Any], pointer: str) -> list[str]:
    found = []
    for key, value in values.items():
        here = f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}"
        found += _leaves(value, here) if isinstance(value, dict) else [here]
    return found


SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["tax"],
    "additionalProperties": False,
    "properties": {
        "logLevel": {"enum": ["debug", "info"]},
        "tax": {"type": "object", "properties": {"rate": {"type": "number", "maximum": 1}}},
        "hosts": {"type": "array", "items": {"$ref": "#/$defs/host"}},
    },
    "$defs": {"host": {"type": "string", "pattern": "^[a-z]+$"}},
}


def test_what_does_not_fit_is_said_with_its_pointer() -> None:
    schema = ValuesSchema(SCHEMA)

    assert schema.problems({"tax": {"rate": 0.5}, "hosts": ["a"]}) == []
    assert schema.problems({"tax": {"rate": 5}, "hosts": ["a", "B"], "logLevel": "loud"}) == [
        '/hosts/1: "B" does not match "^[a-z]+$".',
        '/logLevel: "loud" is not one of "debug" or "info".',
        "/tax/rate: 5 is greater than the maximum of 1.",
    ]
    assert schema.problems({}) == ['/: "tax" is a required property.']


def fan(levels: int) -> dict[str, Any]:
    steps = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(levels)}
    return {"$defs": steps | {f"a{levels}": {"type": "integer"}}, "$ref": "#/$defs/a0"}


@pytest.mark.parametrize(
    "schema",
    [
        [],
        "x",
        {"type": "objekt"},
        {"pattern": "("},
        {"pattern": "(a{1000}){1000}"},
        {"pattern": "(?=a)"},
        {"$ref": "https://example.com/schema.json"},
        {"$ref": "file:///etc/passwd"},
        {"$ref": "#/nowhere"},
        {"$ref": "#"},
        {"$dynamicRef": "#a"},
        {"$schema": "https://example.com/own"},
        {"allOf": [{"properties": {"a": {"$ref": "#"}}}] * 2},
        fan(60),
        {"description": "x" * 300_000},
    ],
)
def test_a_schema_that_is_wrong_reaches_out_or_runs_away_is_refused(schema: Any) -> None:
    with pytest.raises(SchemaRejected):
        ValuesSchema(schema)


def test_older_drafts_and_recursive_schemas_are_taken() -> None:
    draft7 = {"$schema": "http://json-schema.org/draft-07/schema#", "definitions": {"p": {"type": "integer"}}}
    tree = {"type": "object", "properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}}

    assert ValuesSchema({**draft7, "properties": {"p": {"$ref": "#/definitions/p"}}}).problems({"p": "x"})
    assert ValuesSchema(tree).problems({"left": {"right": {"left": 1}}}) == [
        '/left/right/left: 1 is not of type "object".'
    ]
    assert ValuesSchema(fan(8)).problems(1) == []


def test_a_pattern_cannot_stall_the_server() -> None:
    assert ValuesSchema({"pattern": "^(a+)+$"}).problems("a" * 50_000 + "b")


def test_values_that_are_nested_too_deep_are_a_problem() -> None:
    values: Any = 1
    for _ in range(40):
        values = {"a": values}

    assert ValuesSchema({}).problems(values) == ["The values are nested more than 32 levels deep."]
