"""Logs and feeds for tests: build a log from events, bring it to a consumer in order or in chaos.

log = log_of(("store-a", StoreDeclared("a", "UTC")), …)
view = await in_order(log, StoresView(log, engine))
view = await in_chaos(log, lambda: StoresView(log, engine), seed=7)
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from libs.bus import ChaosFeed, Consumer, LogFeed
from libs.eventlog import Appended, Clock, EventLog, NewEvent, Submission

C = TypeVar("C", bound=Consumer)

BEGIN = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


def ticking_clock(begin: datetime = BEGIN, step: timedelta = timedelta(seconds=1)) -> Clock:
    """Return a clock that moves a step each time it is read."""
    count = itertools.count()
    return lambda: begin + step * next(count)


def append(log: EventLog, *events: tuple[str, Any], actor: str = "test", **options: Any) -> Appended:
    """Append (stream, event) pairs as one submission."""
    new = [NewEvent.of(stream, event) for stream, event in events]
    outcome = log.append(Submission(new, actor, **options))
    assert isinstance(outcome, Appended), outcome
    return outcome


def log_of(*events: tuple[str, Any], url: str = "sqlite://", clock: Clock | None = None) -> EventLog:
    """Return a log (temporary unless a URL says otherwise) that holds these events, one a submission."""
    log = EventLog.open(url, clock=clock or ticking_clock())
    for event in events:
        append(log, event)
    return log


async def in_order(log: EventLog, consumer: C, *, timeout_seconds: float = 20.0) -> C:
    """Bring everything in the log to a consumer, as the embedded feed does, and return it."""
    feed = LogFeed(log, [consumer])
    await feed.start()
    try:
        assert await feed.reached(consumer, log.head().position, timeout_seconds), "the consumer is late"
    finally:
        await feed.stop(0)
    return consumer


async def in_chaos(log: EventLog, make: Callable[[], C], seed: int) -> C:
    """Bring everything in the log to a consumer with duplicates, holes, disorder, crashes and restarts; return it."""
    return await ChaosFeed(log, make, seed).settle()
