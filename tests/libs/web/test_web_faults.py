"""What is wrong with a document is told in bounded length, and looked for with an end."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, Field

from cli.embedded import SERVICES
from libs.contracts.refusals import Invalid
from libs.web.faults import ENTRIES_MAX, ERRORS_MAX, TOKEN_CHARACTERS_MAX, check_bounds
from libs.web.schema import Spec, document_model, validated

assert SERVICES  # every service's models are made


class Inner(Spec):
    name: str = ""
    words: list[str] = Field(default_factory=list)


class Other(Spec):
    other: str = ""


class Outer(Spec):
    inner: Inner = Inner()
    inners: list[Inner] = Field(default_factory=list)
    either: list[str | Inner | Other] | None = None
    sizes: dict[str, str] = Field(default_factory=dict)
    free: dict[str, Any] = Field(default_factory=dict)
    pairs: tuple[Inner, ...] = ()


def specs(base: type[Spec]) -> list[type[Spec]]:
    return [found for each in base.__subclasses__() for found in (each, *specs(each))]


def wrong(model: type[BaseModel], value: Any) -> Invalid:
    with pytest.raises(Invalid) as refusal:
        validated(model, value)
    assert len(refusal.value.extra.get("errors", [])) <= ERRORS_MAX
    assert len(refusal.value.pointer or "") < 10 * TOKEN_CHARACTERS_MAX
    return refusal.value


def errors_of(model: type[BaseModel], value: Any) -> dict[str, Any]:
    """Return what a refusal says of its errors; nothing where the value fits."""
    try:
        validated(model, value)
    except Invalid as refusal:
        return refusal.extra
    return {}


MANY = 50_000


@pytest.mark.parametrize(
    ("value", "pointer"),
    [
        ({f"f{n}": 1 for n in range(MANY)}, "/f0"),
        ({"inner": {f"f{n}": 1 for n in range(MANY)}}, "/inner/f0"),
        ({"inners": [{"x": 1}] * MANY}, "/inners/0/x"),
        ({"inners": [3] * MANY}, "/inners/0"),
        ({"inners": [{"words": [1] * MANY}]}, "/inners/0/words/0"),
        ({"inner": {"words": [1] * MANY}}, "/inner/words/0"),
        ({"either": [{"x": 1}] * MANY}, "/either/0/x"),
        ({"either": [7] * MANY}, "/either/0"),
        ({"sizes": {f"f{n}": 1 for n in range(MANY)}}, "/sizes"),
        ({"pairs": [{"x": 1}] * MANY}, "/pairs/0/x"),
        ({"n" * 1_000_000: 1}, f"/{'n' * TOKEN_CHARACTERS_MAX}"),
    ],
)
def test_however_much_is_wrong_a_hundred_errors_are_told(value: Any, pointer: str) -> None:
    assert wrong(Outer, value).pointer == pointer


def test_how_many_more_there_are_is_said() -> None:
    found = wrong(Outer, {f"f{n}": 1 for n in range(450_000)})
    assert (len(found.extra["errors"]), found.extra["errors_count"]) == (ERRORS_MAX, 450_000)
    assert found.extra["errors"][1] == {"pointer": "/f1", "detail": "there is no field 'f1'"}


def test_several_errors_are_told_together_and_one_alone() -> None:
    found = wrong(Outer, {"inner": {"name": 1}, "inners": {}, "sizes": {"cpu": 2}})
    assert [each["pointer"] for each in found.extra["errors"]] == ["/inner/name", "/inners", "/sizes/cpu"]
    assert found.extra["errors_count"] == 3
    assert "errors" not in wrong(Outer, {"inner": {"nam": "a"}}).extra
    assert wrong(Outer, {"inner": {"nam": "a"}}).fix == "did you mean 'name'?"


def test_what_is_free_is_not_looked_at() -> None:
    free = {"free": {f"f{n}": n for n in range(ENTRIES_MAX * 2)}, "either": ["a", {"name": "b"}, {"other": "c"}]}
    assert validated(Outer, free).free == free["free"]


MODELS = sorted(specs(Spec), key=lambda each: f"{each.__module__}.{each.__name__}")


@pytest.mark.parametrize("model", MODELS, ids=lambda each: each.__name__)
def test_no_model_gives_more_errors_than_it_has_places(model: type[Spec]) -> None:
    """Whatever a list or a map of any document holds, the errors of a validation do not grow with it."""
    for name, field in model.model_fields.items():
        key = field.alias or name
        for content in ([1.5] * 5_000, [{"x": 1}] * 5_000, {f"k{n}": 1.5 for n in range(5_000)}):
            found = errors_of(model, {key: content})
            assert len(found.get("errors", [])) <= ERRORS_MAX
            assert found.get("errors_count", 1) <= 5_000


def test_a_whole_document_is_bounded_too() -> None:
    model = document_model("Outer", Outer, "name")
    with pytest.raises(Invalid) as refusal:
        check_bounds(model, {"metadata": {"nam": "a"}, "spec": {"inner": {"nam": "b"}}, "x": 1})
    assert {each["pointer"] for each in refusal.value.extra["errors"]} == {"/metadata/nam", "/spec/inner/nam", "/x"}
