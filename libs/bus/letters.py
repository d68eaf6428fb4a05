"""Dead letters of consumers: the events that record that a consumer is halted, and what somebody decides about it.

Both are events in the log, so that another replica, or a rebuild, that stops at the same place later does what was
decided, without being told.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import StrEnum

from libs.bus.contract import EventCannotBeApplied
from libs.contracts import ConsumerHalted, Event, LetterRetried, LetterSettled, LetterSkipped, type_name
from libs.eventlog import EventLog, NewEvent, Submission

_WHY_SETTLED = "it was applied when it was tried again"
_REASON_CHARACTERS_MAX = 2_000


class Verdict(StrEnum):
    """What somebody decided to do with a dead letter."""

    WAIT = "wait"
    RETRY = "retry"
    SKIP = "skip"


def letter_of(consumer: str, position: int) -> str:
    """Return the name of the letter: `fleet@1234`."""
    return f"{consumer}@{position}"


@dataclass(slots=True)
class Letter:
    """One consumer halted at one event, as this process knows it; `version` is that of the letter's stream as read."""

    halted: EventCannotBeApplied
    version: int = 0
    told: bool = field(default=False)

    @property
    def name(self) -> str:
        """The letter's name."""
        return letter_of(self.halted.consumer, self.halted.recorded.position)

    @property
    def stream(self) -> str:
        """The letter's stream."""
        return f"letter-{self.name}"


class Letters:
    """Writes and reads the letters of one process's consumers."""

    def __init__(self, log: EventLog, service: str) -> None:
        self._log = log
        self._service = service
        self._actor = f"resedge/{service}"

    async def verdict(self, letter: Letter) -> Verdict:
        """Record a letter that the log does not have as open, and return what has been decided about it since.

        Raises the log's errors when its database does not answer.
        """
        events = await asyncio.to_thread(self._log.read_stream, letter.stream, letter.version)
        first_look = not letter.told
        if events:
            letter.version = events[-1].version
        kinds = [event.type for event in events]
        if type_name(_SKIPPED) in kinds:
            return Verdict.SKIP
        if first_look:
            if not kinds or kinds[-1] != type_name(_halted(letter, "")):
                await self._append(letter, _halted(letter, self._service))
            letter.told = True
            return Verdict.WAIT
        return Verdict.RETRY if type_name(_RETRIED) in kinds else Verdict.WAIT

    async def settle(self, letter: Letter) -> None:
        """Record that the event was applied in the end."""
        await self._append(letter, LetterSettled(letter.name, _WHY_SETTLED))

    async def _append(self, letter: Letter, event: Event) -> None:
        """Append, unless another replica was faster with the same event."""
        submission = Submission(
            [NewEvent.of(letter.stream, event)],
            self._actor,
            expected={letter.stream: letter.version},
        )
        await self._log.append_async(submission)


_SKIPPED = LetterSkipped(letter="", reason="")
_RETRIED = LetterRetried("", "")


def _halted(letter: Letter, service: str) -> ConsumerHalted:
    recorded = letter.halted.recorded
    reason = letter.halted.reason[:_REASON_CHARACTERS_MAX]
    return ConsumerHalted(
        letter=letter.name,
        service=service,
        consumer=letter.halted.consumer,
        position=recorded.position,
        type=recorded.type,
        reason=reason,
    )
