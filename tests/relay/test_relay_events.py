"""Whatever bytes come, they are an event, or a refusal that the log can keep."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts import EventRefused, encode
from libs.contracts.inbox import external_types
from libs.contracts.problems import Problem
from libs.contracts.refusals import Rejected
from libs.eventlog import EVENT_BYTES_MAX as LOG_BYTES_MAX
from services.relay.domain.external import instruction, mapped, read
from services.relay.events import SourceDeclared, SourceMapping
from services.relay.inbox import _kept_headers, _shown
from services.relay.inbox_events import (
    HEADERS_BYTES_MAX,
    ExternalEvent,
    MalformedEvent,
    Received,
    causation_of,
    caused_by,
    claimed,
    http_headers,
    kafka_headers,
    parse_event,
    split_request,
)
from tests.relay.conftest import BATCH, STRUCTURED, TYPES, event

HEADERS = st.dictionaries(
    st.sampled_from(["content-type", "ce-id", "ce-source", "ce-type", "ce-x"]), st.text(max_size=9)
)
KINDS = st.sampled_from([STRUCTURED, BATCH, "application/json", "", "text/plain"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
SOURCE = SourceDeclared("registry", "urn:x", "registry", TYPES)


@given(HEADERS, KINDS, st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_for_every_message_there_is_an_event_or_a_refusal(headers: dict[str, str], kind: str, body: bytes) -> None:
    received = Received(headers | {"content-type": kind}, body)
    try:
        found = parse_event(received)
    except (MalformedEvent, Problem):
        assert all(len(each) <= 200 and each.isprintable() for each in claimed(received) if each)
    else:
        cause = caused_by(causation_of(found, "t"))
        assert cause == ("t", found.source, found.id)
        assert len(causation_of(found, "t" * 60).encode()) <= 512


@given(st.binary(max_size=3_000) | st.text(max_size=1_000).map(str.encode), HEADERS)
def test_for_every_body_the_letter_holds_it_whole_and_fits_the_log(body: bytes, headers: dict[str, str]) -> None:
    text, digest, blobs = _shown(body)

    assert (blobs[digest] if digest else text.encode()) == body
    refused = EventRefused("l", "s", "i", "t", "c", "r" * 2_000, text, digest, _kept_headers(headers))
    assert len(encode(refused)) <= LOG_BYTES_MAX


@pytest.mark.parametrize("byte", [b"\x01", b"\xff", b'"', "é".encode(), "\N{GRINNING FACE}".encode()])
def test_the_largest_letters_fit_the_log(byte: bytes) -> None:
    body = byte * (1 << 20)
    text, digest, blobs = _shown(body)
    headers = _kept_headers({f"ce-x{number}": byte.decode("utf-8", "replace") * 500 for number in range(200)})

    assert blobs[digest] == body
    assert (
        len(encode(EventRefused("l" * 40, "s" * 200, "i" * 200, "t", "c", "r" * 2_000, text, digest, headers)))
        <= LOG_BYTES_MAX
    )


def test_too_many_headers_are_refused() -> None:
    headers = {f"ce-x{number}": "v" * 500 for number in range(100)} | {"content-type": STRUCTURED}
    assert sum(map(len, headers.values())) > HEADERS_BYTES_MAX
    with pytest.raises(MalformedEvent):
        parse_event(Received(headers, json.dumps(event("StoreClosed", {"name": "a"})).encode()))


@given(st.sampled_from(sorted(external_types())), JSON)
def test_for_every_data_there_is_an_instruction_or_a_refusal_with_its_place(name: str, data: Any) -> None:
    place: str | None = None
    try:
        assert instruction(SOURCE, name, data)[0] == name
    except Rejected as refusal:
        place = refusal.pointer
    assert place is None or place.startswith("/")


def test_the_first_fault_is_named_with_its_place() -> None:
    data = {"name": "a", "timezone": "UTC", "clusters": [{"name": "b", "lables": {}}]}
    with pytest.raises(Rejected) as refusal:
        read(TYPES[0], data)
    assert refusal.value.pointer == "/data/clusters/0/lables"


def test_pointers_reach_into_lists_and_escaped_keys() -> None:
    pointers = {"name": "/a~1b/0/c~0d", "timezone": "/none", "labels": ""}
    found = mapped(SourceMapping("x", TYPES[0], pointers), {"a/b": [{"c~d": "store"}]})
    assert found == {"name": "store", "labels": {"a/b": [{"c~d": "store"}]}}


def test_headers_of_both_ways_mean_the_same() -> None:
    http = http_headers([("Content-Type", "application/json"), ("CE-Id", "caf%C3%A9"), ("Authorization", "Bearer x")])
    by_kafka = kafka_headers([("content-type", b"application/json"), ("ce_id", "café".encode()), ("other", b"x")])
    assert http == by_kafka == {"content-type": "application/json", "ce-id": "café"}


def test_what_stands_for_the_same_has_the_same_digest() -> None:
    one = ExternalEvent("s", "i", "t", {"time": "2026-11-24T00:00:00Z", "subject": "x"}, {"a": 1, "b": [2]})
    same = ExternalEvent("s", "i", "t", {"subject": "x"}, {"b": [2], "a": 1})
    other = ExternalEvent("s", "i", "t", {"subject": "y"}, {"b": [2], "a": 1})
    assert one.content_digest() == same.content_digest() != other.content_digest()


def test_a_batch_is_taken_apart_before_anything_is_decided() -> None:
    said: list[Any] = [event("StoreClosed", {"name": "a"}), 7]
    first, second = split_request({"content-type": BATCH}, json.dumps(said).encode(), "registry")
    assert parse_event(first).id == said[0]["id"]
    with pytest.raises(MalformedEvent):
        parse_event(second)
    with pytest.raises(Problem):
        split_request({"content-type": BATCH}, b"{}", "registry")
