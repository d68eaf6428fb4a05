"""An event as a Kafka message: a CloudEvent in binary mode, with the exact bytes that the log's chain covers.

Every reader recomputes the chain hash from those bytes, so that only events of the log enter by Kafka.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from libs.contracts import Recorded
from libs.eventlog.envelope import chain, decode_envelope
from libs.eventlog.reader import decode_or_not, recorded_of

EVENTS_TOPIC = "resedge.events"
ENVELOPE, _HASH, _PREVIOUS = "resedge_envelope", "resedge_hash", "resedge_previous"
CONTENT_TYPE = b"application/json"

Headers = list[tuple[str, bytes]]
RawEvent = tuple[bytes, bytes, bytes]
"""(envelope, data, hash) as `EventLog.read_raw` returns them."""


class KafkaRecord(Protocol):
    """The part of `aiokafka.ConsumerRecord` that is read."""

    headers: Sequence[tuple[str, bytes]]
    value: bytes | None


class ForeignMessage(ValueError):  # noqa: N818 - it states the fact
    """A message is not an event of a log: headers are missing, or the chain hash is not that of its bytes."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message as the producer takes it: key (the stream), value (the exact data) and headers."""

    position: int
    key: bytes
    value: bytes
    headers: Headers


@dataclass(frozen=True, slots=True)
class Linked:
    """An event from Kafka, with the chain hash before it, as its headers give it."""

    recorded: Recorded
    previous: bytes


def to_message(raw: RawEvent, previous: bytes) -> Message:
    """Return the message of an event of the log, `previous` being the chain hash before it."""
    envelope, data, hash_ = raw
    said = decode_envelope(envelope)
    stream = said.stream.encode()
    headers: Headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"%b/%d" % (stream, said.version)),
        ("ce_source", _source(said.type)),
        ("ce_type", said.type.encode()),
        ("ce_subject", stream),
        ("ce_time", said.time.isoformat().replace("+00:00", "Z").encode()),
        ("ce_position", b"%d" % said.position),
        ("ce_epoch", said.epoch.encode()),
        ("ce_actor", said.actor.encode()),
        ("content-type", CONTENT_TYPE),
        (ENVELOPE, bytes(envelope)),
        (_HASH, bytes(hash_)),
        (_PREVIOUS, previous),
    ]
    if said.correlation is not None:
        headers.append(("ce_correlationid", said.correlation.encode()))
    if said.causation is not None:
        headers.append(("ce_causationid", said.causation.encode()))
    if said.traceparent is not None:
        headers.append(("ce_traceparent", said.traceparent.encode()))
        headers.append(("traceparent", said.traceparent.encode()))
    return Message(said.position, stream, bytes(data), headers)


def _source(event_type: str) -> bytes:
    """Return the service of `dev.resedge.<service>.…`; an unknown type is published as well."""
    parts = event_type.split(".")
    return f"resedge/{parts[2] if len(parts) > 2 else 'unknown'}".encode()


def from_record(record: KafkaRecord) -> Linked:
    """Return the event of a message.

    Raises:
        ForeignMessage: it is not an event of a log, or not with these bytes.
    """
    headers: dict[str, Any] = dict(record.headers)
    try:
        envelope, hash_, previous = headers[ENVELOPE], headers[_HASH], headers[_PREVIOUS]
    except KeyError as missing:
        raise ForeignMessage(f"a message without header {missing}") from None
    data = record.value or b""
    if chain(previous, envelope, data) != hash_:
        raise ForeignMessage("a message whose chain hash is not that of its bytes")
    return Linked(recorded_of(envelope, data, hash_, decode_or_not), previous)
