"""The broker that the tests run, and the topics that are made on it."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import (
    AIOKafkaAdminClient,
    NewTopic,
)

from libs.bus.topics import MESSAGE_BYTES_MAX, TOPICS, ensure_topics
from tests.support import kafka as support
from tests.support.children import child
from tests.support.kafka import Broker, KafkaMissing, kafka
from tests.support.waiting import until

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with kafka() as running:
        yield running


async def _send(servers: str, topic: str, values: list[bytes]) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=servers, enable_idempotence=True, acks="all", max_request_size=MESSAGE_BYTES_MAX
    )
    await producer.start()
    try:
        await asyncio.gather(*[await producer.send(topic, value, partition=0) for value in values])
    finally:
        await producer.stop()


async def _received(servers: str, topic: str, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(bootstrap_servers=servers, enable_auto_commit=False, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, 0)])
        found: list[bytes] = []
        async with asyncio.timeout(20):
            while len(found) < count:
                for batch in (await consumer.getmany(timeout_ms=500)).values():
                    found += [record.value for record in batch]
        return found
    finally:
        await consumer.stop()


async def test_the_topics_are_made_once_and_with_exactly_their_partitions(broker: Broker) -> None:
    first, second = await asyncio.gather(*[ensure_topics(broker.servers, prefix="once.") for _ in range(2)])
    third = await ensure_topics(broker.servers, prefix="once.")

    assert sorted([*first.created, *second.created]) == sorted(f"once.{topic.name}" for topic in TOPICS)
    assert third.created == third.differing == ()


async def test_a_topic_that_is_there_is_left_as_it_is_and_told_of(broker: Broker) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.servers)
    await admin.start()
    await admin.create_topics([NewTopic("other.resedge.events", 2, 1, topic_configs={"retention.ms": "1000"})])
    await admin.close()

    report = await ensure_topics(broker.servers, prefix="other.")

    assert report.differing == (
        "other.resedge.events has 2 partitions, not 1",
        f"other.resedge.events has max.message.bytes={MESSAGE_BYTES_MAX + 12}, not {MESSAGE_BYTES_MAX}",
        "other.resedge.events has retention.ms=1000, not 604800000",
    )
    assert await ensure_topics(broker.servers, prefix="other.") == type(report)((), report.differing)


async def test_the_largest_event_fits(broker: Broker) -> None:
    topic = broker.topics("large.")["resedge.events"]
    largest = [os.urandom(256 * 1024 + 64 * 1024)]

    await _send(broker.servers, topic, largest)

    assert await _received(broker.servers, topic, 1) == largest


async def test_what_was_acknowledged_survives_a_kill_and_nothing_survives_a_wipe() -> None:
    with kafka() as broker:
        topic = broker.topics()["resedge.events"]
        values = [b"event %d" % n for n in range(500)]
        await _send(broker.servers, topic, values)
        address = broker.servers

        broker.kill()
        await asyncio.to_thread(broker.start)

        assert broker.servers == address
        assert await _received(broker.servers, topic, 500) == values

        broker.wipe()
        broker.start()

        assert (await ensure_topics(broker.servers)).created == tuple(each.name for each in TOPICS)


def test_a_second_broker_on_the_same_data_is_refused(broker: Broker) -> None:
    second = subprocess.run(
        [ROOT / "scripts/kafka", "run", broker._data, "1", "2"], capture_output=True, text=True, check=False, timeout=20
    )

    assert second.returncode == 1
    assert "another broker works in" in second.stderr


def test_a_broker_ends_with_the_process_that_started_it() -> None:
    code = (
        "import time\nfrom tests.support.kafka import kafka\n"
        "with kafka() as broker:\n    print(broker._process.pid, broker._directory, flush=True)\n    time.sleep(60)\n"
    )
    with child([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        pid, directory = starter.stdout.readline().split()
        starter.kill()
    command = Path(f"/proc/{pid}/cmdline")
    try:
        until(lambda: not command.exists() or not command.read_bytes(), what="the broker ends")
    finally:
        shutil.rmtree(directory)


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(KafkaMissing, match="java was not found: run scripts/setup --test"), kafka():
        pass
    monkeypatch.undo()
    (tmp_path / "scripts/kafka-broker").mkdir(parents=True)
    (tmp_path / "scripts/kafka-broker/pom.xml").touch()
    monkeypatch.setattr(support, "ROOT", tmp_path)
    with pytest.raises(KafkaMissing, match="run scripts/kafka install"), kafka():
        pass


def test_the_topics_step_creates_then_finds_them(broker: Broker) -> None:
    said = [
        subprocess.run(
            [ROOT / "scripts/topics", "--servers", broker.servers, "--prefix", "step."],
            capture_output=True, text=True, check=True, timeout=60,
        ).stdout
        for _ in range(2)
    ]  # fmt: skip

    assert said[0].splitlines() == [f"created step.{topic.name}" for topic in TOPICS]
    assert said[1] == f"all {len(TOPICS)} topics are there, as they should be\n"
