"""The inbox: an external event is recorded once under (source, id), or becomes a dead letter, or must be sent again.

The one rule: each (source, id) has one outcome, which is in the log before the sender is told: the command's own event,
`EventNoted` (it changed nothing) or `EventRefused` are appended under the same idempotency key, so that the log's head
lock decides which of them it is. Only an event from its authenticated source may use that key.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import structlog
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from libs.commands.commands import Commands
from libs.commands.intents import relayed_key
from libs.commands.problems import problem_of
from libs.contracts import Event, EventNoted, EventRefused, SourceDeclared, stream_id
from libs.contracts.problems import Problem, unavailable
from libs.contracts.refusals import Rejected
from libs.eventlog import (
    AlreadyAppended,
    Appended,
    EventLog,
    IdempotencyConflict,
    NewEvent,
    Submission,
)
from services.relay.domain.external import Instruction, Publish, instruction
from services.relay.inbox_commands import ApiCommands, Order
from services.relay.inbox_events import (
    EXTERNAL_EVENT_BYTES_MAX,
    HEADERS_BYTES_MAX,
    SIGNATURE,
    ExternalEvent,
    Received,
    causation_of,
    claimed,
    header_bytes,
    letter_name,
    parse_event,
)
from services.relay.inbox_manifests import Fetcher, fetched
from services.relay.signatures import verified

ACCEPTED, UNCHANGED, REFUSED = "accepted", "unchanged", "refused"
BODY_SHOWN_BYTES_MAX = 64 * 1024
BODY_ENCODED_BYTES_MAX = 128 * 1024
"""What that may be as JSON, where every byte may need an escape."""
_REASON_CHARACTERS_MAX = 2_000
_ANSWER_BYTES_MAX = 64 * 1024
SERVER_FAILS = 500
SECRET = frozenset({"secret-data"})
"""Events refused with these codes are not kept: the log holds no secrets, not even in a dead letter."""
_RELAY = "relay"
"""Who refuses an event that nobody vouches for."""

log = structlog.get_logger("resedge.inbox")
_propagator = TraceContextTextMapPropagator()


@dataclass(frozen=True, slots=True)
class EventOutcome:
    """What became of an event; `letter` names it in the inbox and, refused, among the dead letters."""

    source: str
    id: str
    outcome: str
    position: int
    letter: str
    problem: Mapping[str, Any] | None = None

    def document(self) -> dict[str, Any]:
        """Return the answer to the sender."""
        said = {"source": self.source, "id": self.id, "outcome": self.outcome, "position": self.position}
        refused = {} if self.problem is None else {"letter": self.letter, "problem": dict(self.problem)}
        return said | refused


@dataclass(frozen=True, slots=True)
class _Case:
    """An event in progress: the key of its outcome, and the source in a record of its refusal."""

    received: Received
    event: ExternalEvent
    letter: str
    key: str
    actor: str
    digest: str
    retry: Retry | None = None


@dataclass(frozen=True, slots=True)
class Retry:
    """The n-th retry of a dead letter; if it is refused again, it stays this letter."""

    letter: str
    attempt: int

    @property
    def key(self) -> str:
        """The key of this attempt."""
        return f"{self.letter}/{self.attempt}"


class Inbox:
    """Receives external events, one at a time or several at once; repeated calls for the same event are safe."""

    def __init__(self, *, log: EventLog, commands: Commands, api: ApiCommands, fetcher: Fetcher) -> None:
        self._log = log
        self._commands = commands
        self._api = api
        self._fetcher = fetcher

    async def receive(self, received: Received, retry: Retry | None = None) -> EventOutcome:
        """Return the outcome of an event, now or before; `retry` names the dead letter that it is kept as.

        Raises:
            Problem: 503 or 504, it is not decided yet: send it again.
        """
        try:
            event = parse_event(received)
        except (Rejected, Problem) as refusal:
            return await self._unvouched(received, ExternalEvent(*claimed(received)), refusal, retry)
        try:
            source = await self._vouched(received, event)
        except Problem as refusal:
            if refusal.status >= SERVER_FAILS:
                raise
            return await self._unvouched(received, event, refusal, retry)
        letter, digest = letter_name(event.source, event.id), event.content_digest()
        case = _Case(received, event, letter, letter, source.service_account, digest, retry)
        earlier = await asyncio.to_thread(self._log.outcome_of, relayed_key(letter))
        if earlier is not None and earlier.content_digest != digest:
            return await self._conflicting(case)
        if earlier is not None:
            outcome = _first(case, earlier)
            if outcome.outcome != REFUSED or retry is None:
                return outcome
            case = replace(case, key=retry.key)
        return await self._decided(case, source)

    async def gave_up(self, received: Received, error: Exception) -> EventOutcome:
        """Refuse an event on which our own code fails: a dead letter, for a later version to retry."""
        log.error("event failed", exc_info=error)
        detail = f"the relay fails on it: {type(error).__name__}"
        problem = Problem(500, "internal", "The server failed.", detail, fix="report it; then retry the dead letter")
        return await self._unvouched(received, ExternalEvent(*claimed(received)), problem, None)

    async def _vouched(self, received: Received, event: ExternalEvent) -> SourceDeclared:
        """Return the authenticated source of an event: by its token over HTTP, by its signature on Kafka.

        Raises:
            Problem: 403, none does; 503, the sources are not known yet.
        """
        commands = self._commands
        changed = await asyncio.to_thread(self._log.category_head, "source")
        await commands.positions.seen(changed, commands.facts)
        source = next((each for each in commands.facts.fleet.sources.values() if each.source == event.source), None)
        if source is None:
            raise Problem(
                403,
                "unregistered-source",
                "No such source is registered.",
                f"no Source document has source {event.source[:160]}",
                fix="declare a Source, then retry the dead letter",
            )
        if received.principal:
            if received.principal != source.service_account:
                raise Problem(
                    403,
                    "source-mismatch",
                    "The token does not belong to the source of the event.",
                    f"{source.name} sends as {source.service_account}, this token is {received.principal}'s",
                    fix="send it with the service account's token",
                )
            return source
        signature = received.headers.get(f"ce-{SIGNATURE}", "")
        attributes = event.attributes
        if not source.public_key or not verified(
            source.public_key, signature, attributes, received.body, structured=received.structured
        ):
            raise Problem(
                403,
                "bad-signature",
                "The signature of the event does not verify.",
                f"it is not signed with the key of {source.name}" if source.public_key else f"{source.name} has no key",
                fix="sign it with the source's private key; see docs/how-to/send-events-from-outside.md",
            )
        return source

    async def _decided(self, case: _Case, source: SourceDeclared) -> EventOutcome:
        try:
            ours, wanted = instruction(source, case.event.type, case.event.data)
            wanted = await self._complete(source, wanted)
            order = Order(case.actor, case.key, case.digest, causation_of(case.event, ours))
            done = await self._api.carry_out(wanted, order)
        except (Problem, Rejected) as refusal:
            problem = _problem(refusal)
            if problem.status >= SERVER_FAILS:
                raise
            if problem.code == "idempotency-conflict":  # the same (source, id) came at the same time, with more data
                return await self._conflicting(case)
            return await self._refused(case, problem)
        if not done.unchanged:
            return EventOutcome(case.event.source, case.event.id, ACCEPTED, done.position, case.letter)
        noted = EventNoted(case.event.source, case.event.id, ours)
        answer = {"outcome": UNCHANGED}
        return await self._kept(case, stream_id("inbox", case.letter), noted, answer, {})

    async def _complete(self, source: SourceDeclared, wanted: Instruction) -> Instruction:
        if not isinstance(wanted, Publish) or wanted.reference is None:
            return wanted
        manifests = await fetched(source, wanted.reference, self._fetcher)
        return Publish(wanted.application, wanted.version, {**wanted.body, "manifests": manifests})

    async def _unvouched(
        self, received: Received, event: ExternalEvent, refusal: Exception, retry: Retry | None
    ) -> EventOutcome:
        """Refuse an unauthenticated event, under a key of its own: nobody may use another's (source, id)."""
        digest = received.digest()
        letter = letter_name("unvouched", event.source, event.id, digest)
        actor = received.principal or _RELAY
        return await self._refused(_Case(received, event, letter, letter, actor, digest, retry), _problem(refusal))

    async def _conflicting(self, case: _Case) -> EventOutcome:
        letter = letter_name(case.event.source, case.event.id, case.digest)
        problem = Problem(
            409,
            "idempotency-conflict",
            "The source and id were already used for another event.",
            f"an earlier event {case.event.id} of {case.event.source} has other content",
            fix="give every event an id of its own",
        )
        return await self._refused(replace(case, letter=letter, key=letter), problem)

    async def _refused(self, case: _Case, problem: Problem) -> EventOutcome:
        if case.retry is not None:
            case = replace(case, letter=case.retry.letter, key=case.retry.key)
        document = problem.document("")
        document.pop("request_id", None)
        text, digest, blobs = ("", "", {}) if problem.code in SECRET else _shown(case.received.body)
        event = EventRefused(
            letter=case.letter,
            source=case.event.source,
            id=case.event.id,
            type=case.event.type,
            code=problem.code,
            reason=problem.detail[:_REASON_CHARACTERS_MAX],
            body=text,
            blob=digest,
            headers=_kept_headers(case.received.headers),
            principal=case.received.principal,
        )
        answer = {"outcome": REFUSED, "problem": _bounded(document)}
        log.warning("event refused", letter=case.letter, code=problem.code, source=case.event.source)
        return await self._kept(case, stream_id("letter", case.letter), event, answer, blobs)

    async def _kept(
        self, case: _Case, stream: str, event: Event, answer: Mapping[str, Any], blobs: Mapping[str, bytes]
    ) -> EventOutcome:
        carrier: dict[str, str] = {}
        _propagator.inject(carrier)
        submission = Submission(
            events=[NewEvent.of(stream, event)],
            actor=case.actor,
            blobs=blobs,
            key=relayed_key(case.key),
            content_digest=case.digest,
            answer=json.dumps(answer).encode(),
            traceparent=carrier.get("traceparent"),
        )
        match await self._log.append_async(submission):
            case Appended(last=position):
                problem = answer.get("problem")
                return EventOutcome(case.event.source, case.event.id, answer["outcome"], position, case.letter, problem)
            case AlreadyAppended() as earlier:
                return _first(case, earlier)
            case IdempotencyConflict():
                return await self._conflicting(case)
            case other:
                raise unavailable(f"the log answers {type(other).__name__}")


def _first(case: _Case, earlier: AlreadyAppended) -> EventOutcome:
    """Return the outcome of an event's first arrival; the answer to a command means that it was accepted."""
    answer = json.loads(earlier.answer)
    outcome = answer.get("outcome", ACCEPTED)
    return EventOutcome(case.event.source, case.event.id, outcome, earlier.last, case.letter, answer.get("problem"))


def problem_of_outcome(outcome: EventOutcome) -> Problem:
    """Return the problem of a refused event for its sender."""
    said = dict(outcome.problem or {})
    names = ("status", "code", "title", "detail", "pointer", "fix")
    status, code, title, detail, pointer, fix = (said.get(name) for name in names)
    more = {key: value for key, value in said.items() if key not in {*names, "type"}}
    named = {"source": outcome.source, "id": outcome.id, "letter": outcome.letter}
    return Problem(int(status or 409), str(code), str(title), str(detail), pointer, fix, {**more, **named})


def _problem(refusal: Exception) -> Problem:
    problem = problem_of(refusal)
    if problem is None:
        raise refusal
    return problem


def _bounded(document: dict[str, Any]) -> dict[str, Any]:
    """Return a problem that fits the log's answer: without its extra members where they are many."""
    if len(json.dumps(document)) <= _ANSWER_BYTES_MAX:
        return document
    known = ("type", "code", "title", "status", "detail", "pointer", "fix")
    return {
        key: value[:_REASON_CHARACTERS_MAX] if isinstance(value, str) else value
        for key, value in document.items()
        if key in known
    }


def _kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers; those of an event that breaks their bound are cut there, so that the fact is bounded."""
    kept: dict[str, str] = {}
    size = 0
    for name, value in headers.items():
        size += header_bytes(name, value)
        if size > HEADERS_BYTES_MAX:
            break
        kept[name] = value
    return kept


def _shown(body: bytes) -> tuple[str, str, dict[str, bytes]]:
    """Return a body as text within bounds, and the blob of the whole body if the text is not all of it."""
    text = body[:BODY_SHOWN_BYTES_MAX].decode("utf-8", "replace")
    while len(msgspec.json.encode(text)) > BODY_ENCODED_BYTES_MAX:
        text = text[: len(text) // 2]
    if text.encode() == body or len(body) > EXTERNAL_EVENT_BYTES_MAX:
        return text, "", {}
    digest = hashlib.sha256(body).hexdigest()
    return text, digest, {digest: body}
