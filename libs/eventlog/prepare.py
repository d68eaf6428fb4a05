"""Checks and digests of a submission, made in the caller's thread before the appender sees it.

A submission that passes here can only be refused because of what the log already holds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from libs.contracts import category_of
from libs.eventlog.model import (
    ANSWER_BYTES_MAX,
    BLOB_BYTES_MAX,
    EVENT_BYTES_MAX,
    NAME_BYTES_MAX,
    SUBMISSION_EVENTS_MAX,
    EventTooLarge,
    InvalidSubmission,
    NewEvent,
    Submission,
)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A submission that is within every bound. `token` tells submissions without a key apart."""

    submission: Submission
    streams: tuple[str, ...]
    content_digest: str
    token: str | None
    new_epoch: str | None = None


def prepare(submission: Submission, token: str) -> Prepared:
    """Check every bound.

    Raises:
        InvalidSubmission: with what is out of bounds, by how much, and what to do.
    """
    events = submission.events
    if not events and not (submission.key and submission.content_digest):
        raise InvalidSubmission("a submission needs at least one event, or a key and a content digest")
    if len(events) > SUBMISSION_EVENTS_MAX:
        raise InvalidSubmission(
            f"a submission of {len(events):,} events is over {SUBMISSION_EVENTS_MAX:,}: split it",
        )
    check_events(events)
    for name, text in (
        ("actor", submission.actor),
        ("key", submission.key),
        ("content digest", submission.content_digest),
        ("correlation id", submission.correlation_id),
        ("causation id", submission.causation_id),
        ("traceparent", submission.traceparent),
    ):
        if text:
            _check_name(name, text)
    _check_end("key", submission.key or "")
    if len(submission.answer) > ANSWER_BYTES_MAX:
        raise InvalidSubmission(f"the answer has {len(submission.answer):,} bytes, over {ANSWER_BYTES_MAX:,}")
    if submission.blobs:
        _check_blobs(submission)
    streams = (events[0].stream,) if len(events) == 1 else tuple(dict.fromkeys(event.stream for event in events))
    if submission.key is None:
        return Prepared(submission, streams, "", token)
    return Prepared(submission, streams, submission.content_digest or _digest(events), None)


def check_events(events: Sequence[NewEvent]) -> None:
    """Check the bounds of each event by itself.

    Raises:
        InvalidSubmission: a name is out of bounds.
        EventTooLarge: an event is.
    """
    for event in events:
        _check_again("stream", event.stream)
        _check_end("stream", event.stream)
        _check_again("event type", event.type)
        _check_end("event type", event.type)
        if len(event.data) > EVENT_BYTES_MAX:
            raise EventTooLarge(event.stream, event.data)


def _check_name(name: str, text: str) -> None:
    try:
        length = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidSubmission(f"the {name} {text!r} is not valid Unicode") from None
    if not 0 < length <= NAME_BYTES_MAX or "\0" in text:
        raise InvalidSubmission(f"the {name} {text[:80]!r} must have 1 to {NAME_BYTES_MAX} bytes and no NUL")


_check_again = lru_cache(maxsize=65_536)(_check_name)
"""A cache for repeated names: ids do not repeat, and would only fill it."""


def _check_end(name: str, text: str) -> None:
    """SQL Server compares `a ` equal to `a`, whatever the collation, so names must not end in a space anywhere."""
    if text.endswith(" ") or category_of(text).endswith(" "):
        raise InvalidSubmission(f"the {name} {text[:80]!r} must not end in a space, nor its part before the first dash")


def _check_blobs(submission: Submission) -> None:
    for digest, data in submission.blobs.items():
        if len(data) > BLOB_BYTES_MAX:
            raise InvalidSubmission(f"blob {digest} has {len(data):,} bytes, over {BLOB_BYTES_MAX:,}")
        if hashlib.sha256(data).hexdigest() != digest:
            raise InvalidSubmission(f"blob {digest} is not named by its SHA-256")


def _digest(events: Sequence[NewEvent]) -> str:
    digest = hashlib.sha256()
    for event in events:
        for part in (event.stream.encode(), event.type.encode(), event.data):
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
    return digest.hexdigest()
