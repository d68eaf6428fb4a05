"""An attribute that is null is unset: in structured events, in batches, and as an empty header over HTTP and Kafka."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts.refusals import Invalid
from services.relay.inbox_events import (
    ExternalEvent,
    MalformedEvent,
    Received,
    http_headers,
    kafka_headers,
    parse_event,
    split_request,
)
from tests.relay.conftest import BATCH, SOURCE, STRUCTURED, TYPES, Outside, event

REQUIRED = {"specversion": "1.0", "id": "e-1", "source": SOURCE, "type": TYPES[0]}
OPTIONAL = {
    "subject": "tx-austin-0042",
    "time": "2026-11-24t12:00:00z",
    "datacontenttype": "application/json",
    "dataschema": "https://stores.example.com/schema",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "partitionkey": "7",
    "comexampleextension": "x",
}
SET = REQUIRED | OPTIONAL
DATA: dict[str, Any] = {"name": "tx-austin-0042", "timezone": "UTC"}
SOME = st.sets(st.sampled_from(sorted(SET)), max_size=len(SET))


def structured(said: dict[str, Any]) -> Received:
    return Received({"content-type": STRUCTURED}, json.dumps(said).encode())


def in_a_batch(said: dict[str, Any]) -> Received:
    (found,) = split_request({"content-type": BATCH}, json.dumps([said]).encode(), "")
    return found


def over_http(said: dict[str, Any]) -> Received:
    attributes = {key: value or "" for key, value in said.items() if key not in {"data", "datacontenttype"}}
    headers = [("Content-Type", said.get("datacontenttype") or "")]
    headers += [(f"CE-{key}", value) for key, value in attributes.items()]
    return Received(http_headers(headers), json.dumps(said["data"]).encode())


def over_kafka(said: dict[str, Any]) -> Received:
    """Kafka has headers without a value; aiokafka gives None for them."""
    attributes = {key: value for key, value in said.items() if key not in {"data", "datacontenttype"}}
    kind = said.get("datacontenttype")
    headers: list[tuple[str, Any]] = [("content-type", kind.encode() if kind else None)]
    headers += [(f"ce_{key}", value.encode() if value else None) for key, value in attributes.items()]
    return Received(kafka_headers(headers), json.dumps(said["data"]).encode())


WAYS = {"structured": structured, "batch": in_a_batch, "http": over_http, "kafka": over_kafka}


def outcome(received: Received) -> ExternalEvent | tuple[str, str | None]:
    try:
        return parse_event(received)
    except Invalid as refused:
        return refused.detail, refused.pointer


@pytest.mark.parametrize("way", WAYS)
@given(unset=SOME)
def test_for_every_set_of_attributes_null_means_what_leaving_out_means(way: str, unset: set[str]) -> None:
    nulls = {key: None if key in unset else value for key, value in SET.items()} | {"data": DATA}
    left_out = {key: value for key, value in SET.items() if key not in unset} | {"data": DATA}
    found = outcome(WAYS[way](nulls))

    assert found == outcome(WAYS[way](left_out))
    if isinstance(found, ExternalEvent):
        assert found.attributes == {key: value for key, value in left_out.items() if key != "data"}
        assert not unset & REQUIRED.keys()
    else:
        assert unset & REQUIRED.keys()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", REQUIRED)
def test_a_required_attribute_that_is_null_is_missing_and_named(way: str, name: str) -> None:
    with pytest.raises(MalformedEvent) as refused:
        parse_event(WAYS[way](SET | {name: None, "data": DATA}))
    assert refused.value.detail == f"the attribute {name} is missing"
    assert refused.value.pointer == f"/{name}"
    assert refused.value.fix


@pytest.mark.parametrize("way", [structured, in_a_batch])
def test_data_base64_that_is_null_leaves_the_data(way: Any) -> None:
    assert parse_event(way(SET | {"data": DATA, "data_base64": None})).data == DATA
    assert parse_event(way(SET | {"data": None, "data_base64": "e30="})).data == {}
    assert parse_event(way(SET | {"data": None, "data_base64": None})).data is None
    with pytest.raises(MalformedEvent, match="both"):
        parse_event(way(SET | {"data": DATA, "data_base64": "e30="}))


@pytest.mark.parametrize("value", [[], {}, 1.5, ["a"], {"a": None}])
@pytest.mark.parametrize("name", ["time", "comexampleextension", "id"])
def test_what_is_no_value_of_an_attribute_is_named(name: str, value: Any) -> None:
    with pytest.raises(MalformedEvent) as refused:
        parse_event(structured(SET | {name: value, "data": DATA}))
    assert refused.value.pointer == f"/{name}"


async def test_nulls_are_accepted_on_a_running_server_and_mean_the_same_event(outside: Outside) -> None:
    await outside.register()
    plain = event("StoreOpened", DATA)
    nulls = plain | dict.fromkeys((*OPTIONAL, "data_base64"))

    first = await outside.send(nulls)
    again = await outside.send(plain)
    batch = await outside.send([nulls, plain], BATCH)

    assert first.status_code == 200, first.text
    assert first.json()["outcome"] == "accepted"
    assert again.json() == first.json()
    assert batch.json()["items"] == [first.json(), first.json()]
    refused = await outside.send(event("StoreOpened", DATA) | {"type": None})
    assert (refused.json()["code"], refused.json()["pointer"]) == ("malformed-event", "/type")
