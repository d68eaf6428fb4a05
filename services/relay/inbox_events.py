"""CloudEvents 1.0 as they arrive: structured, binary, batched, over HTTP and from Kafka, parsed within bounds.

An event is kept exactly as it came (headers and bytes), so that a dead letter can be retried, with its signature, as if
it came again.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

import msgspec

from libs.contracts.instants import ALL_YEARS, read_instant
from libs.contracts.names import escape
from libs.contracts.problems import Problem, invalid, too_large
from libs.contracts.refusals import Invalid
from libs.web.bodies import parse_json
from services.relay.domain.sources import SOURCE_BYTES_MAX

_STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
EXTERNAL_EVENT_BYTES_MAX = 4 * 1024 * 1024
"""The largest part of one body that the log keeps."""
_BATCH_EVENTS_MAX = 500
ID_CHARACTERS_MAX = 200
TYPE_CHARACTERS_MAX = 128
_TEXT_CHARACTERS_MAX = 512
_NAME_CHARACTERS_MAX = 40
HEADERS_BYTES_MAX = 32 * 1024
SIGNATURE = "signature"
"""The attribute that carries the signature; it always comes as a header, beside what it signs."""

_BOUNDS = {"source": SOURCE_BYTES_MAX, "type": TYPE_CHARACTERS_MAX}
_REQUIRED = ("specversion", "id", "source", "type")
_sorted = msgspec.json.Encoder(order="deterministic")


class MalformedEvent(Invalid):
    """The event is not a valid CloudEvent."""

    code = "malformed-event"


@dataclass(frozen=True, slots=True)
class Received:
    """An event as it came; `principal` is whose token brought it over HTTP, empty where it came by Kafka.

    `headers` has lower-case names: `content-type` and the `ce-…` ones, values as text.
    """

    headers: Mapping[str, str]
    body: bytes
    principal: str = ""

    @property
    def structured(self) -> bool:
        """Whether the body is a whole event; otherwise it is the data alone."""
        return media_type_of(self.headers) == _STRUCTURED

    def digest(self) -> str:
        """Return the digest of the whole message."""
        return hashlib.sha256(_sorted.encode([dict(self.headers), self.principal]) + self.body).hexdigest()


@dataclass(frozen=True, slots=True)
class ExternalEvent:
    """A CloudEvent: its attributes (all of them, as text) and its data, if that was JSON."""

    source: str
    id: str
    type: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    data: Any = None

    def content_digest(self) -> str:
        """Return the digest of the event's content: two events with one (source, id) must have the same."""
        subject = self.attributes.get("subject", "")
        return hashlib.sha256(_sorted.encode([self.type, subject, self.data])).hexdigest()


def letter_name(*parts: str) -> str:
    """Return the name of a letter: a digest of source and id, or of the message if it has none."""
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:40]


def causation_of(event: ExternalEvent, type_name: str) -> str:
    """Return the cause in the envelope of an event that follows from an external event."""
    return f"inbox:{type_name} {event.source} {quote(event.id)}"


def caused_by(causation: str | None) -> tuple[str, str, str] | None:
    """Return (type, source, id) of the external event from which an event follows, if any."""
    kind, _, rest = (causation or "").partition(":")
    parts = rest.split(" ")
    return (parts[0], parts[1], unquote(parts[2])) if kind == "inbox" and len(parts) == 3 else None


def media_type_of(headers: Mapping[str, str]) -> str:
    """Return the media type without parameters."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def http_headers(raw: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the headers of a request that belong to its event; values are percent-decoded as the HTTP binding asks."""
    kept = {name.lower(): value for name, value in raw if name.lower() == "content-type"}
    return kept | {name.lower(): unquote(value) for name, value in raw if name.lower().startswith("ce-")}


def kafka_headers(raw: Iterable[tuple[str, bytes]]) -> dict[str, str]:
    """Return the headers of a Kafka message that belong to its event, with HTTP's names; what is not text shows so."""
    kept: dict[str, str] = {}
    for name, value in raw:
        if name.lower() == "content-type" or name.lower().startswith("ce_"):
            kept[name.lower().replace("_", "-", 1)] = (value or b"").decode("utf-8", "replace")
    return kept


def split_request(headers: Mapping[str, str], body: bytes, principal: str) -> list[Received]:
    """Return the events of a request: one, or those of a batch, each as a structured event.

    Raises:
        Problem: 413 or 422, the batch cannot be taken apart.
    """
    if media_type_of(headers) != BATCH:
        return [Received(headers, body, principal)]
    events = parse_json(body)
    if not isinstance(events, list):
        raise invalid("a batch must be a JSON array of events", pointer="")
    if len(events) > _BATCH_EVENTS_MAX:
        raise invalid(
            f"the batch has {len(events):,} events; at most {_BATCH_EVENTS_MAX} are accepted",
            fix="send several smaller batches",
        )
    return [Received({"content-type": _STRUCTURED}, msgspec.json.encode(each), principal) for each in events]


def header_bytes(name: str, value: str) -> int:
    """Return the size of a header in an event of the log."""
    return len(msgspec.json.encode([name, value]))


def parse_event(received: Received) -> ExternalEvent:
    """Return the event.

    Raises:
        MalformedEvent: it is not an event, or breaks a bound.
        Problem: 413, its body exceeds 4 MiB.
    """
    if len(received.body) > EXTERNAL_EVENT_BYTES_MAX:
        raise too_large(EXTERNAL_EVENT_BYTES_MAX)
    if sum(header_bytes(*each) for each in received.headers.items()) > HEADERS_BYTES_MAX:
        raise MalformedEvent(f"the headers have more than {HEADERS_BYTES_MAX} bytes")
    attributes, data = _structured(received) if received.structured else _binary(received)
    _check(attributes)
    return ExternalEvent(attributes["source"], attributes["id"], attributes["type"], attributes, data)


def claimed(received: Received) -> tuple[str, str, str]:
    """Return (source, id, type) as far as they can be made out, for a dead letter to be found by."""
    try:
        attributes = _structured(received)[0] if received.structured else _binary(received, with_data=False)[0]
    except (MalformedEvent, Problem):
        return "", "", ""
    source, id_, type_ = (_shown(attributes.get(name, "")) for name in ("source", "id", "type"))
    return source, id_, type_


def _shown(text: str) -> str:
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text[:ID_CHARACTERS_MAX])


def _json(body: bytes, what: str) -> Any:
    try:
        return parse_json(body)
    except Problem as problem:
        raise MalformedEvent(problem.detail.replace("the body", what)) from None


def _structured(received: Received) -> tuple[dict[str, str], Any]:
    event = _json(received.body, "the event")
    if not isinstance(event, dict):
        raise MalformedEvent("a structured event must be a JSON object")
    attributes: dict[str, str] = {}
    for name, value in event.items():
        # A member that is null is unset, like one that is left out (CloudEvents 1.0, JSON format, §2.2).
        if name in {"data", "data_base64", SIGNATURE} or value is None:
            continue
        if not isinstance(value, str | int | bool):
            raise MalformedEvent(
                f"the attribute {name[:40]!r} is neither text, a whole number nor true or false",
                pointer=f"/{escape(name[:40])}",
                fix="leave it out, or write null, if it has no value",
            )
        attributes[name] = value if isinstance(value, str) else str(value).lower()
    data, encoded = event.get("data"), event.get("data_base64")
    if encoded is None:
        return attributes, data
    if data is not None:
        raise MalformedEvent("the event has both data and data_base64", pointer="/data_base64", fix="send one of them")
    return attributes, _decoded(encoded)


def _decoded(text: Any) -> Any:
    try:
        return _json(base64.b64decode(text, validate=True), "the data")
    except (binascii.Error, ValueError, TypeError):
        raise MalformedEvent("data_base64 is not base64", pointer="/data_base64") from None


def _binary(received: Received, *, with_data: bool = True) -> tuple[dict[str, str], Any]:
    # A header cannot be null: senders write an empty one instead, so an empty one counts as unset, too.
    attributes = {name[3:]: value for name, value in received.headers.items() if name.startswith("ce-") and value}
    attributes.pop(SIGNATURE, None)
    kind = media_type_of(received.headers)
    if kind:
        attributes["datacontenttype"] = received.headers["content-type"]
    if not with_data or not received.body:
        return attributes, None
    if kind and kind != "application/json" and not kind.endswith("+json"):
        raise MalformedEvent(f"the data is {kind[:60]}, where JSON is expected")
    return attributes, _json(received.body, "the data")


def _check(attributes: Mapping[str, str]) -> None:
    for name in _REQUIRED:
        if not attributes.get(name):
            raise MalformedEvent(
                f"the attribute {name} is missing", pointer=f"/{name}", fix="give it a value that is not empty or null"
            )
    if attributes["specversion"] != "1.0":
        raise MalformedEvent("only CloudEvents 1.0 is supported", pointer="/specversion", fix="write 1.0")
    for name, value in attributes.items():
        _check_attribute(name, value)
    for name in ("source", "type"):
        if not attributes[name].isascii() or " " in attributes[name]:
            raise MalformedEvent(
                f"the attribute {name} contains characters other than printable ASCII", pointer=f"/{name}"
            )
    if len(quote(attributes["id"])) > ID_CHARACTERS_MAX:
        raise MalformedEvent(f"the id has more than {ID_CHARACTERS_MAX} characters (percent-encoded)", pointer="/id")
    if "time" in attributes:
        _check_time(attributes["time"])


def _check_attribute(name: str, value: str) -> None:
    if not (name.isascii() and name.isalnum() and name == name.lower()) or len(name) > _NAME_CHARACTERS_MAX:
        raise MalformedEvent(f"{name[:40]!r} is not the name of an attribute")
    if len(value) > _BOUNDS.get(name, _TEXT_CHARACTERS_MAX) or not value.isprintable():
        raise MalformedEvent(f"the attribute {name} is too long, or not printable", pointer=f"/{name}")


def _check_time(text: str) -> None:
    try:
        read_instant(text, "/time", ALL_YEARS)
    except Invalid as unreadable:
        raise MalformedEvent(unreadable.detail, pointer="/time", fix=unreadable.fix) from None
