"""A dead letter is open until it was applied, or until somebody skipped it.

Nothing is ever dropped silently: a retry and a skip are events, with author and reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from libs.contracts import ConsumerHalted, EventRefused, LetterRetried, LetterSettled, LetterSkipped
from libs.contracts.absent import Absent
from libs.contracts.refusals import Invalid, Rejected

if TYPE_CHECKING:
    from collections.abc import Sequence

_REASON_CHARACTERS_MAX = 1_000


@dataclass(frozen=True, slots=True)
class OpenLetter:
    """It waits: for a person, or (`tried`) for a consumer that was asked to retry."""

    opened: EventRefused | ConsumerHalted
    tried: bool = False


@dataclass(frozen=True, slots=True)
class ClosedLetter:
    """It was applied, or was skipped."""

    opened: EventRefused | ConsumerHalted
    skipped: bool


State = Absent | OpenLetter | ClosedLetter
Event = EventRefused | ConsumerHalted | LetterRetried | LetterSkipped | LetterSettled


class LetterClosed(Rejected):
    """The dead letter is already closed."""

    code = "letter-closed"


@dataclass(frozen=True, slots=True)
class RetryLetter:
    """Retry it."""

    letter: str
    reason: str


@dataclass(frozen=True, slots=True)
class SkipLetter:
    """Skip it; a consumer continues after it."""

    letter: str
    reason: str


@dataclass(frozen=True, slots=True)
class SettleLetter:
    """Record that it was applied."""

    letter: str
    how: str


Command = RetryLetter | SkipLetter | SettleLetter


def decide(command: Command, state: OpenLetter | ClosedLetter) -> Sequence[Event]:
    """Return what follows from `command`; nothing, if it is so already.

    Raises:
        Invalid: no reason is given.
        LetterClosed: it is already closed.
    """
    match command:
        case RetryLetter():
            check_reason(command.reason)
            if isinstance(state, ClosedLetter):
                raise _closed(command.letter, state)
            return [LetterRetried(command.letter, command.reason)]
        case SkipLetter():
            check_reason(command.reason)
            return _skip(command, state)
        case SettleLetter():
            return [] if isinstance(state, ClosedLetter) else [LetterSettled(command.letter, command.how)]
        case _:
            assert_never(command)


def evolve(state: State, event: Event) -> State:
    """Return the letter after `event`."""
    match event:
        case EventRefused() | ConsumerHalted():
            return OpenLetter(event)
        case _ if isinstance(state, Absent):
            return state
        case LetterRetried():
            return OpenLetter(state.opened, tried=True) if isinstance(state, OpenLetter) else state
        case LetterSkipped():
            return ClosedLetter(state.opened, skipped=True)
        case LetterSettled():
            return ClosedLetter(state.opened, skipped=False)
        case _:
            assert_never(event)


def check_reason(reason: str) -> None:
    """Refuse a decision without a reason.

    Raises:
        Invalid: there is none, or it is too long.
    """
    if not reason.strip() or len(reason) > _REASON_CHARACTERS_MAX:
        raise Invalid(
            f"a reason must have 1 to {_REASON_CHARACTERS_MAX:,} characters",
            pointer="/reason",
            fix="give a reason; the log keeps it",
        )


def _skip(command: SkipLetter, state: OpenLetter | ClosedLetter) -> Sequence[Event]:
    match state:
        case ClosedLetter(skipped=True):
            return []
        case ClosedLetter():
            raise _closed(command.letter, state)
        case OpenLetter(opened=ConsumerHalted(consumer=consumer, position=position)):
            return [LetterSkipped(letter=command.letter, reason=command.reason, consumer=consumer, position=position)]
        case OpenLetter():
            return [LetterSkipped(letter=command.letter, reason=command.reason)]
        case _:
            assert_never(state)


def _closed(letter: str, state: ClosedLetter) -> LetterClosed:
    how = "it was skipped" if state.skipped else "it was applied"
    return LetterClosed(
        f"the dead letter {letter} is closed: {how}", fix="list open ones with resedge dead-letters list"
    )
