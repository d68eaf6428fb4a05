"""What a decision proposes to append, and its answer: now, and when the same request is repeated.

An event that the log would not accept is refused here, before anything is appended.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from libs.access.judging import Judgement
from libs.commands.intents import Intent
from libs.commands.problems import event_too_large
from libs.contracts import Event, encode, type_name
from libs.eventlog import AlreadyAppended, Appended, EventTooLarge, Guard, NewEvent, Submission, check_events
from libs.fleet import Fleet


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """The events that a decision would append, their conditions, and the answer.

    `expected` maps streams to the version that the decision saw; `guards` are the categories whose facts it read. The
    version of `stream` becomes the `ETag`; `version` is its version now. The answer is `body` with version and
    position; without events it is `unchanged` (204 by default).
    """

    events: Sequence[tuple[str, Event]] = ()
    expected: Mapping[str, int] = field(default_factory=dict)
    guards: tuple[str, ...] = ()
    blobs: Mapping[str, bytes] = field(default_factory=dict)
    status: int = 200
    body: Mapping[str, Any] = field(default_factory=dict)
    unchanged: tuple[int, Mapping[str, Any] | None] = (204, None)
    stream: str | None = None
    version: int = 0
    expires_at: datetime | None = None
    """The time after which the decision is made again instead of appended."""
    shown: Sequence[tuple[str, Event]] | None = None
    """What a dry run shows instead of `events`, if all of them would be too much."""
    runs: Sequence[tuple[str, int]] = ()
    """The kind whose right each event needs, if they are of several kinds: (kind, number of events), in order."""
    seen: int | None = None
    """The lowest position that any decider of a part had read, if that may be less than this process's."""
    encoded: Sequence[NewEvent] = ()
    """The events as the log takes them, once their sizes have been checked (`sized`)."""
    to_document: Callable[[Event], Mapping[str, Any]] | None = None
    """The document that declared each event: if an event is too large, the problem's pointer is into it."""

    def under(self, judgement: Judgement) -> Proposal:
        """Return the proposal with the conditions under which it may be appended."""
        conditions = replace(self, guards=judgement.guards, expires_at=judgement.expires_at)
        if judgement.withheld is None:
            return conditions
        first = judgement.withheld
        return replace(
            conditions,
            events=[first, *judgement.asks, *self.events],
            expected={**self.expected, **{stream: 0 for stream, _ in (first, *judgement.asks)}},
            shown=None if self.shown is None else [first, *judgement.asks, *self.shown],
            body={**self.body, "warnings": [*self.body.get("warnings", ()), judgement.warning]},
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a change."""

    status: int
    body: Mapping[str, Any] | None
    version: int | None
    position: int
    events: Sequence[tuple[str, Event]] = ()
    first: int = 0
    """The position of the first appended event (`position` is that of the last); 0: none was appended."""


Propose = Callable[[Fleet], Awaitable[Proposal]]
"""Reads what it needs and decides on the facts; may be called several times."""


def shown_event(stream: str, event: Event) -> dict[str, Any]:
    """Return an event that would be appended, as dry runs show it and `assume` takes it."""
    return {"stream": stream, "type": type_name(event), "data": json.loads(encode(event))}


def unchanged_answer(proposal: Proposal, position: int) -> Answer:
    """Return the answer to a proposal without events."""
    status, body = proposal.unchanged
    body = None if body is None else {**body, "position": position}
    return Answer(status, body, proposal.version if proposal.stream else None, position)


def kept_answer(proposal: Proposal) -> bytes:
    """Return the part of an answer that the log keeps; an unchanged one has no event that gives its version."""
    if proposal.events:
        remembered = {"status": proposal.status, "body": dict(proposal.body), "stream": proposal.stream}
    else:
        unchanged = unchanged_answer(proposal, 0)
        remembered = {"status": unchanged.status, "body": unchanged.body, "stream": None, "version": unchanged.version}
    return json.dumps(remembered).encode()


def sized(proposal: Proposal) -> Proposal:
    """Return a proposal with its events encoded; the one place that refuses events that are too large."""
    encoded = [NewEvent.of(stream, event) for stream, event in proposal.events]
    for each in encoded:
        try:
            check_events([each])
        except EventTooLarge as error:
            document = None if proposal.to_document is None else proposal.to_document(each.event)
            raise event_too_large(error, document) from error
    return replace(proposal, encoded=encoded)


def submission_of(proposal: Proposal, position: int, intent: Intent) -> Submission:
    """Return the submission for the log, valid if nothing that was read up to `position` has changed."""
    return Submission(
        events=proposal.encoded or [NewEvent.of(stream, event) for stream, event in proposal.events],
        actor=intent.actor,
        expected=proposal.expected,
        guard=Guard(proposal.guards, position),
        blobs=proposal.blobs,
        key=intent.key,
        content_digest=intent.digest,
        answer=kept_answer(proposal),
        correlation_id=intent.request_id,
        causation_id=intent.causation,
        traceparent=intent.traceparent,
        expires_at=proposal.expires_at,
    )


def answer_of(remembered: bytes, outcome: Appended | AlreadyAppended) -> Answer:
    """Return the answer that the log keeps, with its position."""
    answer = json.loads(remembered)
    stream, body = answer["stream"], answer["body"]
    if "version" in answer:  # it was unchanged
        body = None if body is None else {**body, "position": outcome.last}
        return Answer(answer["status"], body, answer["version"], outcome.last)
    version = outcome.versions.get(stream) if stream else None
    counted = {} if version is None else {"version": version}
    body = {**body, **counted, "position": outcome.last}
    return Answer(answer["status"], body, version, outcome.last, first=outcome.first)
