"""The feed by Kafka, in one process: what enters, what does not, and what is read from the log instead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from libs.bus import START, ConsumerStopped, ModelConsumer
from libs.bus.kafka import KafkaFeed
from libs.bus.messages import EVENTS_TOPIC, ForeignMessage, from_record, to_message
from libs.contracts import Recorded, StoreDeclared
from libs.eventlog import GENESIS, Appended, EventLog, NewEvent, Submission
from tests.support.feeds import append, log_of
from tests.support.kafka import Broker, kafka
from tests.support.load import produce
from tests.support.waiting import eventually

Raw = tuple[bytes | None, bytes, list[tuple[str, bytes]]]


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with kafka() as running:
        yield running


@pytest.fixture
def log() -> Iterator[EventLog]:
    log = log_of()
    yield log
    log.close()


def store(number: int, name: str = "s") -> tuple[str, StoreDeclared]:
    return f"store-{name}{number}", StoreDeclared(f"{name}{number}", "UTC")


def messages(log: EventLog, first: int, last: int) -> list[Raw]:
    """Return the relay's messages of a part of a log."""
    previous = log.hash_at(first - 1) if first > 1 else GENESIS
    found: list[Raw] = []
    for raw in log.read_raw(first - 1, last - first + 1):
        message = to_message(raw, previous)
        found.append((message.key, message.value, message.headers))
        previous = raw[2]
    return found


class Names:
    """A model that keeps the names of stores in the order in which they came."""

    def __init__(self, log: EventLog, name: str = "names", refuses: str = "") -> None:
        self.seen: list[str] = []
        self.slow = asyncio.Event()
        self.slow.set()
        self._refuses = refuses
        self.consumer = ModelConsumer(name, log, self._fold)

    def _fold(self, recorded: Recorded) -> None:
        event: Any = recorded.event
        if not isinstance(event, StoreDeclared):
            return
        if event.name == self._refuses:
            raise ValueError("it cannot be folded")
        self.seen.append(event.name)


@asynccontextmanager
async def feeding(broker: Broker, log: EventLog, *models: Names, prefix: str) -> AsyncIterator[KafkaFeed]:
    broker.topics(prefix)
    feed = KafkaFeed(
        log,
        [model.consumer for model in models],
        "test",
        servers=broker.servers,
        group=f"{prefix}group",
        topic=prefix + EVENTS_TOPIC,
    )
    await feed.start()
    try:
        await eventually(lambda: feed.connected)
        yield feed
    finally:
        await feed.stop(0)


async def test_only_what_follows_enters(broker: Broker, log: EventLog) -> None:
    append(log, *(store(number) for number in range(3)))
    other = log_of(*(store(number, "x") for number in range(12)))
    model, topic = Names(log), "enters." + EVENTS_TOPIC
    async with feeding(broker, log, model, prefix="enters.") as feed:
        append(log, *(store(number) for number in range(3, 9)))
        theirs = messages(other, 1, 12)
        other.close()
        ours = messages(log, 1, 9)
        await produce(broker.servers, topic, [*theirs[3:8], *theirs[8:12], *ours[4:6], ours[3], *theirs[5:7]])
        await produce(broker.servers, topic, [*ours[6:9], *ours[0:4], (None, b"", [])])

        assert await feed.reached("names", 9, 10)
        append(log, store(9))
        await produce(broker.servers, topic, [*theirs[9:11], *messages(log, 10, 10)])
        assert await feed.reached("names", 10, 10)

        assert feed.states()[0].stopped is None
        assert feed.states()[0].lag == 0, "a position that only Kafka tells is not believed"
    assert model.seen == [f"s{number}" for number in range(10)]


async def test_who_cannot_go_on_keeps_nobody_else(broker: Broker, log: EventLog) -> None:
    broken, well = Names(log, "broken", refuses="s1"), Names(log, "well")
    topic = "keeps." + EVENTS_TOPIC
    async with feeding(broker, log, broken, well, prefix="keeps.") as feed:
        append(log, *(store(number) for number in range(5)))
        await produce(broker.servers, topic, messages(log, 1, 5))

        assert await feed.reached("well", 5, 10)
        with pytest.raises(ConsumerStopped, match="position 2 cannot be applied"):
            await feed.reached("broken", 5, 10)
    assert (broken.seen, well.seen) == (["s0"], [f"s{number}" for number in range(5)])


class Ailing(Names):
    """A model whose disk is full, until somebody heals it."""

    well = False

    def __init__(self, log: EventLog) -> None:
        super().__init__(log, "ailing")
        self.consumer = _Ailing(self, log)


class _Ailing(ModelConsumer):
    def __init__(self, of: Ailing, log: EventLog) -> None:
        super().__init__("ailing", log, of._fold)
        self._of = of

    async def handle(self, batch: Sequence[Recorded]) -> None:
        if not self._of.well:
            raise OSError("no space left on device")
        await super().handle(batch)


async def test_who_fails_again_and_again_is_not_waited_for_and_reads_the_log_once_it_can(
    broker: Broker, log: EventLog
) -> None:
    ailing, well = Ailing(log), Names(log, "well")
    topic = "ailing." + EVENTS_TOPIC
    async with feeding(broker, log, ailing, well, prefix="ailing.") as feed:
        for number in range(4):
            append(log, store(number))
            await produce(broker.servers, topic, messages(log, number + 1, number + 1))
            assert await feed.reached("well", number + 1, 15)
        assert ailing.seen == []

        ailing.well = True
        assert await feed.reached("ailing", 4, 15)
        append(log, store(4))
        await produce(broker.servers, topic, messages(log, 5, 5))
        assert await feed.reached(["ailing", "well"], 5, 15)
    assert ailing.seen == well.seen == [f"s{number}" for number in range(5)]


async def test_without_a_word_from_kafka_a_command_reads_the_log_and_nobody_else_does(
    broker: Broker, log: EventLog
) -> None:
    asked, waits = Names(log, "asked"), Names(log, "waits")
    async with feeding(broker, log, asked, waits, prefix="word.") as feed:
        append(log, *(store(number) for number in range(5)))

        assert await feed.bring("asked", 5, 5)
        assert not await feed.reached("waits", 5, 1)
    assert (len(asked.seen), len(waits.seen)) == (5, 0)


async def test_a_message_of_the_largest_size_and_of_an_odd_type_travels(log: EventLog) -> None:
    large = "x" * 200_000
    odd = NewEvent("odd-1", "odd", b'{"large":"' + large.encode() + b'"}')
    assert isinstance(log.append(Submission([odd], "test")), Appended)

    (key, value, headers), *_ = messages(log, 1, 1)

    linked = from_record(_Record(headers, value))
    assert linked.recorded.position == 1
    assert key == b"odd-1"
    assert dict(headers)["ce_source"] == b"resedge/unknown"
    with pytest.raises(ForeignMessage, match="chain hash"):
        from_record(_Record(headers, value + b" "))


class _Record:
    def __init__(self, headers: list[tuple[str, bytes]], value: bytes | None) -> None:
        self.headers: Sequence[tuple[str, bytes]] = headers
        self.value = value


async def test_who_begins_anew_by_himself_is_brought_the_log_though_kafka_is_silent(
    broker: Broker, log: EventLog
) -> None:
    model = Names(log)
    append(log, *(store(number) for number in range(5)))
    async with feeding(broker, log, model, prefix="anew.") as feed:
        assert await feed.reached("names", 5, 5)
        append(log, *(store(number) for number in range(5, 8)))
        assert await feed.bring("names", 8, 5)
        await asyncio.sleep(1.5)  # a few looks at the head, which nothing counts, find nothing new

        model.seen.clear()
        model.consumer._checkpoint = START  # as a renderer that takes over

        assert await feed.reached("names", 8, 3)
    assert model.seen == [f"s{number}" for number in range(8)]
