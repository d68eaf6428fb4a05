"""The envelope's exact bytes, and the chain over them.

The one rule: the hash covers the stored bytes themselves, never a re-encoding: SHA-256 of the previous hash, then the
envelope and the data, each after its length in 8 big-endian bytes.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from hashlib import sha256

import msgspec

from libs.contracts.instants import UNIX_EPOCH

_MICROSECOND = timedelta(microseconds=1)


class Envelope(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything about an event but its data, in the order of its JSON; absent fields are left out.

    `submission` tells submissions without a key apart; `blobs` are the digests that came with a submission, on its
    first event.
    """

    position: int
    epoch: str
    stream: str
    version: int
    type: str
    time: datetime
    actor: str
    key: str | None = None
    submission: str | None = None
    correlation: str | None = None
    causation: str | None = None
    traceparent: str | None = None
    blobs: tuple[str, ...] = ()


encode_envelope = msgspec.json.Encoder().encode
decode_envelope = msgspec.json.Decoder(Envelope).decode


def chain(previous: bytes, envelope: bytes, data: bytes) -> bytes:
    """Return the chain hash after an event."""
    return sha256(
        b"".join((previous, len(envelope).to_bytes(8, "big"), envelope, len(data).to_bytes(8, "big"), data))
    ).digest()


def to_microseconds(time: datetime) -> int:
    """Return microseconds since the Unix epoch."""
    return (time - UNIX_EPOCH) // _MICROSECOND


def from_microseconds(count: int) -> datetime:
    """Return the UTC time that many microseconds after the Unix epoch."""
    return UNIX_EPOCH + timedelta(microseconds=count)
