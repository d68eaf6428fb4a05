"""How soon after an append an event has been handled by the consumers of the in-process feed."""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

from libs.bus import Consumer, LogFeed, ModelConsumer, ViewConsumer, view_engine
from libs.contracts import Recorded
from libs.eventlog import Appended, EventLog, NewEvent, Submission

_EVENT = NewEvent("store-a", "dev.resedge.inventory.StoreRemoved.v1", b'{"name":"a"}')


class _EmptyView(ViewConsumer):
    """A view that keeps nothing but its checkpoint."""

    async def project(self, connection: AsyncConnection, batch: Sequence[Recorded]) -> None:
        """Write nothing."""


async def _latency_ms(log: EventLog, consumer: Consumer, count: int = 300) -> float:
    feed = LogFeed(log, [consumer])
    await feed.start()
    await feed.reached(consumer, log.head().position, 30)
    waits = []
    for _ in range(count):
        outcome = await log.append_async(Submission([_EVENT], "bench"))
        assert isinstance(outcome, Appended), outcome
        started = time.perf_counter()
        await feed.reached(consumer, outcome.last, 10)
        waits.append((time.perf_counter() - started) * 1000)
    await feed.stop()
    return statistics.median(waits)


async def _measure(directory: Path) -> list[tuple[str, float]]:
    log = EventLog.open(f"sqlite:///{directory / 'log.db'}", clock=lambda: datetime.now(UTC))
    engine = view_engine(f"sqlite+aiosqlite:///{directory / 'views.db'}")
    try:
        return [
            ("append answered → folded, median", await _latency_ms(log, ModelConsumer("model", log, lambda _: None))),
            ("append answered → projected, median", await _latency_ms(log, _EmptyView("view", log, engine))),
        ]
    finally:
        await engine.dispose()
        log.close()


def run() -> list[dict[str, object]]:
    """Measure; values are for this machine as it is loaded now."""
    with tempfile.TemporaryDirectory() as directory:
        figures = asyncio.run(_measure(Path(directory)))
    return [{"name": name, "value": round(value, 3), "unit": "ms", "target": 1} for name, value in figures]


if __name__ == "__main__":
    for figure in run():
        print(json.dumps(figure))
