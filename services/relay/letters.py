"""People retry or skip dead letters, each with a reason that the log keeps.

An external event is retried exactly as it came, with its signature; it is accepted only if its source may send it now.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from libs.commands.commands import Commands
from libs.commands.proposals import Answer, Proposal
from libs.contracts import EventRefused, stream_id
from libs.contracts.names import nearest
from libs.contracts.problems import not_found
from libs.eventlog import EventLog, NewEvent, Submission
from services.relay.domain.letters import Command, RetryLetter, SettleLetter, SkipLetter, decide
from services.relay.inbox import REFUSED, EventOutcome, Inbox, Retry, problem_of_outcome
from services.relay.inbox_events import Received
from services.relay.projections import LetterRow, LettersView, after

if TYPE_CHECKING:
    from libs.commands.intents import Intent
    from libs.fleet import Fleet

_NEAR_MAX = 50
_EVENTS_MAX = 10_000


class DeadLetters:
    """Decides about dead letters."""

    def __init__(self, *, log: EventLog, commands: Commands, view: LettersView, inbox: Inbox) -> None:
        self._log = log
        self._commands = commands
        self._view = view
        self._inbox = inbox

    async def row(self, letter: str) -> LetterRow:
        """Return a letter from its stream in the log: this works even if the view itself has stopped.

        Raises:
            Problem: 404.
        """
        stored = await asyncio.to_thread(self._log.read_stream, stream_id("letter", letter), 0, _EVENTS_MAX)
        row: LetterRow | None = None
        for event in stored:
            row = after(row, letter, event.decoded())
        if row is None:
            known = [each.letter for each in await self._view.letters(None, _NEAR_MAX)]
            raise not_found("dead-letter", letter, nearest(letter, known))
        return row

    async def skip(self, letter: str, reason: str, intent: Intent) -> Answer:
        """Skip a letter; a consumer halted at it continues after it."""
        return await self._decide(letter, SkipLetter(letter, reason), intent, {"result": "skipped"})

    async def retry(self, letter: str, reason: str, intent: Intent) -> Answer:
        """Request the retry of a letter; an external event is retried at once.

        Raises:
            Problem: its refusal now; the letter stays open.
        """
        opened = (await self.row(letter)).opened
        answer = await self._decide(letter, RetryLetter(letter, reason), intent, {"result": "retried"})
        if intent.dry_run or answer.version is None or not isinstance(opened, EventRefused):
            return answer
        received = await asyncio.to_thread(self._received, opened)
        outcome = await self._inbox.receive(received, Retry(letter, answer.version))
        if outcome.outcome == REFUSED:
            raise problem_of_outcome(outcome)
        await self._settle(letter, outcome, intent)
        return Answer(200, {**outcome.document(), "result": outcome.outcome}, None, outcome.position)

    async def _decide(self, letter: str, command: Command, intent: Intent, body: Mapping[str, Any]) -> Answer:
        async def propose(_facts: Fleet) -> Proposal:
            row = await self.row(letter)
            stream = stream_id("letter", letter)
            return Proposal(
                events=[(stream, event) for event in decide(command, row.folded())],
                expected={stream: row.version},
                body={**body, "letter": letter, "warnings": []},
                stream=stream,
                version=row.version,
            )

        return await self._commands.change(propose, intent)

    async def _settle(self, letter: str, outcome: EventOutcome, intent: Intent) -> None:
        row = await self.row(letter)
        stream = stream_id("letter", letter)
        for event in decide(SettleLetter(letter, outcome.outcome), row.folded()):
            new = NewEvent.of(stream, event)
            # A second settling by somebody who retried at the same time says the same.
            await self._log.append_async(Submission([new], intent.actor, expected={stream: row.version}))

    def _received(self, opened: EventRefused) -> Received:
        body = self._log.blob(opened.blob) if opened.blob else opened.body.encode()
        return Received(opened.headers, body, opened.principal)
