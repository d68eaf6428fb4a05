"""The topics on Kafka: their names, partitions, retention and size.

The one rule: `resedge.events` has exactly one partition, because its order is the log's order. Nothing here changes a
topic that already exists: differences are reported, and an administrator decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import (
    ConfigResource,
    ConfigResourceType,
)
from aiokafka.errors import for_code

MESSAGE_BYTES_MAX = 1024 * 1024
"""An event is at most 256 KiB and carries its envelope in the headers; a batch of small ones may be as large."""
REPLICAS_MAX = 3
_DAY_MS = 24 * 60 * 60 * 1000
_LEADERS_SECONDS = 15.0
_TOPIC_ALREADY_EXISTS = 36


class TopicNotCreated(RuntimeError):  # noqa: N818 - it states the fact
    """Kafka did not create a topic, or has no leader for it."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic as it should be."""

    name: str
    partitions: int
    retention_days: int

    @property
    def configs(self) -> Mapping[str, str]:
        """Return the settings that are compared; all others are the broker's."""
        return {
            "cleanup.policy": "delete",
            "max.message.bytes": str(MESSAGE_BYTES_MAX),
            "retention.ms": str(self.retention_days * _DAY_MS),
        }


TOPICS = (
    # A week bridges any outage of a consumer; one that was away longer reads the log.
    Topic("resedge.events", partitions=1, retention_days=7),
    Topic("resedge.inbox", partitions=3, retention_days=7),
    Topic("resedge.status", partitions=3, retention_days=7),
    # People look at dead letters, and people have holidays.
    Topic("resedge.events.dlq", partitions=1, retention_days=30),
    Topic("resedge.inbox.dlq", partitions=1, retention_days=30),
    Topic("resedge.status.dlq", partitions=1, retention_days=30),
)


@dataclass(frozen=True, slots=True)
class TopicsReport:
    """What `ensure_topics` did and found."""

    created: tuple[str, ...] = ()
    differing: tuple[str, ...] = field(default=())
    """A sentence for each difference from `TOPICS`."""


async def ensure_topics(servers: str, *, prefix: str = "") -> TopicsReport:
    """Create the missing `TOPICS`, under `prefix`, and report how existing ones differ.

    Safe to call from many processes at once. Replicas: one on each broker, at most three.

    Raises:
        TopicNotCreated: Kafka refused one, or has no leader for one after 15 seconds.
        KafkaError: Kafka cannot be reached.
    """
    async with _admin(servers) as admin:
        replicas = min(REPLICAS_MAX, len((await admin.describe_cluster())["brokers"]))
        before = await _partitions(admin)
        missing = [topic for topic in TOPICS if prefix + topic.name not in before]
        created = await _create(admin, missing, prefix, replicas) if missing else ()
        await _wait_for_leaders(admin, prefix)
        return TopicsReport(created, tuple(await _differences(admin, prefix)))


@asynccontextmanager
async def _admin(servers: str) -> AsyncIterator[Any]:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers, request_timeout_ms=15_000)
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


async def _partitions(admin: Any) -> dict[str, list[Mapping[str, Any]]]:
    # All of them: asking for one by name would create it where the broker creates topics on demand.
    return {each["topic"]: each["partitions"] for each in await admin.describe_topics()}


async def _create(admin: Any, missing: list[Topic], prefix: str, replicas: int) -> tuple[str, ...]:
    wanted = [
        NewTopic(prefix + topic.name, topic.partitions, replicas, topic_configs=dict(topic.configs))
        for topic in missing
    ]
    answer = await admin.create_topics(wanted)
    created = []
    for name, code, *said in answer.topic_errors:
        if code == 0:
            created.append(name)
        elif code != _TOPIC_ALREADY_EXISTS:  # another process was first
            why = said[0] if said and said[0] else for_code(code).__name__
            raise TopicNotCreated(f"Kafka did not create topic {name}: {why}")
    return tuple(created)


async def _wait_for_leaders(admin: Any, prefix: str) -> None:
    names = without = [prefix + topic.name for topic in TOPICS]
    try:
        async with asyncio.timeout(_LEADERS_SECONDS):
            while True:
                now = await _partitions(admin)
                without = [name for name in names if not _led(now.get(name, []))]
                if not without:
                    return
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise TopicNotCreated(f"Kafka has no leader for {', '.join(without)}") from None


def _led(partitions: list[Mapping[str, Any]]) -> bool:
    return bool(partitions) and all(each["leader"] >= 0 for each in partitions)


async def _differences(admin: Any, prefix: str) -> list[str]:
    partitions = await _partitions(admin)
    answers = await admin.describe_configs(
        [ConfigResource(ConfigResourceType.TOPIC, prefix + topic.name) for topic in TOPICS]
    )
    configs = {name: {entry[0]: entry[1] for entry in entries} for a in answers for *_, name, entries in a.resources}
    found = []
    for topic in TOPICS:
        name = prefix + topic.name
        count = len(partitions[name])
        if count != topic.partitions:
            found.append(f"{name} has {count} partitions, not {topic.partitions}")
        found += [
            f"{name} has {key}={configs[name].get(key)}, not {value}"
            for key, value in topic.configs.items()
            if configs[name].get(key) != value
        ]
    return found
