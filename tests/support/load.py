"""Clients that change things at the same time until they are told to stop, and readers of what Kafka holds.

A client that fails fails the drill: what it raised is raised where the load ends.
"""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from libs.bus.topics import MESSAGE_BYTES_MAX

SEED = int(os.environ.get("RESEDGE_DRILL_SEED", "1"))
"""What all dice of a drill are thrown with; `scripts/drills` gives each round another one."""

Work = Callable[[random.Random, int, int], Any]
"""What a client does again and again: takes its dice, its number and how often it has done it."""


class Load:
    """Clients at work, each in a thread; `seconds` holds how long each turn took, `done` how many there were."""

    def __init__(self, work: Work, clients: int = 2, pause_seconds: float = 0.0) -> None:
        self._work, self._clients, self._pause = work, clients, pause_seconds
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(clients, thread_name_prefix="client")
        self._running: list[Future[None]] = []
        self.seconds: list[float] = []

    def __enter__(self) -> Self:
        self._running = [self._pool.submit(self._run, client) for client in range(self._clients)]
        return self

    def _run(self, client: int) -> None:
        dice = random.Random(SEED * 1_000 + client)
        turn = 0
        while not self._stop.is_set():
            started = time.perf_counter()
            try:
                self._work(dice, client, turn)
            except BaseException:
                self._stop.set()
                raise
            self.seconds.append(time.perf_counter() - started)
            turn += 1
            self._stop.wait(self._pause)

    @property
    def done(self) -> int:
        return len(self.seconds)

    def run(self, seconds: float) -> None:
        """Let the clients work for so long, or until one of them fails."""
        self._stop.wait(seconds)

    def __exit__(self, kind: type[BaseException] | None, *_exception: object) -> None:
        self._stop.set()
        self._pool.shutdown()
        if kind is None:
            for each in self._running:
                each.result()


def median(values: list[float]) -> float:
    """Return the middle value."""
    return sorted(values)[len(values) // 2]


async def produce(
    servers: str, topic: str, messages: list[tuple[bytes | None, bytes, list[tuple[str, bytes]]]]
) -> None:
    """Send messages (key, value, headers) in this order, as anybody with access to Kafka could."""
    producer = AIOKafkaProducer(bootstrap_servers=servers, max_request_size=MESSAGE_BYTES_MAX)
    await producer.start()
    try:
        for key, value, headers in messages:
            await producer.send_and_wait(topic, value, key=key, headers=headers, partition=0)
    finally:
        await producer.stop()


async def held(servers: str, topic: str, after: int = 0) -> list[Any]:
    """Return all records of a topic's only partition from an offset on."""
    consumer = AIOKafkaConsumer(bootstrap_servers=servers, enable_auto_commit=False, auto_offset_reset="earliest")
    await consumer.start()
    try:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        end = (await consumer.end_offsets([partition]))[partition]
        consumer.seek(partition, after)
        found: list[Any] = []
        async with asyncio.timeout(30):
            while await consumer.position(partition) < end:
                for batch in (await consumer.getmany(timeout_ms=500)).values():
                    found += batch
        return found
    finally:
        await consumer.stop()
