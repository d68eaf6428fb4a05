"""The relay's outbox in its process: its progress is kept in the relay's own database.

A record is accepted only under the newest fencing epoch, so that a relay that was paused cannot set another one back.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import BigInteger, Column, LargeBinary, MetaData, String, Table, insert, select, update
from sqlalchemy.exc import IntegrityError

from libs.bus import START, Checkpoint
from libs.bus.outbox import Outbox
from libs.bus.storage import create_tables
from libs.bus.topics import ensure_topics
from libs.web.application import Readiness

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from libs.runtime.service import Ports

STREAM = "resedge.events"
TELL_SECONDS = 1.0
"""How old the figures of the relay may be."""

log = structlog.get_logger("relay")

_metadata = MetaData()
_published = Table(
    "published",
    _metadata,
    Column("topic", String(255), primary_key=True),
    Column("epoch", String(64), nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
    Column("fencing", BigInteger, nullable=False),
)


class PublishedRecords:
    """The progress of publishing: one row in the relay's database."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        # One statement without a transaction: a relay that is stopped inside one would hold the row from its successor.
        self._alone = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._made = False

    async def kept(self) -> Checkpoint:
        """Return the last recorded checkpoint, or `START`."""
        await self._make()
        columns = (_published.c.epoch, _published.c.position, _published.c.hash)
        async with self._engine.connect() as connection:
            row = (await connection.execute(select(*columns).where(_published.c.topic == STREAM))).one()
        return Checkpoint(row.epoch, row.position, bytes(row.hash)) if row.position else START

    async def record(self, checkpoint: Checkpoint, fencing: int) -> bool:
        """Record a checkpoint under a fencing epoch; False: a later epoch has recorded already."""
        change = (
            update(_published)
            .where(_published.c.topic == STREAM, _published.c.fencing <= fencing)
            .values(epoch=checkpoint.epoch, position=checkpoint.position, hash=checkpoint.hash, fencing=fencing)
        )
        async with self._alone.connect() as connection:
            return (await connection.execute(change)).rowcount == 1

    async def _make(self) -> None:
        if self._made:
            return
        async with self._engine.begin() as connection:
            await create_tables(connection, _metadata)
        row = {"topic": STREAM, "epoch": START.epoch, "position": 0, "hash": START.hash, "fencing": 0}
        with contextlib.suppress(IntegrityError):  # the row is there
            async with self._engine.begin() as connection:
                await connection.execute(insert(_published).values(row))
        self._made = True


def _say_why(task: asyncio.Task[None]) -> None:
    """Log why publishing ended, unless it was stopped: readiness reports it too, but people read the log first."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("relay.publishing-ended", reason=f"{type(error).__name__}: {error}")


class Publishing:
    """The outbox as a part of a process: starts and stops with it."""

    def __init__(self, ports: Ports, lease_seconds: float) -> None:
        """Take the ports of a process that has Kafka.

        Raises:
            ValueError: it has none.
        """
        if ports.kafka is None:
            raise ValueError("there is no Kafka to publish on")
        self._kafka = ports.kafka
        self.outbox = Outbox(
            ports.log,
            PublishedRecords(ports.engine),
            servers=ports.kafka.servers,
            holder=ports.instance,
            topic=ports.kafka.prefix + STREAM,
            lease_seconds=lease_seconds,
            prepare=self._make_topics,
        )
        self._task: asyncio.Task[None] | None = None
        self._telling: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Begin to publish, or to stand by."""
        self._task = asyncio.create_task(self.outbox.run())
        self._task.add_done_callback(_say_why)
        self._telling = asyncio.create_task(self._tell())

    async def end(self) -> None:
        """Finish nothing: what Kafka has not acknowledged is published by the next relay."""
        tasks = [task for task in (self._task, self._telling) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def ready(self) -> Readiness:
        """Tell whether it publishes; an unreachable Kafka is reported, but does not make the process unready."""
        progress = self.outbox.progress
        if progress.stopped:
            return Readiness("outbox", ok=False, detail=progress.stopped)
        if self._task is not None and self._task.done() and not self._task.cancelled():
            return Readiness("outbox", ok=False, detail=f"it ended: {self._task.exception()}")
        role = f"published up to position {progress.position}" if progress.leads else "stands by"
        return Readiness("outbox", ok=True, detail=f"{role}; {progress.trouble}" if progress.trouble else role)

    async def _make_topics(self) -> None:
        """Create missing topics, if that is allowed; also when Kafka has lost its data meanwhile."""
        if not self._kafka.create_topics:
            return
        report = await ensure_topics(self._kafka.servers, prefix=self._kafka.prefix)
        if report.created or report.differing:
            log.info("relay.topics", created=report.created, differing=report.differing)

    async def _tell(self) -> None:
        """Keep the figures up to date, also those of a relay that stands by."""
        while True:
            try:
                await self.outbox.collect()
            except Exception as error:  # noqa: BLE001 - figures that fail once are told again
                log.warning("relay.figures", reason=f"{type(error).__name__}: {error}")
            await asyncio.sleep(TELL_SECONDS)
