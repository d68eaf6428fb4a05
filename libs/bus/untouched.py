"""Parsers for FastStream's subscribers that leave Kafka's messages as they are.

Nothing is copied or decoded here; the code that reads headers and value interprets them.
"""

from __future__ import annotations

from typing import Any

from faststream.kafka.message import KafkaAckableMessage


def untouched(raw: Any, message_id: str, consumer: Any) -> KafkaAckableMessage:
    """Wrap a record, or a batch of them, so that it can be acknowledged by hand."""
    return KafkaAckableMessage(
        body=b"",
        headers={},
        reply_to="",
        content_type=None,
        message_id=message_id,
        correlation_id="",
        raw_message=raw,
        consumer=consumer,
    )


async def as_it_is(message: Any, _original: Any = None) -> Any:
    """Return a message undecoded, as a subscriber's decoder."""
    return message
