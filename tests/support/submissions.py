"""Short builders of submissions to the event log."""

from __future__ import annotations

import hashlib
from typing import Any

from libs.eventlog import Appended, EventLog, NewEvent, Submission

TYPE = "dev.resedge.inventory.StoreRemoved.v1"


def new(stream: str, data: bytes | None = None) -> NewEvent:
    """Return a small event for a stream."""
    return NewEvent(stream, TYPE, data if data is not None else b'{"name":"%s"}' % stream.encode(errors="replace"))


def submission(*streams: str, **options: Any) -> Submission:
    """Return a submission of one small event a stream."""
    return Submission([new(stream) for stream in streams], options.pop("actor", "test"), **options)


def taken(log: EventLog, *streams: str, **options: Any) -> Appended:
    """Append one small event a stream, which must be taken."""
    outcome = log.append(submission(*streams, **options))
    assert isinstance(outcome, Appended), outcome
    return outcome


def blob_of(data: bytes) -> dict[str, bytes]:
    """Return a blob under its digest."""
    return {hashlib.sha256(data).hexdigest(): data}
