"""The two kinds of consumer: views, in a database, and models, in memory.

The one rule: a view's rows and its checkpoint commit in one transaction, in which the checkpoint row is compared and
swapped, so that neither a crash nor a second replica applies an event twice.
"""

from __future__ import annotations

import abc
import asyncio
import copy
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import msgspec
from sqlalchemy import MetaData, Table, bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.bus.contract import START, Checkpoint, ConsumerStopped, EventCannotBeApplied, LogSource, read_page
from libs.bus.storage import beside, beside_name, checkpoints, create_checkpoint, create_tables, guarded, reading_engine
from libs.contracts import Recorded
from libs.contracts.crash import crash_point

FOLD_CHUNK_EVENTS = 500
"""Events that a model folds before it yields to other work of the event loop."""

PASSED_EVENTS_MAX = 10_000
"""Events that do not concern a view and that it may pass over before it records its checkpoint."""

_FILL_EVENTS_MAX = 1_000

_SWAP = (
    update(checkpoints)
    .where(
        checkpoints.c.consumer == bindparam("of"),
        checkpoints.c.position == bindparam("position_now"),
        checkpoints.c.hash == bindparam("hash_now"),
    )
    .values(epoch=bindparam("epoch_then"), position=bindparam("position_then"), hash=bindparam("hash_then"))
)
"""Moves a checkpoint from an expected value; made once, as only the garbage collector frees a statement."""


class _Tracking(abc.ABC):
    """Keeps a checkpoint, and reduces whatever is handed over to one run of consecutive new events."""

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
        """Apply the new events of a batch; missing ones before it are read from the log.

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
                missing = await self._missing(batch[start].position)
                if not missing:
                    return  # the events belong to another log, or this one is not that far yet: the feed asks the log
                yield missing
            else:
                end = start + 1
                while end < len(batch) and batch[end].position == batch[end - 1].position + 1:
                    end += 1
                yield batch[start:end] if end - start < len(batch) else batch

    async def _missing(self, until: int) -> Sequence[Recorded]:
        """Read up to a page of events after the checkpoint and before `until`; nothing if the log ends here."""
        limit = min(until - 1 - self.position, _FILL_EVENTS_MAX)
        page = await asyncio.to_thread(read_page, self._log, self.position, limit, "hole")
        page.check(self.name, self.checkpoint)
        return page.events


class ViewConsumer(_Tracking):
    """Projects events into tables. A subclass names its tables in `metadata` and implements `project`.

    It reads and writes `self.tables[NAME]`, never the tables of its module: during a rebuild, a copy of the view writes
    to other tables.
    """

    metadata: MetaData | None = None

    def __init__(self, name: str, log: LogSource, engine: AsyncEngine) -> None:
        """Take the engine of the database that holds the view (see `view_engine`)."""
        super().__init__(name, log)
        self.engine = engine
        self.reading = reading_engine(engine)
        self.tables: Mapping[str, Table] = {} if self.metadata is None else self.metadata.tables
        self._stored = START

    def beside(self, generation: int) -> Self:
        """Return a copy that has applied nothing, with tables and a checkpoint of its own in the same database."""
        twin = copy.copy(self)
        twin.begin_anew(beside_name(self.name, generation))
        if self.metadata is not None:
            twin.metadata, twin.tables = beside(self.metadata, generation)
            twin.engine = guarded(self.engine, self.tables)
        return twin

    def elsewhere(self, engine: AsyncEngine) -> Self:
        """Return a copy that has applied nothing, in another database."""
        twin = copy.copy(self)
        twin.begin_anew(self.name)
        twin.engine, twin.reading = engine, reading_engine(engine)
        return twin

    def begin_anew(self, name: str) -> None:
        """Forget what was applied, and keep progress under `name` from now on."""
        self._name = name
        self._checkpoint = self._stored = START

    @property
    def stored(self) -> Checkpoint:
        """The checkpoint that it recorded last; it may have passed over further events since."""
        return self._stored

    def concerns(self, recorded: Recorded) -> bool:  # noqa: ARG002 - a view that says nothing takes all
        """Whether `project` uses an event; events that it does not use need no transaction."""
        return True

    @abc.abstractmethod
    async def project(self, connection: AsyncConnection, batch: Sequence[Recorded]) -> None:
        """Write rows for the events, inside the transaction that also moves the checkpoint."""

    async def start(self) -> Checkpoint | None:
        """Create missing tables and return the kept checkpoint.

        Raises:
            ConsumerStopped: it has rows but no checkpoint.
        """
        async with self.engine.begin() as connection:
            await create_tables(connection, self.metadata)
            if not await create_checkpoint(connection, self.name, self.tables.values()):
                raise ConsumerStopped(self.name, "its checkpoint row is gone: rebuild it")
        self._checkpoint = self._stored = await self.kept() or START
        return None if self._checkpoint == START else self._checkpoint

    async def skip(self, recorded: Recorded) -> None:
        """Pass over the event that follows the checkpoint, as somebody has decided (a dead letter)."""
        if not await self._swap([recorded], projecting=False):
            await self._follow()

    async def _apply(self, run: Sequence[Recorded]) -> None:
        behind = run[-1].position - self._stored.position
        if behind < PASSED_EVENTS_MAX and not any(map(self.concerns, run)):
            self._checkpoint = Checkpoint.after(run[-1])  # a process that ends here passes over them once more
        elif not await self._swap(run):
            await self._follow()

    async def _follow(self) -> None:
        """Continue from the checkpoint of another replica that was faster."""
        kept = await self.kept()
        if kept is None or kept == self._stored:
            raise ConsumerStopped(self.name, "its checkpoint row is gone: rebuild it")
        self._checkpoint = self._stored = kept

    async def _swap(self, run: Sequence[Recorded], *, projecting: bool = True) -> bool:
        now, then = self._stored, Checkpoint.after(run[-1])
        values = {
            "of": self.name,
            "position_now": now.position,
            "hash_now": now.hash,
            "epoch_then": then.epoch,
            "position_then": then.position,
            "hash_then": then.hash,
        }
        async with self.engine.begin() as connection:
            if (await connection.execute(_SWAP, values)).rowcount != 1:
                return False
            if projecting:
                await self.project(connection, run)
            crash_point("bus.view.before-commit")
        crash_point("bus.view.after-commit")
        self._checkpoint = self._stored = then
        return True

    async def kept(self, connection: AsyncConnection | None = None) -> Checkpoint | None:
        """Return the checkpoint that its database keeps, as a transaction sees it; None: the row is gone."""
        if connection is None:
            async with self.reading.connect() as reading:
                return await self.kept(reading)
        columns = (checkpoints.c.epoch, checkpoints.c.position, checkpoints.c.hash)
        row = (await connection.execute(select(*columns).where(checkpoints.c.consumer == self.name))).one_or_none()
        return None if row is None else Checkpoint(row.epoch, row.position, bytes(row.hash))


class _Snapshot(msgspec.Struct, frozen=True):
    """The header of a model's snapshot."""

    name: str
    version: str
    epoch: str
    position: int
    hash: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class SnapshotHooks:
    """Turn a model into bytes and back; `version` names the reducer: the snapshot of another one is not used."""

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

    async def start(self) -> Checkpoint | None:
        """Return the checkpoint of the snapshot that was restored, if one was."""
        return None if self._checkpoint == START else self._checkpoint

    async def _apply(self, run: Sequence[Recorded]) -> None:
        for start in range(0, len(run), FOLD_CHUNK_EVENTS):
            if start:
                await asyncio.sleep(0)
            self._fold_chunk(run[start : start + FOLD_CHUNK_EVENTS])

    async def skip(self, recorded: Recorded) -> None:
        """Pass over the event that follows the checkpoint, as somebody has decided (a dead letter)."""
        self._checkpoint = Checkpoint.after(recorded)

    def _fold_chunk(self, chunk: Sequence[Recorded]) -> None:
        fold, recorded, folded = self._fold, chunk[0], None
        try:
            for recorded in chunk:
                fold(recorded)
                folded = recorded
        except Exception as error:
            if folded is not None:
                self._checkpoint = Checkpoint.after(
                    folded
                )  # earlier events are in the model already, and are not folded again
            raise EventCannotBeApplied(self.name, recorded, f"{type(error).__name__}: {error}") from error
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
        """Begin with a snapshot; return False, and change nothing, if it is unreadable or of another reducer."""
        try:
            found = msgspec.msgpack.decode(snapshot, type=_Snapshot)
        except msgspec.MsgspecError:
            return False
        if self._snapshots is None or (found.name, found.version) != (self.name, self._snapshots.version):
            return False
        self._snapshots.load(found.body)
        self._checkpoint = Checkpoint(found.epoch, found.position, found.hash)
        return True
