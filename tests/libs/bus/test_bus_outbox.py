"""The outbox, in one process: what is sent, what is recorded, who leads, and what it does about a restored log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from libs.bus import START, Checkpoint
from libs.bus import outbox as subject
from libs.bus.messages import EVENTS_TOPIC, from_record
from libs.bus.outbox import Outbox
from libs.contracts import StoreDeclared
from libs.eventlog import EventLog
from tests.support.feeds import append, log_of, ticking_clock
from tests.support.kafka import Broker, kafka
from tests.support.load import held
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with kafka() as running:
        yield running


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLog]:
    log = log_of(url=f"sqlite:///{tmp_path / 'log.db'}")
    yield log
    log.close()


def store(number: int) -> tuple[str, StoreDeclared]:
    return f"store-{number}", StoreDeclared(f"s{number}", "UTC")


class Kept:
    """Records in memory, as the relay's table keeps them: the newest fencing epoch wins."""

    def __init__(self) -> None:
        self.checkpoint, self.fencing = START, 0
        self.positions: list[int] = []
        self.refused = 0

    async def kept(self) -> Checkpoint:
        return self.checkpoint

    async def record(self, checkpoint: Checkpoint, fencing: int) -> bool:
        if fencing < self.fencing:
            self.refused += 1
            return False
        self.checkpoint, self.fencing = checkpoint, fencing
        self.positions.append(checkpoint.position)
        return True


@asynccontextmanager
async def publishing(
    broker: Broker, log: EventLog, records: Kept, prefix: str, holder: str = "a", **options: Any
) -> AsyncIterator[Outbox]:
    outbox = Outbox(
        log, records, servers=broker.servers, holder=holder, topic=prefix + EVENTS_TOPIC, lease_seconds=1.0, **options
    )
    task = asyncio.create_task(outbox.run())
    try:
        yield outbox
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def positions(broker: Broker, prefix: str) -> list[int]:
    records = await held(broker.servers, prefix + EVENTS_TOPIC)
    return [from_record(record).recorded.position for record in records]


async def _held_at_least(broker: Broker, prefix: str, count: int) -> bool:
    return len(await positions(broker, prefix)) >= count


async def test_everything_is_sent_in_order_and_the_last_is_sent_again_in_silence(
    broker: Broker, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "RING_SECONDS", 0.3)
    broker.topics("order.")
    records = Kept()
    append(log, *(store(number) for number in range(1_200)))
    async with publishing(broker, log, records, "order."):
        await eventually(lambda: records.checkpoint.position == 1_200)
        append(log, store(9_999))
        await eventually(lambda: records.checkpoint.position == 1_201)
        # It is sent again in silence: 1,201 events and the last one at least twice more.
        await eventually(lambda: _held_at_least(broker, "order.", 1_201 + 2))

    found = await positions(broker, "order.")
    again = [position for index, position in enumerate(found) if position in found[:index]]
    assert list(dict.fromkeys(found)) == list(range(1, 1_202))
    assert again
    assert set(again) <= {1_200, 1_201}, "only the last event is sent again"
    assert records.positions == sorted(records.positions)


async def test_one_leads_and_a_record_under_an_older_lease_is_not_taken(broker: Broker, log: EventLog) -> None:
    broker.topics("leads.")
    records = Kept()
    async with (
        publishing(broker, log, records, "leads.", "a") as first,
        publishing(broker, log, records, "leads.", "b") as second,
    ):
        await eventually(lambda: first.progress.leads or second.progress.leads)
        append(log, store(1))
        await eventually(lambda: records.checkpoint.position == 1)
        assert first.progress.leads != second.progress.leads
        records.fencing += 1  # a relay that came after both has recorded
        append(log, store(2))
        await eventually(lambda: records.checkpoint.position == 2)
    assert records.refused == 1, "it recorded only once it had the lease again"


async def test_a_log_that_was_put_back_is_published_on_only_in_a_new_epoch(broker: Broker, tmp_path: Path) -> None:
    broker.topics("back.")
    records = Kept()
    clock = ticking_clock()
    lost = log_of(*(store(number) for number in range(6)), url=f"sqlite:///{tmp_path / 'lost.db'}", clock=clock)
    async with publishing(broker, lost, records, "back."):
        await eventually(lambda: records.checkpoint.position == 6)
    lost.close()
    restored = log_of(*(store(number) for number in range(3)), url=f"sqlite:///{tmp_path / 'back.db'}", clock=clock)
    before = await positions(broker, "back.")

    async with publishing(broker, restored, records, "back.") as outbox:
        await eventually(lambda: outbox.progress.stopped)
        assert "ends before position 6" in outbox.progress.stopped
    assert (records.checkpoint.position, await positions(broker, "back.")) == (6, before)

    restored.new_epoch("admin", "it was put back")
    append(restored, store(7))
    async with publishing(broker, restored, records, "back."):
        await eventually(lambda: records.checkpoint.position == 5)
    restored.close()
    assert (await positions(broker, "back."))[len(before) :][:2] == [4, 5]


async def test_what_follows_from_something_else_is_not_published(broker: Broker, tmp_path: Path) -> None:
    broker.topics("else.")
    records = Kept()
    log = log_of(*(store(number) for number in range(3)), url=f"sqlite:///{tmp_path / 'log.db'}")
    async with publishing(broker, log, records, "else.") as outbox:
        await eventually(lambda: records.checkpoint.position == 3)
        with log._write_engine.begin() as connection:
            connection.exec_driver_sql("UPDATE events SET hash = zeroblob(32) WHERE position = 3")
            connection.exec_driver_sql("UPDATE head SET hash = zeroblob(32)")
        append(log, store(4))

        await eventually(lambda: outbox.progress.stopped)
    log.close()
    assert max(await positions(broker, "else.")) == 3
