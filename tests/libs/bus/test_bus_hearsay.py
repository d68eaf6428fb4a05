"""What a feed heard of and the log does not have stops nobody; a log that is another one does, and says so."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from libs.bus import ConsumerStopped, Feed, LogFeed, ModelConsumer
from libs.bus.kafka import KafkaFeed
from libs.bus.messages import EVENTS_TOPIC
from libs.contracts import Recorded, StoreDeclared
from libs.eventlog import EventLog
from tests.support.feeds import append, log_of
from tests.support.kafka import Broker, kafka
from tests.support.waiting import eventually

NAMES = ("first", "second")


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with kafka() as running:
        yield running


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'log.db'}"


@pytest.fixture
def log(url: str) -> Iterator[EventLog]:
    log = log_of(url=url)
    yield log
    log.close()


def store(number: int) -> tuple[str, StoreDeclared]:
    return f"store-{number}", StoreDeclared(f"s{number}", "UTC")


def announced(log: EventLog, position: int) -> None:
    """Announce a position as the appender does, whether or not the log has it."""
    for listener in log._appender._listeners:
        listener(position)


class Following:
    """Two consumers in a feed, and what each has applied."""

    def __init__(self, log: EventLog) -> None:
        self.applied: dict[str, list[int]] = {name: [] for name in NAMES}
        self.consumers = [ModelConsumer(name, log, self._folding(name)) for name in NAMES]

    def _folding(self, name: str) -> Callable[[Recorded], None]:
        return lambda recorded: self.applied[name].append(recorded.position)


@asynccontextmanager
async def started(feed: Feed) -> AsyncIterator[None]:
    await feed.start()
    try:
        yield
    finally:
        await feed.stop(0)


def going(feed: Feed) -> bool:
    return all(state.stopped is None and state.failing is None for state in feed.states())


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_is_announced_falsely_only_what_the_log_has_is_applied(log: EventLog, seed: int) -> None:
    dice, head = random.Random(seed), 0
    following = Following(log)
    feed = LogFeed(log, following.consumers)
    async with started(feed):
        for _ in range(40):
            if dice.random() < 0.5:
                announced(log, head + dice.choice((1, 1, 2, 70, 5_000)))
            else:
                append(log, store(head))
                head += 1
            if dice.random() < 0.4:
                await asyncio.sleep(dice.choice((0, 0, 0.005)))  # the feed looks at any moment between them

        await asyncio.sleep(0.05)  # what was announced last and is not true may be heard of, or not
        assert await feed.reached(NAMES, head, 10)
        await eventually(lambda: feed.head == head and going(feed))
        assert [state.lag for state in feed.states()] == [0, 0]

    assert following.applied == {name: list(range(1, head + 1)) for name in NAMES}


async def test_who_waits_for_what_was_announced_falsely_gets_it_when_it_comes(log: EventLog) -> None:
    following = Following(log)
    feed = LogFeed(log, following.consumers)
    async with started(feed):
        announced(log, 1)
        waiting = asyncio.create_task(feed.reached(NAMES, 1, 10))
        await eventually(lambda: feed.head == 0)
        assert not waiting.done()
        append(log, store(1))

        assert await waiting


async def test_a_fault_that_passed_is_not_told_for_ever_although_nothing_comes(
    log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(log, store(1))
    following = Following(log)
    feed = LogFeed(log, following.consumers)
    async with started(feed):
        assert await feed.reached(NAMES, 1, 10)
        usual = log.read_recorded

        def away(*_asked: object, **_how: object) -> list[Recorded]:
            raise OSError("the disk is away")

        monkeypatch.setattr(log, "read_recorded", away)
        announced(log, 2)
        await eventually(lambda: not going(feed))
        monkeypatch.setattr(log, "read_recorded", usual)
        await eventually(lambda: going(feed) and feed.head == 1)


ANOTHER_LOG = {
    "the head has another hash": (
        "UPDATE head SET hash = (SELECT hash FROM events WHERE position = 1)",
        "another event at position 2",
    ),
    "the head has another epoch": ("UPDATE head SET epoch = 'other'", "another event at position 2"),
    "the last event has another hash": (
        "UPDATE events SET hash = (SELECT hash FROM events WHERE position = 1) WHERE position = 2",
        "another event at position 2",
    ),
    "the log was put back": (
        "DELETE FROM events WHERE position = 2; UPDATE head SET position = 1",
        "position 2, which",
    ),
    "its head is ahead of its events": ("UPDATE head SET position = 3", "before its own head at 3: verify it"),
}


@pytest.mark.parametrize(("statements", "says"), list(ANOTHER_LOG.values()), ids=list(ANOTHER_LOG))
async def test_a_log_that_is_another_one_stops_everybody_and_says_so(
    log: EventLog, url: str, statements: str, says: str
) -> None:
    append(log, store(1), store(2))
    following = Following(log)
    feed = LogFeed(log, following.consumers)
    async with started(feed):
        assert await feed.reached(NAMES, 2, 10)
        engine = create_engine(url)
        with engine.begin() as connection:
            for statement in statements.split("; "):
                connection.execute(text(statement))
        engine.dispose()
        announced(log, 3)
        await eventually(lambda: all(state.stopped for state in feed.states()))

        assert all(says in str(state.stopped) for state in feed.states()), feed.states()
        with pytest.raises(ConsumerStopped):
            await feed.reached(NAMES, 3, 1)


async def test_a_position_that_only_a_client_names_stops_nobody_who_lives_on_kafka(
    broker: Broker, log: EventLog
) -> None:
    append(log, store(1))
    following = Following(log)
    broker.topics("hearsay.")
    feed = KafkaFeed(
        log,
        following.consumers,
        "test",
        servers=broker.servers,
        group="hearsay.group",
        topic="hearsay." + EVENTS_TOPIC,
    )
    async with started(feed):
        assert await feed.bring(NAMES, 1, 10)

        assert not await feed.bring(NAMES, 1_000_000, 1.0)
        feed._saw(2_000_000)
        assert not await feed.bring(NAMES, 2_000_000, 1.0)
        await eventually(lambda: going(feed))
        append(log, store(2))

        assert await feed.bring(NAMES, 2, 10)

    assert following.applied == {name: [1, 2] for name in NAMES}
