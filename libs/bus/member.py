"""One consumer in a feed: how far it has to go, why it does not continue, and which requests wait for it.

The one rule: a waiting request is answered by the consumer's checkpoint, never by an announced position.
"""

from __future__ import annotations

import asyncio

from libs.bus.contract import Consumer, ConsumerStopped
from libs.bus.letters import Letter


class Member:
    """A consumer in a feed. `goal` is the position up to which it must read the log, and `why` the reason."""

    def __init__(self, consumer: Consumer) -> None:
        self.consumer = consumer
        self.name = consumer.name
        self.started = False
        self.wake = asyncio.Event()
        self.stopped: ConsumerStopped | None = None
        self.letter: Letter | None = None
        self.settling: Letter | None = None
        self.failing: str | None = None
        self.failures = 0
        self.goal = 0
        self.asked = 0
        self.why = "start"
        self.behind_since: float | None = None
        self.waiters: list[tuple[int, asyncio.Future[None]]] = []

    @property
    def position(self) -> int:
        """How far the consumer is."""
        return self.consumer.checkpoint.position

    def recovered(self) -> None:
        """Record that a failing step succeeded."""
        self.failing, self.failures = None, 0

    @property
    def to_settle(self) -> Letter | None:
        """The letter whose event was applied in the end, until that is in the log."""
        letter = self.settling
        return letter if letter is not None and self.position >= letter.halted.recorded.position else None

    def read_up_to(self, position: int, why: str) -> None:
        """Let it read the log up to a position, which the log may not have yet."""
        self.asked += 1
        if position > max(self.goal, self.position):
            self.goal, self.why = position, why
        self.wake.set()

    def progressed(self) -> None:
        """Answer those who wait for a position, or for a consumer that has stopped."""
        if not self.waiters:
            return
        position, stopped = self.position, self.stopped
        still = []
        for wanted, future in self.waiters:
            if future.done():
                continue
            if wanted <= position:
                future.set_result(None)
            elif stopped is not None:
                future.set_exception(ConsumerStopped(stopped.consumer, stopped.reason))
            else:
                still.append((wanted, future))
        self.waiters = still
