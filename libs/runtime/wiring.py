"""The connections of a process: how events reach it, where its views are, whose tokens it accepts.

Services see none of this; the same service runs in one process on SQLite and alone on Kafka.
"""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from libs.access.oidc import Provider
from libs.bus import Consumer, Feed, LogFeed, view_engine
from libs.bus.messages import EVENTS_TOPIC
from libs.eventlog import EventLog
from libs.runtime.service import KafkaAccess
from libs.runtime.settings import ProcessSettings


@dataclass(frozen=True, slots=True)
class Wiring:
    """The connections of one process; without any it lives on its data directory.

    `views_url` may hold `{service}`, which is needed where one process runs several services; `instance` names this
    replica and no other one.
    """

    views_url: str = field(default="", repr=False)
    kafka_servers: str = ""
    kafka_prefix: str = ""
    kafka_create_topics: bool = False
    tokens_path: Path | None = None
    instance: str = ""
    provider: Provider | None = None

    @classmethod
    def of(cls, settings: ProcessSettings) -> Wiring:
        """Return the connections of a process's settings.

        Raises:
            BadProvider: the identity provider's settings cannot be used.
        """
        return cls(
            settings.views_url,
            settings.kafka_servers,
            settings.kafka_prefix,
            settings.kafka_create_topics,
            settings.tokens_path,
            settings.instance,
            _provider(settings),
        )

    @property
    def kafka(self) -> KafkaAccess | None:
        """Return the Kafka settings for a service that uses Kafka itself."""
        if not self.kafka_servers:
            return None
        return KafkaAccess(self.kafka_servers, self.kafka_prefix, self.kafka_create_topics)

    def named(self, data_dir: Path) -> str:
        """Return the name of this replica: the given one, or the host's with a mark of the data directory."""
        if self.instance:
            return self.instance
        mark = hashlib.sha256(str(data_dir.resolve()).encode()).hexdigest()[:8]
        return f"{socket.gethostname()}-{mark}"

    def views(self, data_dir: Path, service: str, *, alone: bool) -> AsyncEngine:
        """Return the engine of a service's views.

        Raises:
            ValueError: several services would share one schema.
        """
        if not self.views_url:
            views = data_dir / "views"
            views.mkdir(mode=0o700, exist_ok=True)
            return view_engine(f"sqlite+aiosqlite:///{views / service}.db")
        if not alone and "{service}" not in self.views_url:
            raise ValueError(
                "RESEDGE_VIEWS_URL must hold {service} where one process runs several services: each has its own role"
            )
        return view_engine(self.views_url.replace("{service}", service))

    def feed(self, log: EventLog, consumers: Iterable[Consumer], service: str, instance: str) -> Feed:
        """Return the feed of the consumers."""
        if not self.kafka_servers:
            return LogFeed(log, consumers, service)
        from libs.bus.kafka import KafkaFeed  # noqa: PLC0415 - the embedded default does without a broker's client

        return KafkaFeed(
            log,
            consumers,
            service,
            servers=self.kafka_servers,
            group=f"{self.kafka_prefix}resedge.{service}.{instance}",
            topic=self.kafka_prefix + EVENTS_TOPIC,
        )


def _provider(settings: ProcessSettings) -> Provider | None:
    if not settings.oidc_issuer:
        return None
    return Provider(
        issuer=settings.oidc_issuer,
        audience=settings.oidc_audience or settings.oidc_client_id,
        algorithms=tuple(each.strip() for each in settings.oidc_algorithms.split(",") if each.strip()),
        name_claim=settings.oidc_name_claim,
        groups_claim=settings.oidc_groups_claim,
        verified_claim=settings.oidc_verified_claim,
    )


ON_DISK = Wiring()
"""No connections: everything is in the data directory."""
