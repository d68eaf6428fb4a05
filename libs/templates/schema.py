"""A release's schema of its values: JSON Schema (2020-12 unless `$schema` names an older draft), offline and bounded.

Nothing is fetched, patterns run on a linear-time engine, and a schema whose checks could multiply (references that
fan out, or that recurse into one value twice) is refused before it is used.
"""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING, Any

import jsonschema_rs

from libs.contracts.names import pointer_of, unescape

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA_BYTES_MAX = 256 * 1024
_VALUES_DEPTH_MAX = 32
CHECKS_MAX = 20_000
_PROBLEMS_MAX = 20
_SENTENCE_CHARACTERS_MAX = 300

_IN_PLACE_ONE = ("not", "if", "then", "else", "unevaluatedItems", "unevaluatedProperties")
_IN_PLACE_LISTS = ("allOf", "anyOf", "oneOf")
_BELOW_ONE = ("additionalProperties", "additionalItems", "items", "contains", "propertyNames")
_BELOW_LISTS = ("items", "prefixItems")
_BELOW_MAPS = ("properties", "patternProperties")


class SchemaRejected(ValueError):  # noqa: N818 - a refusal states the fact
    """The schema cannot be used; `pointer` is into the schema."""

    def __init__(self, detail: str, pointer: str = "") -> None:
        self.detail = detail
        self.pointer = pointer
        super().__init__(f"{pointer}: {detail}" if pointer else detail)


class ValuesSchema:
    """A compiled schema. Raises `SchemaRejected` if it is not valid, refers outside itself or could run away."""

    def __init__(self, schema: Any) -> None:
        if not isinstance(schema, (dict, bool)):
            raise SchemaRejected("a schema is an object, true or false")
        try:
            size = len(json.dumps(schema, ensure_ascii=False).encode())
        except (RecursionError, ValueError, TypeError):
            raise SchemaRejected("the schema is nested too deeply, or is not JSON") from None
        if size > SCHEMA_BYTES_MAX:
            raise SchemaRejected(f"{size:,} bytes; at most {SCHEMA_BYTES_MAX:,} are accepted")
        _Cost(schema).check()
        try:
            self._validator = jsonschema_rs.validator_for(
                schema,
                offline=True,
                pattern_options=jsonschema_rs.RegexOptions(size_limit=1 << 20, dfa_size_limit=1 << 20),
            )
        except jsonschema_rs.ValidationError as error:
            raise SchemaRejected(_sentence(error.message), pointer_of(error.instance_path)) from None
        except (jsonschema_rs.ReferencingError, ValueError) as error:
            raise SchemaRejected(_sentence(str(error))) from None

    def problems(self, values: Any) -> list[str]:
        """Return a sentence with its JSON pointer for each thing that is wrong with `values`, at most 20."""
        if _deeper_than(values, _VALUES_DEPTH_MAX):
            return [f"The values are nested more than {_VALUES_DEPTH_MAX} levels deep."]
        errors = list(islice(self._validator.iter_errors(values), _PROBLEMS_MAX + 1))
        found = [f"{pointer_of(error.instance_path) or '/'}: {_sentence(error.message)}." for error in errors]
        if len(found) > _PROBLEMS_MAX:
            return [*sorted(found[:_PROBLEMS_MAX]), "There are more problems."]
        return sorted(found)


class _Cost:
    """How many checks one value can cost: in-place subschemas add up, of those for parts the dearest counts."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._known: dict[tuple[int, int], int] = {}
        self._open: set[tuple[int, int]] = set()

    def check(self) -> None:
        """Raise `SchemaRejected` if it is more than `CHECKS_MAX`."""
        try:
            self._of(self._root, _VALUES_DEPTH_MAX)
        except RecursionError:
            raise SchemaRejected("the schema is nested too deeply") from None

    def _of(self, schema: Any, depth: int) -> int:
        if not isinstance(schema, dict) or depth < 0:
            return 1
        place = (id(schema), depth)
        if place in self._known:
            return self._known[place]
        if place in self._open:
            raise SchemaRejected("a reference leads back to itself without descending into the values")
        self._open.add(place)
        cost = 1 + sum(self._of(child, depth) for child in self._in_place(schema))
        cost += max((self._of(child, depth - 1) for child in _below(schema)), default=0)
        self._open.discard(place)
        if cost > CHECKS_MAX:
            raise SchemaRejected(f"checking one value could take more than {CHECKS_MAX:,} steps")
        self._known[place] = cost
        return cost

    def _in_place(self, schema: dict[str, Any]) -> Iterator[Any]:
        for keyword in ("$dynamicRef", "$recursiveRef"):
            if keyword in schema:
                raise SchemaRejected(f"{keyword} is not taken; use $ref")
        if isinstance(schema.get("$ref"), str):
            yield self._target(schema["$ref"])
        for keyword in _IN_PLACE_ONE:
            yield schema.get(keyword)
        for keyword in _IN_PLACE_LISTS:
            yield from _items(schema.get(keyword))
        for keyword in ("dependentSchemas", "dependencies"):
            yield from _members(schema.get(keyword))

    def _target(self, reference: str) -> Any:
        if reference != "#" and not reference.startswith("#/"):
            raise SchemaRejected(f"{reference[:100]!r} leads outside the schema; only #/… is taken")
        found = self._root
        for key in reference.split("/")[1:]:
            step = unescape(key)
            if isinstance(found, dict):
                found = found.get(step)
            elif isinstance(found, list) and step.isdigit() and int(step) < len(found):
                found = found[int(step)]
            else:
                found = None
        if not isinstance(found, (dict, bool)):
            raise SchemaRejected(f"{reference[:100]!r} leads nowhere")
        return found


def _below(schema: dict[str, Any]) -> Iterator[Any]:
    for keyword in _BELOW_ONE:
        yield schema.get(keyword)
    for keyword in _BELOW_LISTS:
        yield from _items(schema.get(keyword))
    for keyword in _BELOW_MAPS:
        yield from _members(schema.get(keyword))


def _items(node: Any) -> list[Any]:
    return node if isinstance(node, list) else []


def _members(node: Any) -> list[Any]:
    return list(node.values()) if isinstance(node, dict) else []


def _deeper_than(value: Any, levels: int) -> bool:
    if not isinstance(value, (dict, list)):
        return False
    if levels == 0:
        return True
    return any(_deeper_than(part, levels - 1) for part in (value.values() if isinstance(value, dict) else value))


def _sentence(message: str) -> str:
    first = message.split("\n", 1)[0]
    return first if len(first) <= _SENTENCE_CHARACTERS_MAX else f"{first[: _SENTENCE_CHARACTERS_MAX - 1]}…"
