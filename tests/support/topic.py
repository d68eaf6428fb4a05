"""What is on the events' topic, and how far the relay says that it is.

On the topic, every position comes for the first time right after the one before it; what comes again is a repetition
that consumers drop.
"""

from __future__ import annotations

import asyncio

import pg8000.dbapi
from aiokafka import AIOKafkaConsumer, TopicPartition
from sqlalchemy import make_url

from tests.support.system import System
from tests.support.waiting import until


def topic_positions(system: System) -> list[int]:
    """Return the positions on the topic, in the topic's order."""
    return asyncio.run(_positions(system.broker.servers, f"{system.prefix}resedge.events"))


async def _positions(servers: str, topic: str) -> list[int]:
    partition = TopicPartition(topic, 0)
    consumer = AIOKafkaConsumer(bootstrap_servers=servers, enable_auto_commit=False, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([partition])
        end = (await consumer.end_offsets([partition]))[partition]
        found: list[int] = []
        await consumer.seek_to_beginning(partition)
        while await consumer.position(partition) < end:
            records = (await consumer.getmany(partition, timeout_ms=1_000)).get(partition, [])
            found += [int(dict(record.headers)["ce_position"]) for record in records if record.offset < end]
        return found
    finally:
        await consumer.stop()


def published_position(system: System) -> int:
    """Return up to where the relay has recorded that Kafka has acknowledged; 0 before its first record."""
    url = make_url(system.views["relay"])
    connection = pg8000.dbapi.connect(
        user=str(url.username), host=url.host, port=int(url.port or 0), database=url.database, ssl_context=False
    )
    try:
        cursor = connection.cursor()
        cursor.execute("SELECT position FROM published")
        row = cursor.fetchone()
        return int(row[0]) if row else 0
    finally:
        connection.close()


def check_topic(system: System) -> None:
    """Every event of the log is on the topic, none is left out, and what repeats is a repetition."""
    log = system.log()
    try:
        head = log.head().position
    finally:
        log.close()
    reached = 0
    for position in topic_positions(system):
        assert position <= reached + 1, f"position {position} is on the topic right after {reached}"
        reached = max(reached, position)
    assert reached == head, f"the topic ends at {reached}, the log at {head}"
    until(lambda: published_position(system) == head, what=f"the relay records position {head}")
