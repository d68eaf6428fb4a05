"""Every place of every object of the corpus is broken in each way that fits it, and every break is found there."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.contracts.names import pointer_of
from libs.kubernetes import RELATIONS, OpenSlot, value_problem
from libs.kubernetes.scalars import SCALAR_RULES
from tests.libs.kubernetes.kubernetes_words import checked, corpus, put

OBJECTS = corpus()
FREE = re.compile(
    r"(/spec/any/.*|.*/openAPIV3Schema/.*|/spec/versions/0/schema.*|/metadata|/metadata/name|/apiVersion|/kind"
    r"|.*/storageClassName|/spec/versions/0/name|/spec/names/kind|/spec/group|/spec/versions|/spec/names|/spec)"
)
"""Places that take any value, or that decide which object it is."""
EITHER = re.compile(r".*/(port|targetPort|maxSurge|maxUnavailable|minAvailable|amount|cpu|memory|storage)")
"""Places that take text and numbers."""

Places = Iterator[tuple[tuple[str | int, ...], Any]]


def places(value: Any, path: tuple[str | int, ...] = ()) -> Places:
    """Yield every place below a value, with what stands there."""
    pairs: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in pairs:
        yield (*path, key), each
        yield from places(each, (*path, key))


def wrong_type(value: Any) -> list[Any]:
    """Return values of other types than the one that stands there; an empty map says nothing about what it holds."""
    match value:
        case bool() | int():
            return ["three", {"a": 1}, [1]]
        case str():
            return [5, True, {"a": "b"}, ["a"]]
        case list():
            return ["text", 5, {"a": "b"}]
        case _:
            return ["text", 5, ["a"]]


BREAKS = [
    (number, pointer_of(path), wrong)
    for number, each in enumerate(OBJECTS)
    for path, value in places(each)
    if not FREE.fullmatch(pointer_of(path))
    for wrong in wrong_type(value)
    if not (EITHER.fullmatch(pointer_of(path)) and isinstance(wrong, (int, str)))
]


def broken(number: int, pointer: str, new: Any) -> list[dict[str, Any]]:
    objects = copy.deepcopy(OBJECTS)
    put(objects[number], pointer, new)
    return objects


def refused_at(objects: list[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(each.object.partition("/")[0], each.pointer) for each in checked(*objects).refused}


def test_a_value_of_another_type_is_found_wherever_it_stands() -> None:
    missed = [
        (OBJECTS[number]["kind"], pointer, wrong)
        for number, pointer, wrong in BREAKS
        if not any(
            kind == OBJECTS[number]["kind"] and (where == pointer or where.startswith(f"{pointer}/"))
            for kind, where in refused_at(broken(number, pointer, wrong))
        )
    ]

    assert len(BREAKS) > 800
    assert missed == []


def test_an_item_that_stands_twice_is_found_in_every_list_with_keys() -> None:
    keyed = re.compile(r".*/(containers|env|ports|volumes|volumeMounts|volumeClaimTemplates|drawers)")
    lists = [
        (number, pointer_of(path), value)
        for number, each in enumerate(OBJECTS)
        for path, value in places(each)
        if isinstance(value, list) and keyed.fullmatch(pointer_of(path))
        if OBJECTS[number]["kind"] != "NetworkPolicy" and "volumeClaimTemplates" not in pointer_of(path)
    ]

    assert len(lists) > 12
    for number, pointer, value in lists:
        objects = broken(number, f"{pointer}/{len(value)}", copy.deepcopy(value[0]))
        assert (OBJECTS[number]["kind"], f"{pointer}/{len(value)}") in refused_at(objects), pointer


def test_a_field_that_the_api_does_not_have_is_found_in_every_map_of_fields() -> None:
    texts = re.compile(r".*/(labels|annotations|matchLabels|nodeSelector|data|binaryData|limits|requests|selector/app)")
    maps = [
        (number, pointer_of(path))
        for number, each in enumerate(OBJECTS)
        for path, value in places(each)
        if isinstance(value, dict) and not texts.fullmatch(pointer_of(path))
        if not re.fullmatch(r".*openAPIV3Schema/.*|.*/properties(/.*)?|/spec/any(/.*)?", pointer_of(path))
        if not (OBJECTS[number]["kind"] == "Service" and pointer_of(path) == "/spec/selector")
    ]

    assert len(maps) > 60
    for number, pointer in maps:
        report = checked(*broken(number, f"{pointer}/zzz", "x"))
        assert [(each.never, each.pointer) for each in report.findings] == [(False, f"{pointer}/zzz")]


LABELS = [
    (number, pointer_of(path))
    for number, each in enumerate(OBJECTS)
    for path, _ in places(each)
    if re.fullmatch(r".*/(labels|matchLabels|nodeSelector)/[^/]+|/spec/selector/app", pointer_of(path))
]


@given(
    st.sampled_from(LABELS),
    st.one_of(
        st.text("abcXYZ019-_. ", min_size=64, max_size=70),
        st.sampled_from(["a b", "-a", "a-", "ä", "a/b", "a,b", " a", "a\n"]),
    ),
)
@settings(max_examples=60, deadline=None)
def test_every_invalid_label_is_found(place: tuple[int, str], label: str) -> None:
    number, pointer = place

    assert (OBJECTS[number]["kind"], pointer) in refused_at(broken(number, pointer, label))


@given(st.lists(st.sampled_from(BREAKS), min_size=2, max_size=4, unique_by=lambda each: each[0]))
@settings(max_examples=60, deadline=None)
def test_several_breaks_are_all_found(breaks: list[tuple[int, str, Any]]) -> None:
    objects = copy.deepcopy(OBJECTS)
    for number, pointer, wrong in breaks:
        put(objects[number], pointer, wrong)

    kinds = {kind for kind, _ in refused_at(objects)}

    # Without its definition, nobody knows what a custom kind should be like.
    lost = {"Till"} if any(OBJECTS[number]["kind"] == "CustomResourceDefinition" for number, _, _ in breaks) else set()
    assert kinds | lost >= {OBJECTS[number]["kind"] for number, _, _ in breaks}


def opened(value: Any, slot: Callable[[str], OpenSlot], path: tuple[str | int, ...] = ()) -> Any:
    """Return an object with a slot in the place of every scalar that is not part of what it is."""
    pointer = pointer_of(path)
    if isinstance(value, dict):
        return {key: opened(each, slot, (*path, key)) for key, each in value.items()}
    if isinstance(value, list):
        return [opened(each, slot, (*path, at)) for at, each in enumerate(value)]
    return value if re.fullmatch(r"/apiVersion|/kind|/metadata/name", pointer) else slot(pointer)


@pytest.mark.parametrize("number", range(len(OBJECTS)), ids=lambda number: str(OBJECTS[number]["kind"]))
def test_nothing_is_refused_for_what_only_a_cluster_will_know(number: int) -> None:
    if OBJECTS[number]["kind"] == "CustomResourceDefinition":
        return
    numbers = iter(range(10_000))
    objects = copy.deepcopy(OBJECTS)
    objects[number] = opened(objects[number], lambda _: OpenSlot(next(numbers)))

    report = checked(*objects)

    assert [str(each) for each in report.refused] == []
    assert all(each.object.startswith(OBJECTS[number]["kind"]) for each in report.demands)


KEYS = (
    *("selector", "template", "metadata", "labels", "matchLabels", "matchExpressions", "key", "values", "name", "spec"),
    *("operator", "ports", "containers", "initContainers", "volumes", "volumeMounts", "requests", "limits", "cpu"),
    *("restartPolicy", "value", "valueFrom", "minReplicas", "maxReplicas", "maxSurge", "maxUnavailable"),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4) | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=20,
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2**40, 1.5, 3.0, "", "a", "A b", "5", "-1Gi", "500m", "ä", "..", "a/b", "0 3 * * *"),
    *([], ["a"], [None], [[1]], {}, {"a": "b"}, {"a b": 1}, {"a": {"b": []}}),
)


@given(JSON)
@settings(max_examples=100, deadline=None)
def test_no_rule_dies_of_what_stands_there(value: Any) -> None:
    for name, rule in RELATIONS.items():
        part = rule.read(value)
        if part is not None and name not in ("unique", "set", "bytes"):
            assert all(isinstance(detail, str) for _, detail in rule.judge(part))
    for each in OBJECTS:
        for key in each:
            if key not in ("apiVersion", "kind", "metadata"):
                checked(each | {key: value})


@pytest.mark.parametrize("rule", [None, "unknown", *sorted(SCALAR_RULES)])
def test_no_demand_dies_of_a_value(rule: str | None) -> None:
    types = (None, "string", "integer", "number", "boolean", "object", "array")
    formats = (None, "int32", "int64", "byte", "date-time", "quantity", "int-or-string", "double")
    for type_, form, enum, value in product(types, formats, (None, ["a", "b"]), VALUES):
        parts = {"type": type_, "format": form, "enum": enum, "rule": rule}
        wanted: dict[str, Any] = {key: each for key, each in parts.items() if each is not None}
        for more in ({}, {"needed": True}, {"keys": "label", "each": wanted}):
            assert isinstance(value_problem(wanted | more, value), str | None)


WORDS = (
    *("type", "format", "properties", "items", "additionalProperties", "required", "enum", "$ref", "spec", "lanes"),
    *("x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-int-or-string", "drawers"),
)
SCHEMAS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["object", "array", "string", "map", "set", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=5),
    max_leaves=25,
)


@given(SCHEMAS)
@settings(max_examples=100, deadline=None)
def test_no_schema_that_somebody_wrote_breaks_the_check(schema: Any) -> None:
    objects = copy.deepcopy(OBJECTS)
    definition = next(each for each in objects if each["kind"] == "CustomResourceDefinition")
    drawers = {"properties": {"spec": {"properties": {"drawers": schema}}}}
    for place in (schema, {"properties": {"spec": schema}}, drawers):
        put(definition, "/spec/versions/0/schema/openAPIV3Schema", place)
        checked(*objects)


def test_what_is_looked_for_is_bounded() -> None:
    deployment = copy.deepcopy(OBJECTS[0])
    pods = deployment["spec"]["template"]["spec"]
    pods |= {f"unknown{number}": "x" for number in range(100_000)}
    pods["containers"][0]["volumeMounts"] = [{"name": f"v{n}", "mountPath": f"/v{n}"} for n in range(50_000)]
    pods["volumes"] = [{"name": f"w{number}", "emptyDir": {}} for number in range(50_000)]

    report = checked(deployment, deployment)

    assert report.full
    assert len(report.refused) == len(report.findings) == 100
