"""The in-process feed and its consumers: each event once in effect, whatever happens on the way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, create_engine, func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.bus import (
    ConsumerStopped,
    LogFeed,
    ModelConsumer,
    SnapshotHooks,
    ViewConsumer,
    stopped_reasons,
    view_engine,
)
from libs.contracts import Recorded, StoreDeclared, encode, type_name
from libs.eventlog import EventLog, Head, NewEvent, Submission
from tests.support.feeds import append, in_chaos, in_order, log_of

_metadata = MetaData()
_seen = Table(
    "seen", _metadata, Column("id", Integer, primary_key=True), Column("position", Integer), Column("name", String)
)


class SeenView(ViewConsumer):
    """A row for each event, in the order in which it was applied; nothing in it hides a second application."""

    metadata = _metadata

    async def project(self, connection: AsyncConnection, batch: Sequence[Recorded]) -> None:
        await connection.execute(
            insert(_seen), [{"position": event.position, "name": event.event.name} for event in batch]
        )


def store(number: int) -> tuple[str, StoreDeclared]:
    return f"store-{number}", StoreDeclared(f"s{number}", "UTC")


@pytest.fixture
def log() -> Iterator[EventLog]:
    log = log_of()
    yield log
    log.close()


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    engine = view_engine(f"sqlite+aiosqlite:///{tmp_path / 'views.db'}")
    yield engine
    await engine.dispose()


async def rows(engine: AsyncEngine) -> list[int]:
    async with engine.connect() as connection:
        return list((await connection.execute(select(_seen.c.position).order_by(_seen.c.id))).scalars())


def list_model(log: EventLog, seen: list[int], name: str = "model") -> ModelConsumer:
    return ModelConsumer(name, log, lambda event: seen.append(event.position))


async def test_every_event_reaches_view_and_model_in_order(log: EventLog, engine: AsyncEngine) -> None:
    append(log, *(store(number) for number in range(2_500)))
    seen: list[int] = []
    view, model = SeenView("view", log, engine), list_model(log, seen)
    feed = LogFeed(log, [view, model])
    await feed.start()
    append(log, store(9_999))

    assert await feed.reached([view, "model"], 2_501, 10)

    await feed.stop()
    assert seen == await rows(engine) == list(range(1, 2_502))


@pytest.mark.parametrize("seed", range(12))
async def test_a_view_in_chaos_ends_as_in_order(log: EventLog, engine: AsyncEngine, seed: int) -> None:
    append(log, *(store(number) for number in range(300)))

    await in_chaos(log, lambda: SeenView("view", log, engine), seed)

    assert await rows(engine) == list(range(1, 301))


@pytest.mark.parametrize("seed", range(12))
async def test_a_model_in_chaos_ends_as_in_order(log: EventLog, seed: int) -> None:
    append(log, *(store(number) for number in range(300)))
    seen: list[int] = []

    def make() -> ModelConsumer:
        seen.clear()
        return list_model(log, seen)

    await in_chaos(log, make, seed)

    assert seen == list(range(1, 301))


async def test_a_view_goes_on_where_it_was(log: EventLog, engine: AsyncEngine) -> None:
    append(log, store(1), store(2))
    await in_order(log, SeenView("view", log, engine))
    append(log, store(3))

    await in_order(log, SeenView("view", log, engine))

    assert await rows(engine) == [1, 2, 3]


async def test_two_replicas_of_a_view_apply_each_event_once(log: EventLog, engine: AsyncEngine) -> None:
    feeds = [LogFeed(log, [SeenView("view", log, engine)]) for _ in range(2)]
    for feed in feeds:
        await feed.start()
    for number in range(60):
        await log.append_async(Submission([new_event(number)], "test"))
        if number % 7 == 0:
            await asyncio.sleep(0.002)  # the replicas apply some of it, in pages of any size

    for feed in feeds:
        assert await feed.reached("view", 60, 20)
        assert stopped_reasons(feed.states()) == {}
        await feed.stop()
    assert await rows(engine) == list(range(1, 61))


def new_event(number: int) -> NewEvent:
    stream, event = store(number)
    return NewEvent(stream, type_name(event), encode(event))


async def test_a_hole_is_filled_from_the_log_and_what_came_before_is_dropped(
    log: EventLog, engine: AsyncEngine
) -> None:
    append(log, *(store(number) for number in range(1_500)))
    events = log.read_recorded(0, 1_500)
    view = SeenView("view", log, engine)
    await view.start()

    await view.handle([events[2], events[0]])
    await view.handle(events[1:2])
    await view.handle([events[-1], events[5]])

    assert await rows(engine) == list(range(1, 1_501))


async def test_a_gap_in_the_log_itself_stops_the_consumer(tmp_path: Path) -> None:
    log = log_of(*(store(number) for number in range(5)), url=f"sqlite:///{tmp_path / 'log.db'}")
    with create_engine(f"sqlite:///{tmp_path / 'log.db'}").begin() as connection:
        connection.execute(text("DELETE FROM events WHERE position = 3"))
    seen: list[int] = []
    feed = LogFeed(log, [list_model(log, seen)])
    await feed.start()

    with pytest.raises(ConsumerStopped, match="gap after position 0"):
        await feed.reached("model", 5, 5)

    await feed.stop()
    log.close()
    assert seen == []


async def test_a_poisoned_consumer_stops_alone_and_says_why(log: EventLog) -> None:
    seen: list[int] = []

    def choke(event: Recorded) -> None:
        if event.position == 3:
            raise ValueError("indigestible")

    feed = LogFeed(log, [ModelConsumer("choking", log, choke), list_model(log, seen)])
    await feed.start()
    append(log, *(store(number) for number in range(5)))

    assert await feed.reached("model", 5, 5)
    with pytest.raises(ConsumerStopped, match="position 3 cannot be applied: ValueError: indigestible"):
        await feed.reached("choking", 5, 5)
    assert list(stopped_reasons(feed.states())) == ["choking"]
    await feed.stop()
    assert seen[:5] == [1, 2, 3, 4, 5], "what follows is the letter that says so"


async def test_a_consumer_of_another_log_is_stopped_at_start(log: EventLog, engine: AsyncEngine) -> None:
    append(log, store(1), store(2))
    await in_order(log, SeenView("view", log, engine))
    other = log_of(store(7), store(8), store(9))

    feed = LogFeed(other, [SeenView("view", other, engine)])
    await feed.start()

    assert "another event at position 2" in stopped_reasons(feed.states())["view"]
    await feed.stop()
    other.close()


async def test_a_consumer_ahead_of_a_restored_log_is_stopped(log: EventLog, engine: AsyncEngine) -> None:
    append(log, store(1), store(2))
    await in_order(log, SeenView("view", log, engine))
    shorter = log_of(store(1))

    feed = LogFeed(shorter, [SeenView("view", shorter, engine)])
    await feed.start()

    assert "the log ends before position 2" in stopped_reasons(feed.states())["view"]
    await feed.stop()
    shorter.close()


async def test_a_new_epoch_in_place_goes_on(log: EventLog) -> None:
    positions: list[tuple[int, str]] = []
    model = ModelConsumer("model", log, lambda event: positions.append((event.position, event.epoch)))
    feed = LogFeed(log, [model])
    await feed.start()
    append(log, store(1))
    epoch = log.new_epoch("admin", "restored")
    append(log, store(2))

    assert await feed.reached(model, 3, 5)

    await feed.stop()
    assert [at for at, _ in positions] == [1, 2, 3]
    assert positions[2][1] == epoch == model.checkpoint.epoch


async def test_appends_of_another_process_are_noticed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'log.db'}"
    log, other = log_of(url=url), log_of(url=url)
    seen: list[int] = []
    feed = LogFeed(log, [list_model(log, seen)])
    await feed.start()
    append(other, store(1))

    assert await feed.reached("model", 1, 2)

    await feed.stop()
    log.close()
    other.close()


async def test_waiting_for_a_position_ends_with_the_time(log: EventLog) -> None:
    feed = LogFeed(log, [list_model(log, [])])
    await feed.start()

    assert not await feed.reached("model", 1, 0.05)

    await feed.stop()


async def test_a_slow_consumer_does_not_hold_up_the_others(log: EventLog) -> None:
    caught_up = asyncio.Event()

    class Slow(ModelConsumer):
        async def handle(self, batch: Sequence[Recorded]) -> None:
            await caught_up.wait()
            await super().handle(batch)

    seen: list[int] = []
    feed = LogFeed(log, [Slow("slow", log, lambda _: None), list_model(log, seen)])
    await feed.start()
    for number in range(20):
        append(log, store(number))
        assert await feed.reached("model", number + 1, 10)

    assert {state.name: state.lag for state in feed.states()} == {"slow": 20, "model": 0}
    caught_up.set()
    assert await feed.reached("slow", 20, 10)
    await feed.stop()
    assert [state.lag for state in feed.states()] == [0, 0]


async def test_a_view_whose_database_fails_for_a_while_goes_on_by_itself(log: EventLog, engine: AsyncEngine) -> None:
    view = SeenView("view", log, engine)
    feed = LogFeed(log, [view])
    await feed.start()
    async with engine.begin() as connection:
        await connection.execute(text("ALTER TABLE seen RENAME TO gone"))
    append(log, store(1))
    assert not await feed.reached(view, 1, 0.2)
    assert "no such table" in stopped_reasons(feed.states())["view"]

    async with engine.begin() as connection:
        await connection.execute(text("ALTER TABLE gone RENAME TO seen"))

    assert await feed.reached(view, 1, 5)
    assert stopped_reasons(feed.states()) == {}
    await feed.stop()
    assert await rows(engine) == [1]


async def test_a_model_goes_on_from_its_snapshot(log: EventLog) -> None:
    def model(seen: list[int], version: str = "1") -> ModelConsumer:
        def load(body: bytes) -> None:
            seen[:] = body

        hooks = SnapshotHooks(lambda: bytes(seen), load, version)
        return ModelConsumer("model", log, lambda event: seen.append(event.position), hooks)

    append(log, store(1), store(2))
    snapshot = (await in_order(log, model([]))).snapshot()
    append(log, store(3))
    seen: list[int] = []
    restored = model(seen)

    assert restored.restore(snapshot)
    await in_order(log, restored)

    assert seen == [1, 2, 3]
    assert not model([], version="2").restore(snapshot)
    assert not model([]).restore(snapshot[:-1])


async def test_stopping_brings_consumers_to_the_head(log: EventLog, engine: AsyncEngine) -> None:
    feed = LogFeed(log, [SeenView("view", log, engine)])
    await feed.start()
    append(log, *(store(number) for number in range(3_000)))

    await feed.stop()

    async with engine.connect() as connection:
        assert (await connection.execute(select(func.count()).select_from(_seen))).scalar_one() == 3_000


async def test_a_consumer_that_does_not_move_on_is_stopped(log: EventLog) -> None:
    class Idle(ModelConsumer):
        async def handle(self, batch: Sequence[Recorded]) -> None:
            """Forget the batch."""

    append(log, store(1))
    feed = LogFeed(log, [Idle("idle", log, lambda _: None)])
    await feed.start()

    with pytest.raises(ConsumerStopped, match="did not move on"):
        await feed.reached("idle", 1, 2)

    await feed.stop()


async def test_an_event_type_that_this_code_does_not_know_stops_consumers(log: EventLog) -> None:
    log.append(Submission([NewEvent("store-1", "dev.resedge.future.Thing.v9", b"{}")], "test"))
    feed = LogFeed(log, [list_model(log, [])])
    await feed.start()

    with pytest.raises(ConsumerStopped, match="UnknownEventType"):
        await feed.reached("model", 1, 2)

    await feed.stop()


def test_a_checkpoint_table_that_was_emptied_stops_the_view(log: EventLog, tmp_path: Path) -> None:
    async def run() -> dict[str, Any]:
        engine = view_engine(f"sqlite+aiosqlite:///{tmp_path / 'views.db'}")
        feed = LogFeed(log, [SeenView("view", log, engine)])
        await feed.start()
        async with engine.begin() as connection:
            await connection.execute(text("DELETE FROM checkpoints"))
        append(log, store(1))
        with pytest.raises(ConsumerStopped):
            await feed.reached("view", 1, 5)
        await feed.stop()
        await engine.dispose()
        return dict(stopped_reasons(feed.states()))

    assert asyncio.run(run()) == {"view": "its checkpoint row is gone: rebuild it"}


async def test_a_head_that_was_read_before_the_last_append_is_no_loss(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The poll reads the head on a thread; consumers may be past it before the answer is looked at."""
    monkeypatch.setattr("libs.bus.feed.POLL_SECONDS", 0.001)
    seen: list[int] = []
    model = ModelConsumer("model", log, lambda recorded: seen.append(recorded.position))
    read_head = log.head

    def slowly() -> Head:
        head = read_head()
        time.sleep(0.01)  # long enough that consumers are past it, which the log cannot show
        return head

    monkeypatch.setattr(log, "head", slowly)
    feed = LogFeed(log, [model])
    await feed.start()
    for number in range(60):
        append(log, (f"store-{number}", StoreDeclared(f"{number}", "UTC")))
        await asyncio.sleep(0.002)  # looks at the head fall between any two

    assert await feed.reached(model, read_head().position, 5)
    assert [state.stopped for state in feed.states()] == [None]
    await feed.stop(0)
