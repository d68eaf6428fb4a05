"""What a process gives a service (`Ports`) and what a service gives back (`Service`).

The one rule: a service's `build(ports)` opens nothing and starts nothing; its hooks do.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from httpx2 import AsyncClient
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.bus import Consumer
from libs.commands.commands import Commands, FleetFollower, Turns
from libs.commands.documents import DocumentsView
from libs.commands.kinds import DeclaredKind
from libs.commands.positions import Positions
from libs.eventlog import EventLog
from libs.web.application import ReadinessCheck

Hook = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class KafkaAccess:
    """Kafka's address (`host:port,…`), the prefix of its topics, and whether they may be created."""

    servers: str
    prefix: str = ""
    create_topics: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The outside world of one service: the log, the process's fleet, its own view database, time and ids.

    `facts` is the process's shared query fleet: read it in the event loop, never change it. `positions` waits for
    consumers. `turns` is shared by all services of the process. `instance` names this replica; `kafka` is None where
    events do not travel by it. `api` makes a client of this very process's routes, with the rights of the relay; call
    it once the process runs. `clock` runs `speed` times as fast as real time: divide a sleep until one of its instants
    by `speed`.
    """

    service: str
    instance: str
    data_dir: Path
    log: EventLog
    facts: FleetFollower
    engine: AsyncEngine
    positions: Positions
    turns: Turns
    kafka: KafkaAccess | None
    api: Callable[[], AsyncClient]
    clock: Callable[[], datetime]
    ids: Callable[[], str]
    speed: float = 1.0

    def commands(self, kinds: Iterable[DeclaredKind[Any, Any]]) -> Commands:
        """Return the execution of a service's commands over the documents view of `kinds`."""
        return Commands(
            log=self.log,
            facts=self.facts,
            view=DocumentsView(self.service, self.log, self.engine, kinds),
            positions=self.positions,
            clock=self.clock,
            turns=self.turns,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service, built: its routes, its consumers of the log, what it declares, its hooks and readiness checks.

    `commands` executes the declarations of `kinds` that come by `POST /v1/documents`, and its view is fed like the
    other `consumers`. `elsewhere` opens a client, with the relay's token, that reaches the services which decide the
    other kinds, where they run on their own. `start` runs once the feed runs, `stop` before it ends; `drain` (in the
    event loop, as soon as the process is told to end) lets long answers finish early.
    """

    name: str
    router: APIRouter
    consumers: Sequence[Consumer] = ()
    kinds: Sequence[DeclaredKind[Any, Any]] = ()
    commands: Commands | None = None
    elsewhere: Callable[[], AsyncClient] | None = None
    drain: Callable[[], None] | None = None
    start: Hook | None = None
    stop: Hook | None = None
    checks: Sequence[ReadinessCheck] = field(default=())


Build = Callable[[Ports], Service]
