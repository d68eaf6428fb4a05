"""Every published event type has a schema that is committed, current, and only ever grows."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from libs.contracts import StoreDeclared, encode, event_types
from libs.contracts.envelope import decode
from scripts.schemas import SCHEMAS_ROOT, breaks, event_schemas, incompatible, stale

NAME = "dev.resedge.inventory.StoreDeclared.v1"


def test_the_schemas_are_current() -> None:
    assert stale() == [], "run python -m scripts.schemas"
    assert incompatible() == []


def test_every_published_type_has_a_schema() -> None:
    assert {path.stem for path in (SCHEMAS_ROOT / "events").glob("*.json")} == set(event_types())


def altered(**changes: Any) -> dict[str, Any]:
    schema = copy.deepcopy(event_schemas()[NAME])
    for name, value in changes.items():
        if value is None:
            del schema["properties"][name]
        else:
            schema["properties"][name] = value
    return schema


def test_a_new_field_with_a_default_is_compatible() -> None:
    before = event_schemas()[NAME]

    assert breaks(before, altered(manager={"type": "string", "default": ""})) == []


@pytest.mark.parametrize(
    ("after", "what"),
    [
        (altered(timezone=None), "/timezone is gone"),
        (altered(timezone={"type": "integer"}), "/timezone has another type"),
        (altered(timezone={"type": "string", "enum": ["UTC"]}), "/timezone has another type"),
        (altered(labels={"type": "object", "additionalProperties": {"type": "string"}}), "/labels has another type"),
        (altered() | {"additionalProperties": False}, " takes nothing else now"),
        (
            altered(manager={"type": "string"}) | {"required": ["name", "timezone", "manager"]},
            "/manager is required now",
        ),
    ],
)
def test_what_recorded_events_could_not_live_with_is_found(after: dict[str, Any], what: str) -> None:
    assert breaks(event_schemas()[NAME], after) == [what]


def test_another_default_is_found_for_recorded_events_would_change() -> None:
    before = altered(manager={"type": "string", "default": "nobody"})

    found = breaks(before, altered(manager={"type": "string", "default": "somebody"}))

    assert found == ["/manager has another default, which recorded events without it would get"]


def test_an_event_without_the_fields_that_came_later_is_still_read() -> None:
    recorded = b'{"name":"tx-austin-0042","timezone":"America/Chicago"}'

    event = decode(NAME, recorded)

    assert event == StoreDeclared("tx-austin-0042", "America/Chicago")
    assert json.loads(encode(event))["clusters"] == []
