"""The embedded composition: services, their log, their views and one feed, in one process under one application.

Only this module knows all parts of a process; services see only their `Ports`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import structlog
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient
from sqlalchemy.ext.asyncio import AsyncEngine

from libs.access.denials import Denials, DenialsKept
from libs.access.freshness import Freshness
from libs.access.oidc import ProviderTokens
from libs.access.rights import Rights
from libs.access.tokens import Known, Tokens, TokenStore
from libs.bus import Consumer, Feed, ViewConsumer
from libs.commands.commands import Turns
from libs.commands.metrics import note_batch
from libs.commands.positions import Positions
from libs.eventlog import EventLog
from libs.fleet import FleetModel
from libs.runtime.clock import ClockRefused, VirtualClock, new_id, utc_now
from libs.runtime.deciding import Served
from libs.runtime.documents import documents_router
from libs.runtime.lock import DataDirLock
from libs.runtime.service import Build, Ports, Service
from libs.runtime.snapshots import DamagedSnapshot, Snapshots
from libs.runtime.wiring import ON_DISK, Wiring
from libs.version import VERSION
from libs.web.application import Readiness, ReadinessCheck, web_application
from libs.web.projections import Projections

LAG_EVENTS_MAX = 20_000
DRAIN_SECONDS = 4.0

log = structlog.get_logger("resedge.runtime")


class Embedded:
    """A running composition on one data directory.

    Construct it (which takes the directory's lock), then either serve `app`, whose lifespan starts and stops it, or
    use `running()` in tests.
    """

    def __init__(  # noqa: PLR0913 - the composition root
        self,
        data_dir: Path,
        services: Sequence[Build],
        *,
        log_url: str | None = None,
        name: str = "",
        wiring: Wiring = ON_DISK,
        clock: Callable[[], datetime] = utc_now,
        ids: Callable[[], str] = new_id,
        snapshot_seconds: float = 300.0,
    ) -> None:
        """Open the log and build the services; `name` is the service's where one process runs only that one.

        Raises:
            DataDirInUse: another process works there.
            ClockRefused: a virtual clock cannot be used on this log.
        """
        self.data_dir = data_dir
        self._name, self._wiring = name, wiring
        self.instance = wiring.named(data_dir)
        self._lock = DataDirLock(data_dir, f"{name}-lock" if name else "lock")
        self.log = EventLog.open(log_url or f"sqlite:///{data_dir / 'log.db'}", clock=clock)
        self._virtual = clock if isinstance(clock, VirtualClock) else None
        self._check_clock()
        self.log.on_batch(note_batch)
        self.tokens = TokenStore(wiring.tokens_path or data_dir / "tokens.json")
        self._snapshots = Snapshots(data_dir / "snapshots" / name if name else data_dir / "snapshots")
        self._snapshot_seconds = snapshot_seconds
        self.facts = self._restored()
        self._snapshot_at = self.facts.position
        self._positions = Positions()
        self._freshness = Freshness(self.log, lambda position: self._positions.seen(position, self.facts, by_log=True))
        self._accounts: tuple[int, set[str]] = (-1, set())
        self._turns = Turns()
        self._engines: list[AsyncEngine] = []
        self._clock, self._ids = clock, ids
        self.services = [self._build(build, alone=len(services) == 1) for build in services]
        views = [each for service in self.services for each in service.consumers if isinstance(each, ViewConsumer)]
        self._projections = Projections(self.log, views)
        self._feed: Feed | None = None
        self._ready_at = 0
        self._stopped = False
        self._background: list[asyncio.Task[None]] = []
        denials = Denials(clock)
        self._denials = DenialsKept(self.log, denials, f"resedge/{name or 'embedded'}")
        self.app = self._application(denials)

    def _check_clock(self) -> None:
        if self._virtual is None:
            return
        try:
            self._virtual.check(self.log, self._wiring.kafka_servers)
        except ClockRefused:
            self.log.close()
            self._lock.release()
            raise

    def _restored(self) -> FleetModel:
        facts = FleetModel(self.log)
        try:
            self._snapshots.restore(facts, self.log)
        except DamagedSnapshot:
            return FleetModel(self.log)
        return facts

    def _build(self, build: Build, *, alone: bool) -> Service:
        name = build.__module__.split(".")[1]
        engine = self._wiring.views(self.data_dir, name, alone=alone)
        self._engines.append(engine)
        return build(
            Ports(
                service=name,
                instance=self.instance,
                data_dir=self.data_dir,
                log=self.log,
                facts=self.facts,
                engine=engine,
                positions=self._positions,
                turns=self._turns,
                kafka=self._wiring.kafka,
                api=self._own_api,
                clock=self._clock,
                speed=1.0 if self._virtual is None else self._virtual.speed,
                ids=self._ids,
            )
        )

    def _own_api(self) -> AsyncClient:
        token = self.tokens.internal("relay", frozenset({"relay"}))
        return AsyncClient(
            transport=ASGITransport(self.app, raise_app_exceptions=False),
            base_url="http://resedge.internal",
            headers={"Authorization": f"Bearer {token}"},
        )

    def _verifier(self) -> Tokens:
        known = Known(lambda: self.facts.fleet.policy, self._freshness.settled, self._freshness.look_again)
        provider = self._wiring.provider
        if provider is None:
            return Tokens(self.tokens, known, self._clock)
        return Tokens(self.tokens, known, self._clock, ProviderTokens(provider, self._clock, self._service_accounts))

    def _service_accounts(self) -> set[str]:
        """Return the names that no person can have, whatever the identity provider claims."""
        position, known = self._accounts
        if position != self.facts.position:
            policy = self.facts.fleet.policy
            local = {token.user for token in policy.tokens.values() if token.service_account}
            bound = {each.service_account for binding in policy.bindings.values() for each in binding.subjects}
            known = local | (bound - {""})
            self._accounts = self.facts.position, known
        return self.tokens.service_accounts() | known

    def _application(self, denials: Denials) -> FastAPI:
        @asynccontextmanager
        async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
            await self.start()
            try:
                yield
            finally:
                await self.stop()

        checks: list[ReadinessCheck] = [self._check_consumers]
        checks += [check for service in self.services for check in service.checks]
        app = web_application(
            title="Resilient Edge",
            tokens=self._verifier(),
            rights=Rights(lambda: self.facts.fleet, self._clock),
            denials=denials,
            new_id=self._ids,
            checks=checks,
            collect=self._collect,
            clock_told=None if self._virtual is None else self._virtual.told,
            lifespan=lifespan,
        )
        served = {
            kind.kind: Served(kind, service.commands)
            for service in self.services
            if service.commands is not None
            for kind in service.kinds
        }
        if served:
            reaches = next((service.elsewhere for service in self.services if service.elsewhere is not None), None)
            app.include_router(documents_router(served, reaches))
        app.include_router(self._projections.router)
        for service in self.services:
            app.include_router(service.router)
        return app

    @asynccontextmanager
    async def running(self) -> AsyncIterator[FastAPI]:
        """Start, yield the application, stop; for tests, instead of serving it."""
        await self.start()
        try:
            yield self.app
        finally:
            await self.stop()

    async def start(self) -> None:
        """Start feeding the consumers, then the services."""
        self._feed = self._wiring.feed(self.log, self._consumers(), self._name or "embedded", self.instance)
        self._ready_at = (await asyncio.to_thread(self.log.head)).position
        self._positions.attach(self._feed, self._ready_at)
        await self._feed.start()
        self._projections.start(self._feed)
        for service in self.services:
            if service.start is not None:
                await service.start()
        self._background = [
            asyncio.create_task(each)
            for each in (self._snapshot_now_and_then(), self._freshness.keep(), self._denials.keep())
        ]
        names = [service.name for service in self.services]
        log.info("started", version=VERSION, services=names, position=self._ready_at)

    def _consumers(self) -> list[Consumer]:
        # Every process follows the fleet: tokens, roles and bindings are in it, and every route asks for them.
        return [self.facts, *(consumer for service in self.services for consumer in service.consumers)]

    def drain(self) -> None:
        """End endless answers now."""
        for service in self.services:
            if service.drain is not None:
                service.drain()

    async def stop(self) -> None:
        """Stop the services, bring the consumers to the log's end, write a snapshot, release everything; once."""
        if self._stopped:
            return
        self._stopped = True
        for task in self._background:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for service in reversed(self.services):
            if service.stop is not None:
                await service.stop()
        await self._denials.append(whole=True)
        await self._projections.stop()
        if self._feed is not None:
            await self._feed.stop(DRAIN_SECONDS)
        await self._snapshot()
        for engine in self._engines:
            await engine.dispose()
        await asyncio.to_thread(self.log.close)
        self._lock.release()
        log.info("stopped", position=self.facts.position)

    async def settled(self, seconds: float = 5.0) -> int:
        """Wait until every consumer has seen the log's head, and return its position."""
        position = (await asyncio.to_thread(self.log.head)).position
        if self._feed is not None:
            await self._feed.bring([state.name for state in self._feed.states()], position, seconds)
        return position

    async def _check_consumers(self) -> Readiness:
        states = [] if self._feed is None else self._feed.states()
        if not states:
            return Readiness("consumers", ok=False, detail="not started")
        broken = [f"{each.name}: {each.stopped or each.failing}" for each in states if each.stopped or each.failing]
        if broken:
            return Readiness("consumers", ok=False, detail="; ".join(broken))
        behind = [
            f"{each.name} is {each.lag} events behind"
            for each in states
            if each.position < self._ready_at or each.lag > LAG_EVENTS_MAX
        ]
        detail = "; ".join(behind) or f"all at position {min(each.position for each in states)}"
        if self._feed is not None and (trouble := self._feed.trouble()):
            detail += f"; the log is at position {self._feed.head}; {trouble}"
        return Readiness("consumers", ok=not behind, detail=detail)

    def _collect(self) -> None:
        if self._feed is not None:
            self._feed.collect()

    async def _snapshot_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(self._snapshot_seconds)
            await self._snapshot()

    async def _snapshot(self) -> None:
        """Write a snapshot of the fleet, unless the last one is of this position."""
        position = self.facts.position
        if position == self._snapshot_at:
            return
        try:
            content = self.facts.snapshot()
        except ValueError:
            return  # this model has no dump
        try:
            await asyncio.to_thread(self._snapshots.write, self.facts.name, content)
        except OSError as error:
            log.warning("snapshot not written", reason=str(error))
        else:
            self._snapshot_at = position
