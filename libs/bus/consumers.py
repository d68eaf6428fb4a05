"""The two kinds of consumer: views, in a database, and models, in memory.

The one rule: a view's rows and its checkpoint commit in one transaction, in which the checkpoint row is compared and
swapped, so that neither a crash nor a second replica applies an event twice.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Column, LargeBinary, MetaData, String, Table, event, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from libs.bus.contract import START, Checkpoint, ConsumerStopped, LogSource, read_page
from libs.contracts import Recorded
from libs.contracts.crash import crash_point

FOLD_CHUNK_EVENTS = 500
"""Events that a model folds before other work of the event loop gets its turn."""

PASSED_EVENTS_MAX = 10_000
"""Events that a view passes over, as it makes nothing of them, before it writes down how far it is."""

_FILL_EVENTS_MAX = 1_000

_metadata = MetaData()
_checkpoints = Table(
    "checkpoints",
    _metadata,
    Column("consumer", String(255), primary_key=True),
    Column("epoch", String(64), nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
)


def view_engine(url: str) -> AsyncEngine:
    """Return an engine for views (`sqlite+aiosqlite:///FILE`, `postgresql+asyncpg://…`).

    On SQLite a power cut may undo the last transactions, rows and checkpoint together; the log brings them again.
    """
    engine = create_async_engine(url)
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine.sync_engine, "connect")
        def _prepare(connection: Any, _record: object) -> None:
            cursor = connection.cursor()
            cursor.execute("PRAGMA journal_mode = WAL")
            cursor.execute("PRAGMA synchronous = NORMAL")
            cursor.execute("PRAGMA busy_timeout = 10000")
            cursor.close()

    return engine


class _Tracking(abc.ABC):
    """Keeps a checkpoint, and makes one run of consecutive new events of whatever is handed over."""

    def __init__(self, name: str, log: LogSource) -> None:
        """Take the name under which progress is kept, and the log from which holes are filled."""
        self._name = name
        self._log = log
        self._checkpoint = START

    @property
    def name(self) -> str:
        """The name under which progress is kept and shown."""
        return self._name

    @property
    def checkpoint(self) -> Checkpoint:
        """How far it is."""
        return self._checkpoint

    @property
    def position(self) -> int:
        """The position of the last event that was applied."""
        return self._checkpoint.position

    async def handle(self, batch: Sequence[Recorded]) -> None:
        """Apply what is new of a batch; what is missing before it is read from the log.

        Raises:
            ConsumerStopped: the log is not the one that was applied, or an event cannot be applied.
        """
        async for run in self._runs(batch):
            await self._apply(run)

    @abc.abstractmethod
    async def _apply(self, run: Sequence[Recorded]) -> None:
        """Apply events that follow the checkpoint without a hole, and move it."""

    async def _runs(self, batch: Sequence[Recorded]) -> AsyncIterator[Sequence[Recorded]]:
        start = 0
        while start < len(batch):
            position = self.position
            if batch[start].position <= position:
                start += 1
            elif batch[start].position > position + 1:
                yield await self._missing(batch[start].position)
            else:
                end = start + 1
                while end < len(batch) and batch[end].position == batch[end - 1].position + 1:
                    end += 1
                yield batch[start:end] if end - start < len(batch) else batch

    async def _missing(self, until: int) -> Sequence[Recorded]:
        """Read what comes after the checkpoint and before `until`, at most a page."""
        limit = min(until - 1 - self.position, _FILL_EVENTS_MAX)
        page = await asyncio.to_thread(read_page, self._log, self.position, limit)
        page.check(self.name, self.checkpoint)
        if not page.events:
            raise ConsumerStopped(self.name, f"position {self.position + 1} came by but is not in the log")
        return page.events


class ViewConsumer(_Tracking):
    """Projects events into tables. A subclass names its tables in `metadata` and implements `project`."""

    metadata: MetaData | None = None

    def __init__(self, name: str, log: LogSource, engine: AsyncEngine) -> None:
        """Take the engine of the database that holds the view (see `view_engine`)."""
        super().__init__(name, log)
        self.engine = engine
        self._stored = START

    def concerns(self, recorded: Recorded) -> bool:  # noqa: ARG002 - a view that says nothing takes all
        """Whether `project` makes anything of an event; what no view is concerned with needs no transaction."""
        return True

    @abc.abstractmethod
    async def project(self, connection: AsyncConnection, batch: Sequence[Recorded]) -> None:
        """Write what the events mean, inside the transaction that also moves the checkpoint."""

    async def start(self) -> Checkpoint | None:
        """Create missing tables and return the kept checkpoint."""
        async with self.engine.begin() as connection:
            await connection.run_sync(_metadata.create_all)
            if self.metadata is not None:
                await connection.run_sync(self.metadata.create_all)
        with contextlib.suppress(IntegrityError):  # the row is there, or a replica was faster
            async with self.engine.begin() as connection:
                await connection.execute(
                    insert(_checkpoints).values(consumer=self.name, epoch=START.epoch, position=0, hash=START.hash)
                )
        self._checkpoint = self._stored = await self._kept() or START
        return None if self._checkpoint == START else self._checkpoint

    async def _apply(self, run: Sequence[Recorded]) -> None:
        behind = run[-1].position - self._stored.position
        if behind < PASSED_EVENTS_MAX and not any(map(self.concerns, run)):
            self._checkpoint = Checkpoint.after(run[-1])  # a process that ends here passes over them once more
        elif not await self._swap(run):
            kept = await self._kept()
            if kept is None or kept == self._stored:
                raise ConsumerStopped(self.name, "its checkpoint row is gone")
            self._checkpoint = self._stored = kept  # another replica was faster; go on from where it is

    async def _swap(self, run: Sequence[Recorded]) -> bool:
        now, then = self._stored, Checkpoint.after(run[-1])
        swap = (
            update(_checkpoints)
            .where(
                _checkpoints.c.consumer == self.name,
                _checkpoints.c.position == now.position,
                _checkpoints.c.hash == now.hash,
            )
            .values(epoch=then.epoch, position=then.position, hash=then.hash)
        )
        async with self.engine.begin() as connection:
            if (await connection.execute(swap)).rowcount != 1:
                return False
            await self.project(connection, run)
            crash_point("bus.view.before-commit")
        crash_point("bus.view.after-commit")
        self._checkpoint = self._stored = then
        return True

    async def _kept(self) -> Checkpoint | None:
        columns = (_checkpoints.c.epoch, _checkpoints.c.position, _checkpoints.c.hash)
        async with self.engine.connect() as connection:
            row = (await connection.execute(select(*columns).where(_checkpoints.c.consumer == self.name))).one_or_none()
        return None if row is None else Checkpoint(row.epoch, row.position, bytes(row.hash))


class _Snapshot(msgspec.Struct, frozen=True):
    """What a model's snapshot says of itself."""

    name: str
    version: str
    epoch: str
    position: int
    hash: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class SnapshotHooks:
    """Turn a model into bytes and back; `version` names the reducer: another one's snapshot is not taken."""

    dump: Callable[[], bytes]
    load: Callable[[bytes], None]
    version: str


class ModelConsumer(_Tracking):
    """Folds events into memory, in chunks between which the event loop gets its turn."""

    def __init__(
        self, name: str, log: LogSource, fold: Callable[[Recorded], None], snapshots: SnapshotHooks | None = None
    ) -> None:
        """Take the function that folds one event."""
        super().__init__(name, log)
        self._fold = fold
        self._snapshots = snapshots
        self._broken: ConsumerStopped | None = None

    async def start(self) -> Checkpoint | None:
        """Return the checkpoint of the snapshot that was restored, if one was."""
        return None if self._checkpoint == START else self._checkpoint

    async def _apply(self, run: Sequence[Recorded]) -> None:
        for start in range(0, len(run), FOLD_CHUNK_EVENTS):
            if start:
                await asyncio.sleep(0)
            self._fold_chunk(run[start : start + FOLD_CHUNK_EVENTS])

    def _fold_chunk(self, chunk: Sequence[Recorded]) -> None:
        if self._broken is not None:
            raise self._broken
        fold, recorded = self._fold, chunk[0]
        try:
            for recorded in chunk:
                fold(recorded)
        except Exception as error:
            what = f"{recorded.type} at position {recorded.position} cannot be folded: {type(error).__name__}: {error}"
            self._broken = ConsumerStopped(self.name, what)  # half of the chunk is in the model: never fold it again
            raise self._broken from error
        self._checkpoint = Checkpoint.after(chunk[-1])

    def snapshot(self) -> bytes:
        """Return the model as of `checkpoint`; call it in the event loop's thread.

        Raises:
            ValueError: the model has no snapshot hooks.
        """
        if self._snapshots is None:
            raise ValueError(f"{self.name} has no snapshot hooks")
        at = self._checkpoint
        body = self._snapshots.dump()
        return msgspec.msgpack.encode(
            _Snapshot(self.name, self._snapshots.version, at.epoch, at.position, at.hash, body)
        )

    def restore(self, snapshot: bytes) -> bool:
        """Begin with a snapshot; False, and nothing changed, if it is unreadable or another reducer's."""
        try:
            found = msgspec.msgpack.decode(snapshot, type=_Snapshot)
        except msgspec.MsgspecError:
            return False
        if self._snapshots is None or (found.name, found.version) != (self.name, self._snapshots.version):
            return False
        self._snapshots.load(found.body)
        self._checkpoint = Checkpoint(found.epoch, found.position, found.hash)
        return True
