"""How a command is executed: idempotency, read your writes, decide on the fleet, append under a guard, retry.

The one rule: a decision is appended only if everything that it read still holds; otherwise the process catches up and
decides again, a bounded number of times.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol, TypeVar

from libs.access.judging import judged
from libs.commands.documents import DocumentsView, Row
from libs.commands.intents import Intent
from libs.commands.kinds import ABSENT, DeclaredKind, Make
from libs.commands.metrics import DECISIONS_AGAIN, appending
from libs.commands.positions import Follower, Positions
from libs.commands.problems import problem_of
from libs.commands.proposals import (
    Answer,
    Proposal,
    Propose,
    answer_of,
    kept_answer,
    shown_event,
    sized,
    submission_of,
    unchanged_answer,
)
from libs.commands.reaching import reach_of
from libs.contracts import Event
from libs.contracts.problems import Problem, not_found, unavailable
from libs.contracts.refusals import Rejected
from libs.eventlog import (
    AlreadyAppended,
    Appended,
    EventLog,
    Expired,
    FencedOut,
    GuardConflict,
    IdempotencyConflict,
    Outcome,
    StoredEvent,
    VersionConflict,
)
from libs.fleet import Fleet
from libs.fleet.forking import forked
from libs.selection import SelectionError

_ATTEMPTS_MAX = 12
ATTEMPTS_OF_MANY_MAX = 40
"""For a change of many documents: its decision takes longer, so other processes append meanwhile more often."""
_INLINE_EVENTS_MAX = 500
"""Events that are encoded in the event loop; more go to a thread."""

C = TypeVar("C")
S = TypeVar("S")


class FleetFollower(Follower, Protocol):
    """The process's fleet and how far it is (libs.fleet.FleetModel)."""

    @property
    def fleet(self) -> Fleet:
        """The facts folded so far."""


@dataclass(slots=True)
class Turns:
    """A lock for guarded decisions of this process, so that they seldom have to be repeated.

    `last` is the position of the last event that a guarded decision appended. While `alone`, decisions without a guard
    take turns too: otherwise they would always overtake a change of many documents, which takes long to decide.
    """

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    last: int = 0
    alone: bool = False


class Commands:
    """Executes the commands of one service."""

    def __init__(
        self,
        *,
        log: EventLog,
        facts: FleetFollower,
        view: DocumentsView,
        positions: Positions,
        clock: Callable[[], datetime],
        turns: Turns,
    ) -> None:
        self._log = log
        self.facts = facts
        self.view = view
        self.positions = positions
        self.clock = clock
        self._turns = turns

    async def declare(self, kind: DeclaredKind[C, S], name: str, make: Make[C], intent: Intent) -> Answer:
        """Execute the declaring command of a document."""
        return await self.change(lambda facts: self.propose(kind, name, make, intent, facts), intent)

    async def remove(self, kind: DeclaredKind[C, S], name: str, intent: Intent) -> Answer:
        """Execute the removing command; 404 if the thing does not exist."""

        async def propose(facts: Fleet) -> Proposal:
            return await self.propose(
                kind, name, lambda actor, at: kind.remove(name, actor, at), intent, facts, removing=True
            )

        return await self.change(propose, intent)

    async def propose(
        self,
        kind: DeclaredKind[C, S],
        name: str,
        make: Make[C],
        intent: Intent,
        facts: Fleet,
        removing: bool = False,
    ) -> Proposal:
        """Decide the declaring (or removing) command of one thing on `facts`, without appending."""
        row = await self.view.row(kind.kind, name)
        return self.decided(kind, name, make, intent, facts, row, removing=removing)

    def decided(
        self,
        kind: DeclaredKind[C, S],
        name: str,
        make: Make[C],
        intent: Intent,
        facts: Fleet,
        row: Row | None,
        *,
        removing: bool = False,
    ) -> Proposal:
        """Decide as `propose` does, on the last declaration of the thing (`row`)."""
        state = ABSENT if row is None else row.state()
        version = 0 if row is None else row.version
        stream = kind.stream(name)
        for assumed_stream, event in intent.assume:
            state = kind.evolve(state, event) if assumed_stream == stream else state
        if removing and state == ABSENT:
            raise not_found(kind.kind.lower(), name)
        intent.check_version(version, exists=state != ABSENT)
        command = make(intent.actor, self.clock())
        events = _authored(kind.decide(command, state, facts), kind, intent)
        created = state == ABSENT and not removing
        body = {
            "result": "deleted" if removing else "created" if created else "configured",
            "warnings": kind.warnings(command, facts),
        }
        return Proposal(
            events=[(stream, event) for event in events],
            expected={stream: version},
            guards=kind.guarded_by(command, state),
            status=201 if created else 200,
            body=body,
            stream=stream,
            version=version,
            to_document=lambda event: kind.to_document(event, facts),
        )

    async def judged(self, proposal: Proposal, facts: Fleet, intent: Intent) -> Proposal:
        """Return a proposal that was decided on `facts` as its author may append it.

        Raises:
            Problem: 403, it is beyond the rights of the sender; 422 `too-large`, the log accepts no such event.
        """
        found = proposal.under(await judged(proposal, facts, intent, self.clock()))
        if len(found.events) <= _INLINE_EVENTS_MAX:
            return sized(found)
        return await asyncio.to_thread(sized, found)

    async def change(self, decide: Propose, intent: Intent) -> Answer:
        """Execute a change: return an earlier outcome, or wait, decide and append; for a dry run, only decide.

        Raises:
            Problem: 409 `idempotency-conflict`, 412, 504 `position-timeout`, 503 `contended`.
            Rejected: the decider refused.
        """
        if not intent.dry_run and (earlier := await self._earlier(intent)) is not None:
            return earlier

        async def propose(facts: Fleet) -> Proposal:
            proposal = await self.judged(await decide(facts), facts, intent)
            if not intent.reach or not proposal.events:
                return proposal
            reach = await reach_of(facts, [event for _, event in proposal.events])
            return replace(proposal, body={**proposal.body, "reach": reach})

        await self.positions.seen(intent.position, self.facts, self.view, by_log=True)
        if intent.dry_run:
            return await self._try_out(propose, intent)
        first = await self._decide(propose)
        if not first[0].guards and not self._turns.alone:
            return await self._carry(propose, intent, first, in_turn=False)
        async with self._turns.lock:
            self._turns.alone = bool(first[0].runs)
            try:
                if self._turns.last > first[1]:
                    await self.positions.seen(self._turns.last, self.facts, self.view, by_log=True)
                    first = await self._decide(propose)
                answer = await self._carry(propose, intent, first, in_turn=True)
            finally:
                self._turns.alone = False
            self._turns.last = max(self._turns.last, answer.position)
            return answer

    async def _carry(self, propose: Propose, intent: Intent, first: tuple[Proposal, int], *, in_turn: bool) -> Answer:
        """Append what was decided, and decide again while somebody was faster.

        Whoever lost once decides again in turn, so that many changes of one thing do not starve each other.
        """
        proposal, position = first
        for attempt in range(ATTEMPTS_OF_MANY_MAX if proposal.runs else _ATTEMPTS_MAX):
            async with contextlib.nullcontext() if in_turn or not attempt else self._turns.lock:
                if attempt:
                    DECISIONS_AGAIN.inc()
                    await self.catch_up()
                    proposal, position = await self._decide(propose)
                if not proposal.events and (intent.key is None or not intent.remembers_unchanged):
                    return unchanged_answer(proposal, position)
                with appending(len(proposal.events)):
                    outcome = await self._append(proposal, _seen(proposal, position), intent)
            if (answer := _answered(outcome, proposal, position)) is not None:
                return answer
        raise unavailable("there are too many concurrent changes of the same things", code="contended", fix="try again")

    async def _append(self, proposal: Proposal, position: int, intent: Intent) -> Outcome:
        if len(proposal.events) <= _INLINE_EVENTS_MAX:
            return await self._log.append_async(submission_of(proposal, position, intent))
        # Encoding and hashing tens of thousands of events takes a second, in which the event loop has to answer others.
        return await asyncio.to_thread(lambda: self._log.append(submission_of(proposal, position, intent)))

    async def _decide(self, propose: Propose) -> tuple[Proposal, int]:
        """Decide; an outcome without events (refused, unchanged) is decided at the log's head: no append checks it."""
        # Positions are read first: events folded while the proposal reads can only make the guard stricter.
        position = self.facts.position
        seen = min(position, self.view.position)
        try:
            proposal = await _understood(propose, self.facts.fleet)
            if proposal.events:
                return proposal, position
        except (Problem, Rejected):
            if not await self._behind(seen):
                raise
        else:
            if not await self._behind(seen):
                return proposal, position
        await self.catch_up()
        position = self.facts.position
        return await _understood(propose, self.facts.fleet), position

    async def _behind(self, seen: int) -> bool:
        return (await asyncio.to_thread(self._log.head)).position > seen

    async def history(self, stream: str) -> list[StoredEvent]:
        """Return all events of a stream, as the log holds them now."""
        return await asyncio.to_thread(self._log.read_stream, stream)

    async def catch_up(self) -> None:
        """Wait until facts and view have seen the log's head as of now.

        Raises:
            Problem: 504 `position-timeout`.
        """
        head = await asyncio.to_thread(self._log.head)
        await self.positions.seen(head.position, self.facts, self.view, by_log=True)

    async def _try_out(self, propose: Propose, intent: Intent) -> Answer:
        await self.catch_up()
        position = self.facts.position
        fork = await forked(self.facts.fleet, (event for _, event in intent.assume))
        proposal = await _understood(propose, fork)
        shown = proposal.events if proposal.shown is None else proposal.shown
        counted = proposal.shown is not None  # a bulk change reports how many are unchanged, even if all are
        result = dict(proposal.body) if proposal.events or counted else {"result": "unchanged", "warnings": []}
        body = {**result, "events": [shown_event(stream, event) for stream, event in shown]}
        return Answer(200, body, proposal.version, position, proposal.events)

    async def _earlier(self, intent: Intent) -> Answer | None:
        if intent.key is None:
            return None
        outcome = await asyncio.to_thread(self._log.outcome_of, intent.key)
        if outcome is None:
            return None
        if outcome.content_digest != intent.digest:
            raise _other_content()
        return answer_of(outcome.answer, outcome)


def _authored(events: Sequence[Event], kind: DeclaredKind[Any, Any], intent: Intent) -> list[Event]:
    """Return events in which a removal says who removed the thing, with which token, from where, and why."""

    def told(event: Any) -> Event:
        return replace(event, by=intent.by, reason=intent.reason)

    return [told(event) if type(event) is kind.removed else event for event in events]


def _answered(outcome: Outcome, proposal: Proposal, position: int) -> Answer | None:
    """Return the answer to a change by what the log said; None: decide it again.

    Raises:
        Problem: 409 `idempotency-conflict`, 503 `consumer-stopped`, `fenced-out`.
    """
    match outcome:
        case Appended():
            return answer_of(kept_answer(proposal), outcome)
        case AlreadyAppended():
            return answer_of(outcome.answer, outcome)
        case IdempotencyConflict():
            raise _other_content()
        case GuardConflict(category="", position=head):
            raise unavailable(
                f"the log ends at {head}, before position {position}: it was restored from a backup",
                code="consumer-stopped",
                fix="see GET /readyz?verbose",
            )
        case VersionConflict() | GuardConflict() | Expired():
            return None
        case FencedOut():
            raise unavailable("another process is the writer now", code="fenced-out")


async def _understood(propose: Propose, facts: Fleet) -> Proposal:
    """Return the proposal; an expression that cannot be used becomes a problem here."""
    try:
        return await propose(facts)
    except SelectionError as error:
        raise problem_of(error) or error from None


def _seen(proposal: Proposal, position: int) -> int:
    """Return the position of a proposal's guards: the lowest position of all who decided a part of it."""
    return position if proposal.seen is None else min(position, proposal.seen)


def _other_content() -> Problem:
    return Problem(
        409,
        "idempotency-conflict",
        "The idempotency key was used for another request.",
        "an earlier request had this Idempotency-Key and other content",
        fix="use a new key for a new request",
    )
