"""`schemas/asyncapi.yaml`: an AsyncAPI 3.0 description of every topic, made from the registries of event types.

Payloads are described once, in the JSON Schemas beside it; this document only says what travels where.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from libs.bus.topics import TOPICS, Topic
from libs.contracts import event_types
from libs.contracts.inbox import external_types

_VERSION = "3.0.0"
SCHEMA_FORMAT = "application/schema+json;version=draft-2020-12"
CHANNELS = {
    "resedge.events": (
        "events",
        "The log, in its order: one partition, key = stream. Whoever reads it recomputes the chain hash of each event.",
    ),
    "resedge.inbox": (
        "inbox",
        "CloudEvents from registered sources, signed. Events with equal keys are decided in their order.",
    ),
    "resedge.status": ("status", "Reports from stores. Nothing is sent there yet."),
    "resedge.events.dlq": ("eventsDeadLetters", "Kept for events that cannot be published. Nothing is sent there yet."),
    "resedge.inbox.dlq": (
        "inboxDeadLetters",
        "What came by `resedge.inbox` and was refused, as it came, with the name of its dead letter and the reason.",
    ),
    "resedge.status.dlq": ("statusDeadLetters", "What came by `resedge.status` and was refused. Nothing yet."),
}


def _text(description: str, **more: Any) -> dict[str, Any]:
    return {"type": "string", "description": description, **more}


def _headers(required: list[str], **properties: dict[str, Any]) -> dict[str, Any]:
    named = {name.replace("__", "-"): schema for name, schema in properties.items()}
    return {"type": "object", "required": required, "properties": named}


CLOUDEVENT = {
    "ce_specversion": {"const": "1.0", "description": "CloudEvents 1.0, binary mode."},
    "ce_id": _text("Names the event together with ce_source."),
    "ce_source": _text("Who says it."),
    "ce_type": _text("What it says."),
    "ce_subject": _text("What it speaks of."),
    "ce_time": _text("When it was recorded, RFC 3339.", format="date-time"),
    "content__type": _text("The media type of the value."),
}

EVENT_HEADERS = _headers(
    ["ce_specversion", "ce_id", "ce_source", "ce_type", "ce_subject", "ce_time", "ce_position", "ce_epoch", "ce_actor"],
    **CLOUDEVENT
    | {
        "ce_id": _text("<stream>/<version>"),
        "ce_source": _text("resedge/<service>"),
        "ce_subject": _text("The stream."),
        "ce_position": _text("The place in the log, from 1, without gaps."),
        "ce_epoch": _text("The incarnation of the log."),
        "ce_actor": _text("Whose fact it is."),
        "ce_correlationid": _text("The request that it belongs to."),
        "ce_causationid": _text("What it follows from; `inbox:<type> <source> <id>` for an external event."),
        "ce_traceparent": _text("W3C trace context."),
        "traceparent": _text("The same, for tools."),
        "resedge_envelope": _text("The exact bytes of the log's envelope."),
        "resedge_hash": _text("The chain hash after the event, 32 bytes."),
        "resedge_previous": _text("The chain hash before it, 32 bytes."),
    },
)
INBOX_HEADERS = _headers(
    ["ce_specversion", "ce_id", "ce_source", "ce_type", "ce_signature"],
    **CLOUDEVENT | {"ce_signature": _text("Ed25519 over the attributes and the SHA-256 of the value, in base64.")},
)
STRUCTURED_HEADERS = _headers(
    ["content-type", "ce_signature"],
    content__type={"const": "application/cloudevents+json"},
    ce_signature=_text("Ed25519 over the attributes and the SHA-256 of the value, in base64."),
)
DEAD_HEADERS = _headers(
    ["resedge_letter", "resedge_code", "resedge_reason"],
    resedge_letter=_text("The dead letter; see resedge dead-letters show."),
    resedge_code=_text("The code of the problem that it was refused with."),
    resedge_reason=_text("The detail of that problem."),
    resedge_cut=_text("`true` where the message would be too large here: the rest of it is in the log alone."),
)
STRUCTURED_EVENT = {
    "type": "object",
    "required": ["specversion", "id", "source", "type"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": _text("Names the event together with source."),
        "source": _text("The source that a Source document registers."),
        "type": _text("One of the types of schemas/inbox, or one that the Source maps."),
        "subject": _text("What it speaks of.", type=["string", "null"]),
        "time": _text("RFC 3339.", type=["string", "null"], format="date-time"),
        "datacontenttype": {"enum": ["application/json", None]},
        "data": {"description": "As the schema of the type says."},
    },
}


def _short(type_name: str) -> str:
    """Return `inventory.StoreDeclared.v1` as a component is named: `inventory-StoreDeclared-v1`."""
    return type_name.removeprefix("dev.resedge.").replace(".", "-")


def _first_sentence(cls: type) -> str:
    return (cls.__doc__ or cls.__name__).strip().splitlines()[0]


def _messages(types: Mapping[str, type], folder: str, headers: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, cls in sorted(types.items()):
        yield (
            _short(name),
            {
                "name": name,
                "title": cls.__name__,
                "summary": _first_sentence(cls),
                "contentType": "application/json",
                "headers": {"$ref": f"#/components/schemas/{headers}"},
                "payload": {"schemaFormat": SCHEMA_FORMAT, "schema": {"$ref": f"./{folder}/{name}.json"}},
                "bindings": {"kafka": {"key": {"type": "string"}}},
            },
        )


def _channel(topic: Topic, messages: Mapping[str, str]) -> dict[str, Any]:
    retention = int(topic.configs["retention.ms"])
    binding = {
        "topic": topic.name,
        "partitions": topic.partitions,
        "topicConfiguration": {
            "cleanup.policy": [topic.configs["cleanup.policy"]],
            "max.message.bytes": int(topic.configs["max.message.bytes"]),
            "retention.ms": retention,
        },
    }
    channel: dict[str, Any] = {"address": topic.name, "description": CHANNELS[topic.name][1]}
    if messages:
        channel["messages"] = {name: {"$ref": f"#/components/messages/{of}"} for name, of in messages.items()}
    return channel | {"bindings": {"kafka": binding}}


def asyncapi_document() -> dict[str, Any]:
    """Return the whole document; `cli.embedded` has imported every event type."""
    events = dict(_messages(event_types(), "events", "EventHeaders"))
    external = dict(_messages(external_types(), "inbox", "InboxHeaders"))
    extra = {
        "StructuredEvent": {
            "title": "An external event in structured mode",
            "contentType": "application/cloudevents+json",
            "headers": {"$ref": "#/components/schemas/StructuredHeaders"},
            "payload": {"$ref": "#/components/schemas/StructuredEvent"},
        },
        "DeadLetter": {
            "title": "A refused message, as it came",
            "headers": {"$ref": "#/components/schemas/DeadLetterHeaders"},
            "payload": {"description": "The value of the message that was refused, whatever it was."},
        },
    }
    carried: dict[str, dict[str, str]] = {
        "resedge.events": {name: name for name in events},
        "resedge.inbox": {name: name for name in [*external, "StructuredEvent"]},
        "resedge.inbox.dlq": {"DeadLetter": "DeadLetter"},
    }
    return {
        "asyncapi": _VERSION,
        "info": {
            "title": "Resilient Edge",
            "version": "v1",
            "description": "What travels by Kafka. The log is the truth, Kafka a doorbell: all of it can be lost.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "kafka": {
                "host": "{bootstrap}",
                "protocol": "kafka",
                "variables": {"bootstrap": {"default": "localhost:9092", "description": "RESEDGE_KAFKA_SERVERS"}},
            }
        },
        "channels": {CHANNELS[topic.name][0]: _channel(topic, carried.get(topic.name, {})) for topic in TOPICS},
        "operations": {
            "publishEvents": _operation("send", "events", "The relay publishes the log, in order, at least once."),
            "followEvents": _operation("receive", "events", "Every process follows all events, each for itself."),
            "receiveExternalEvents": _operation(
                "receive", "inbox", "The relay decides about each, in the order of its key."
            ),
            "tellOfDeadLetters": _operation("send", "inboxDeadLetters", "The relay tells of what it refused."),
        },
        "components": {
            "messages": {**events, **external, **extra},
            "schemas": {
                "EventHeaders": EVENT_HEADERS,
                "InboxHeaders": INBOX_HEADERS,
                "StructuredHeaders": STRUCTURED_HEADERS,
                "StructuredEvent": STRUCTURED_EVENT,
                "DeadLetterHeaders": DEAD_HEADERS,
            },
        },
    }


def _operation(action: str, channel: str, summary: str) -> dict[str, Any]:
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}, "summary": summary}


def asyncapi_text() -> str:
    """Return the document as it is committed."""
    head = "# Made by `python -m scripts.schemas`; do not edit.\n"
    return head + yaml.safe_dump(asyncapi_document(), sort_keys=False, width=120, allow_unicode=True)
