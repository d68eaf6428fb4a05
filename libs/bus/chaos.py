"""A feed for tests: it does to a consumer what a broker, a crash and a second delivery can do, by a seed.

Whatever it does, a correct consumer ends in the same state as with an orderly feed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from random import Random
from typing import Generic, TypeVar

from libs.bus.contract import Consumer, ConsumerStopped
from libs.contracts import Recorded
from libs.contracts.crash import at_crash_point
from libs.eventlog import EventLog

C = TypeVar("C", bound=Consumer)

_BATCH_EVENTS_MAX = 40
_CRASH_POINTS = ("bus.view.before-commit", "bus.view.after-commit")


class _CrashError(Exception):
    """Simulates the end of the process."""


class ChaosFeed(Generic[C]):
    """Brings a log to one consumer with duplicates, holes, disorder, delays, crashes and restarts.

    `make` creates the consumer as a new process would: a view finds its rows and its checkpoint again, a model begins
    empty, or with the snapshot that `make` restores.
    """

    def __init__(self, log: EventLog, make: Callable[[], C], seed: int) -> None:
        """Take the log, the consumer's maker and the seed of everything that happens."""
        self._log = log
        self._make = make
        self._random = Random(seed)  # noqa: S311 a test's dice
        self._restarts = 0

    async def settle(self, *, restarts_max: int = 4) -> C:
        """Bring everything that is in the log now, and return the consumer as it lives at the end."""
        consumer = await self._start()
        self._restarts = 0
        while consumer.checkpoint.position < (head := self._log.head().position):
            batch = self._batch(consumer.checkpoint.position, head)
            await asyncio.sleep(self._random.choice((0, 0, 0, 0.001)))
            may_restart = self._restarts < restarts_max
            try:
                await self._hand_over(consumer, batch, crash=may_restart and self._random.random() < 0.15)
            except _CrashError:
                self._restarts += 1
                consumer = await self._start()
                continue
            if may_restart and self._random.random() < 0.08:
                self._restarts += 1
                consumer = await self._start()
        return consumer

    async def _start(self) -> C:
        consumer = self._make()
        checkpoint = await consumer.start()
        if checkpoint is not None and self._log.hash_at(checkpoint.position) != checkpoint.hash:
            raise ConsumerStopped(consumer.name, "its checkpoint is not in the log")
        return consumer

    async def _hand_over(self, consumer: C, batch: Sequence[Recorded], *, crash: bool) -> None:
        if not crash:
            await consumer.handle(batch)
            return
        with at_crash_point(self._random.choice(_CRASH_POINTS), _crash):
            await consumer.handle(batch)

    def _batch(self, position: int, head: int) -> list[Recorded]:
        """Return events around the consumer's position, some of them twice, missing or in another order."""
        random = self._random
        first = max(0, position - random.choice((0, 0, 1, 5, 20)))
        if random.random() < 0.2:
            first = min(head - 1, position + random.randint(0, 10))
        batch = self._log.read_recorded(first, random.randint(1, _BATCH_EVENTS_MAX))
        match random.randint(0, 9):
            case 0:
                random.shuffle(batch)
            case 1:
                batch = [each for each in batch if random.random() < 0.7]
            case 2:
                batch = [each for event in batch for each in (event,) * random.randint(1, 3)]
            case 3:
                batch = batch + batch[: random.randint(0, len(batch))]
        return batch


def _crash() -> None:
    raise _CrashError
