"""The AsyncAPI document is valid, and says of every topic and every event type what is sent."""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from cli.embedded import SERVICES
from libs.bus.messages import to_message
from libs.bus.topics import TOPICS
from libs.contracts import StoreDeclared, encode, event_types
from libs.contracts.inbox import external_types
from libs.eventlog.envelope import Envelope, encode_envelope
from scripts.asyncapi import EVENT_HEADERS, asyncapi_document
from scripts.schemas import SCHEMAS_ROOT, breaks, inbox_schemas
from tests.relay.conftest import event

AT = datetime(2026, 11, 24, tzinfo=UTC)
SPECIFICATION = Path(__file__).parents[1] / "data/asyncapi/asyncapi-3.0.0.json.xz"


@pytest.fixture(scope="module")
def committed() -> Any:
    return yaml.safe_load((SCHEMAS_ROOT / "asyncapi.yaml").read_text("utf-8"))


def references(value: Any) -> Iterator[str]:
    match value:
        case {"$ref": str(reference)}:
            yield reference
        case dict():
            for each in value.values():
                yield from references(each)
        case list():
            for each in value:
                yield from references(each)


def test_it_is_what_the_code_says(committed: Any) -> None:
    assert committed == asyncapi_document()
    assert len(SERVICES) >= 6


def test_it_is_valid_asyncapi_3(committed: Any) -> None:
    schema = json.loads(lzma.decompress(SPECIFICATION.read_bytes()))
    validator = jsonschema_rs.validator_for(schema, offline=True)

    assert [error.message[:200] for error in validator.iter_errors(committed)] == []
    assert not validator.is_valid(committed | {"channels": {"events": {"adress": "x"}}})


def test_every_reference_leads_somewhere(committed: Any) -> None:
    found = list(references(committed))
    assert len(found) > 100
    for reference in found:
        file, _, pointer = reference.partition("#")
        here: Any = json.loads((SCHEMAS_ROOT / file).read_text("utf-8")) if file else committed
        for part in pointer.split("/")[1:]:
            here = here[part.replace("~1", "/").replace("~0", "~")]


def test_it_tells_of_every_topic_and_every_type(committed: Any) -> None:
    channels = {each["address"]: each for each in committed["channels"].values()}
    assert set(channels) == {topic.name for topic in TOPICS}
    for topic in TOPICS:
        assert channels[topic.name]["bindings"]["kafka"]["partitions"] == topic.partitions
    names = {each.get("name") for each in committed["components"]["messages"].values()}
    assert names >= {*event_types(), *external_types()}
    assert len(channels["resedge.events"]["messages"]) == len(event_types())


def test_the_headers_of_a_message_are_those_that_are_told_of() -> None:
    said = Envelope(1, "e", "store-a", 1, "dev.resedge.inventory.StoreDeclared.v1", AT, "ada", "k", None, "c", "u", "t")
    message = to_message((encode_envelope(said), encode(StoreDeclared("a", "UTC")), b"h" * 32), b"p" * 32)

    sent = {name for name, _ in message.headers}
    assert sent == set(EVENT_HEADERS["properties"])
    assert set(EVENT_HEADERS["required"]) <= sent


@pytest.mark.parametrize("name", sorted(external_types()))
def test_an_inbox_schema_takes_what_the_relay_takes(name: str) -> None:
    samples: dict[str, dict[str, Any]] = {
        "StoreOpened": {"name": "a", "timezone": "UTC", "labels": {"a": ["b", "c"]}, "clusters": [{"name": "a"}]},
        "StoreChanged": {"name": "a", "hours": [{"days": ["mon"], "open": "06:00", "close": "23:00"}]},
        "StoreClosed": {"name": "a"},
        "LabelsChanged": {"name": "a", "set": {"x": "y"}, "remove": ["z"]},
        "ReleasePublished": {"application": "a", "version": "1", "reference": {"url": "https://h/", "sha256": "0"}},
    }
    data = samples[name.split(".")[3]]
    validator = jsonschema_rs.validator_for(inbox_schemas()[name], offline=True)

    assert validator.is_valid(data)
    assert not validator.is_valid(data | {"unheard": 1})
    assert event(name, data)["type"] == name


def test_an_inbox_schema_only_grows() -> None:
    before = inbox_schemas()["dev.resedge.inbox.StoreOpened.v1"]
    after = json.loads(json.dumps(before))
    after["properties"]["manager"] = {"type": "string", "default": ""}
    assert breaks(before, after) == []
    after["required"].append("manager")
    del after["properties"]["hours"]
    assert breaks(before, after) == ["/hours is gone", "/manager is required now"]
