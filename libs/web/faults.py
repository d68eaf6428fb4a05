"""Finds the errors of a document in bounded time, and reports them in bounded length.

Errors of unbounded number are limited before a validator runs: a walk for unknown fields stops at `ERRORS_MAX`, and a
list is given up at its first wrong item.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel

from libs.contracts.names import escape, nearest
from libs.contracts.refusals import Invalid

ERRORS_MAX = 100
"""Errors that one answer holds."""
ENTRIES_MAX = 1_000
"""Entries of a map whose values are checked one by one."""
TOKEN_CHARACTERS_MAX = 200

_Place = tuple[str | int, ...]
Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Unknown:
    """A field that is not known at its place, and the fields that are; `more` like it are not listed."""

    place: _Place
    known: Sequence[str]
    more: int = 0


def pointer_to(place: Sequence[str | int]) -> str:
    """Return the JSON pointer of a place; a key that no document has is cut."""
    return "".join(f"/{escape(str(part)[:TOKEN_CHARACTERS_MAX])}" for part in place)


def check_bounds(model: type[BaseModel], value: Any) -> None:
    """Look for unknown fields and for maps that are too large, with an end.

    Raises:
        Invalid: there are some; the first with its nearest known field, up to `ERRORS_MAX` listed.
    """
    schema = schema_of(model)
    found: list[Unknown] = []
    for unknown in _unknown(schema, schema, value, ()):
        found.append(unknown)
        if len(found) == ERRORS_MAX:
            break
    if not found:
        return
    first = found[0]
    word = str(first.place[-1])
    near = nearest(word, first.known)
    fix = f"did you mean {near!r}?" if near else f"known here: {', '.join(sorted(first.known)) or 'nothing'}"
    listed = [(each.place, f"there is no field {str(each.place[-1])[:80]!r}") for each in found]
    count = len(found) + found[-1].more
    raise Invalid(listed[0][1], pointer=pointer_to(first.place), fix=fix, nearest=near, **listed_errors(listed, count))


def listed_errors(errors: Sequence[tuple[_Place, str]], count: int) -> dict[str, Any]:
    """Return how an answer lists several errors: some of them, and of how many; nothing for a single one."""
    if count <= 1:
        return {}
    some = [{"pointer": pointer_to(place), "detail": detail} for place, detail in errors[:ERRORS_MAX]]
    return {"errors": some, "errors_count": count}


@cache
def schema_of(model: type[BaseModel]) -> Schema:
    """Return the JSON Schema of a model."""
    return model.model_json_schema()


def _unknown(schema: Schema, here: Schema, value: Any, place: _Place) -> Iterator[Unknown]:
    if not isinstance(value, (Mapping, list)) or not value:
        return
    fitting = _fitting(schema, here, value)
    if isinstance(value, list):
        below = fitting.get("items") or {}
        if _holds_fields(schema, below):
            for index, each in enumerate(value):
                yield from _unknown(schema, below, each, (*place, index))
        return
    known = fitting.get("properties", {})
    rest = fitting.get("additionalProperties", True)
    others = value.keys() - known.keys()
    if rest is False:
        yield from _listed(value, others, place, list(known))
    elif isinstance(rest, dict) and rest and len(others) > ENTRIES_MAX:
        raise Invalid(f"there are more than {ENTRIES_MAX:,} entries here", pointer=pointer_to(place))
    for name in known.keys() & value.keys():
        yield from _unknown(schema, known[name], value[name], (*place, name))
    if isinstance(rest, dict) and _holds_fields(schema, rest):
        for name in others:
            yield from _unknown(schema, rest, value[name], (*place, name))


def _listed(value: Mapping[str, Any], others: set[str], place: _Place, known: Sequence[str]) -> Iterator[Unknown]:
    if not others:
        return
    left = len(others)
    for name in value:  # in the order of the document
        if name in others:
            left -= 1
            yield Unknown((*place, name), known, left)


def _fitting(schema: Schema, here: Schema, value: Any) -> Schema:
    """Return the schema that speaks of a value of its kind: map or list; of several for maps, their fields together."""
    wanted = "array" if isinstance(value, list) else "object"
    found = [each for each in _variants(schema, here) if each.get("type") == wanted]
    if len(found) < 2 or wanted == "array":
        return found[0] if found else {}
    known = {name: below for each in found for name, below in each.get("properties", {}).items()}
    closed = all(each.get("additionalProperties", True) is False for each in found)
    return {"properties": known, "additionalProperties": False} if closed else {}


def _variants(schema: Schema, here: Schema) -> Iterator[Schema]:
    if "$ref" in here:
        yield from _variants(schema, schema["$defs"][here["$ref"].rpartition("/")[2]])
    elif "anyOf" in here or "oneOf" in here:
        for each in [*here.get("anyOf", ()), *here.get("oneOf", ())]:
            yield from _variants(schema, each)
    else:
        yield here


def _holds_fields(schema: Schema, here: Schema) -> bool:
    return any(each.get("type") in {"object", "array"} for each in _variants(schema, here))


def _below(fitting: Schema, part: str | int) -> Schema:
    found: Any = fitting.get("items") if isinstance(part, int) else fitting.get("properties", {}).get(part)
    return found or {}
