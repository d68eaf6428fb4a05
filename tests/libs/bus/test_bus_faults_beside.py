"""Faults beside the events: of looking at the log's head, and of telling the log what became of a dead letter."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import exc

from libs.bus import LogFeed, ModelConsumer
from libs.contracts import LetterRetried, LetterSettled, Recorded, StoreDeclared, type_name
from libs.eventlog import EventLog, Head, LogUnavailable, Outcome, Submission
from tests.support.feeds import append
from tests.support.waiting import eventually

SETTLED = type_name(LetterSettled("", ""))


def opened(directory: Path) -> EventLog:
    return EventLog.open(f"sqlite:///{directory / 'log.db'}", clock=lambda: datetime(2026, 1, 1, tzinfo=UTC))


async def test_looking_at_the_head_survives_whatever_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, other = opened(tmp_path), opened(tmp_path)
    seen: list[int] = []
    feed = LogFeed(log, [ModelConsumer("model", log, lambda event: seen.append(event.position))])
    await feed.start()
    usual, failures = log.head, 0

    def failing() -> Head:
        nonlocal failures
        if failures == 0:
            failures += 1
            raise exc.TimeoutError("no connection of the pool became free")
        return usual()

    monkeypatch.setattr(log, "head", failing)
    await eventually(lambda: failures == 1)
    append(other, ("store-1", StoreDeclared("1", "UTC")))  # of another process: only looking at the head finds it

    assert await feed.reached("model", 1, 3)
    await feed.stop()
    log.close()
    other.close()


async def test_a_letter_whose_settling_fails_is_settled_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("libs.bus.members.VERDICT_SECONDS", 0.02)
    log = opened(tmp_path)
    broken, failures = True, 0

    def fold(recorded: Recorded) -> None:
        event: Any = recorded.event
        if isinstance(event, StoreDeclared) and broken:
            raise ValueError("it cannot be folded")

    usual = log.append_async

    async def append_async(submission: Submission) -> Outcome:
        nonlocal failures
        if submission.events[0].type == SETTLED and failures == 0:
            failures += 1
            raise LogUnavailable("the event log's database does not answer")
        return await usual(submission)

    monkeypatch.setattr(log, "append_async", append_async)
    append(log, ("store-1", StoreDeclared("1", "UTC")))
    feed = LogFeed(log, [ModelConsumer("model", log, fold)])
    await feed.start()
    await eventually(lambda: len(log.read_stream("letter-model@1")) == 1)
    broken = False
    append(log, ("letter-model@1", LetterRetried("model@1", "it is mended")))

    await eventually(lambda: len(log.read_stream("letter-model@1")) == 3)
    assert failures == 1
    assert [state.failing for state in feed.states()] == [None]
    await feed.stop()
    log.close()
