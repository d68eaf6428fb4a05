"""Rebuilds a view from the log beside the live one, and swaps the two in one transaction.

The one rule: until the swap commits, nothing that the live view reads or writes is touched; a process that dies before
it leaves tables of an unfinished generation, which the next rebuild drops.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Connection, Table, delete, insert, inspect, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.bus.alone import alone, patiently
from libs.bus.consumers import ViewConsumer
from libs.bus.contract import Checkpoint, LogSource, Page, read_page
from libs.bus.faults import passing
from libs.bus.feed import PAGE_EVENTS_MAX
from libs.bus.letters import letter_of
from libs.bus.storage import beside_name, checkpoints, create_tables, generations, is_beside, view_engine
from libs.contracts import LetterSkipped, Recorded, type_name
from libs.contracts.crash import crash_point
from libs.contracts.envelope import Undecodable
from libs.eventlog import Head, StoredEvent

SWAPPED_EVENTS_MAX = 200
"""Events that a swap may apply while the live view waits; if there are more, it catches up first."""
SWAP_WAIT_MILLISECONDS = 500
"""How long a swap waits for readers: less than PostgreSQL's deadlock timeout, so that no reader is aborted."""

_PROBLEMS_MAX = 20

BUILDING, _LIVE, FAILED = "building", "live", "failed"

_SKIPPED = type_name(LetterSkipped(letter="", reason=""))


class RebuildFailed(RuntimeError):  # noqa: N818 - it states the fact
    """A projection could not be rebuilt; the live one is unchanged."""


class RebuildSource(LogSource, Protocol):
    """The part of the event log that a rebuild reads."""

    def head(self) -> Head:
        """Return the log's end."""

    def read_stream(self, stream: str, after_version: int = ..., limit: int = ...) -> list[StoredEvent]:
        """Return the events of one stream."""


@dataclass(frozen=True, slots=True)
class Progress:
    """A projection's progress as its database has it, and that of the generation being built beside it.

    `state` is `live`, `building` (also after its process died) or `failed`, for the reason in `detail`.
    """

    projection: str
    state: str
    generation: int
    position: int
    building: int | None
    head: int
    detail: str


async def rebuild_progress(view: ViewConsumer, log: RebuildSource) -> Progress:
    """Return the progress of a projection and of its rebuild, whichever process runs it."""
    head = (await asyncio.to_thread(log.head)).position
    newest = select(generations).where(generations.c.consumer == view.name)
    async with view.reading.connect() as connection:
        row = (await connection.execute(newest)).one_or_none()
        found = await connection.execute(select(checkpoints.c.consumer, checkpoints.c.position))
        positions = {row.consumer: row.position for row in found}
    generation = 0 if row is None else int(row.generation)
    return Progress(
        projection=view.name,
        state=_LIVE if row is None else str(row.state),
        generation=generation,
        position=positions.get(view.name, 0),
        building=positions.get(beside_name(view.name, generation)),
        head=head,
        detail="" if row is None else str(row.detail),
    )


async def rebuild(view: ViewConsumer, log: RebuildSource, begun: Callable[[int], None] = lambda _: None) -> Checkpoint:
    """Build a view again from the log, replace the live one with it, and return its checkpoint.

    `begun` is called with the new generation's number.

    Raises:
        RebuildRunning: another rebuild is running.
        RebuildFailed: an event cannot be applied, or the database does not answer; the live view is untouched.
    """
    async with alone(view.engine, view.name):
        generation = await _first(view)
        begun(generation)
        new = view.beside(generation)
        try:
            await patiently(new.start)
            while True:
                await catch_up(new, log, view.name)
                await patiently(lambda: _analyze(new))
                if (swapped := await patiently(lambda: _swap(view, new, generation, log))) is not None:
                    return swapped
        except Exception as error:
            reason = str(error) if isinstance(error, RebuildFailed) else f"{type(error).__name__}: {error}"
            with contextlib.suppress(Exception):  # the database may be what failed; the next rebuild tidies up
                await _give_up(view, generation, reason)
            raise RebuildFailed(reason) from error


async def view_problems(view: ViewConsumer, log: RebuildSource) -> list[str]:
    """Compare a view with a fold of the log up to its checkpoint; return at most `_PROBLEMS_MAX` differences."""
    engine = view_engine("sqlite+aiosqlite://")
    try:
        fold = view.elsewhere(engine)
        await fold.start()
        async with view.engine.connect() as connection:
            await (
                connection.execution_options(isolation_level="REPEATABLE READ")
                if not _is_sqlite(view)
                else connection.exec_driver_sql("BEGIN")
            )
            kept = await view.kept(connection)
            found = {name: await _rows(connection, table) for name, table in view.tables.items()}
        if kept is None:
            return ["its checkpoint row is gone"]
        await catch_up(fold, log, view.name, until=kept.position)
        if fold.checkpoint != kept:
            return [f"at position {kept.position} it has applied another event than the log holds there"]
        async with engine.connect() as connection:
            return [
                problem
                for name, table in fold.tables.items()
                for problem in _differences(table, await _rows(connection, table), found[name])
            ][:_PROBLEMS_MAX]
    finally:
        await engine.dispose()


def _is_sqlite(view: ViewConsumer) -> bool:
    return view.engine.dialect.name == "sqlite"


async def _rows(connection: AsyncConnection, table: Table) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """Return all rows by their primary keys."""
    keys = len(table.primary_key.columns)
    others = [column for column in table.columns if not column.primary_key]
    rows = await connection.execute(select(*table.primary_key.columns, *others))
    return {tuple(row[:keys]): tuple(row[keys:]) for row in rows}


def _differences(
    table: Table, expected: dict[tuple[Any, ...], tuple[Any, ...]], found: dict[tuple[Any, ...], tuple[Any, ...]]
) -> Iterator[str]:
    others = [column.name for column in table.columns if not column.primary_key]
    for key in sorted(expected.keys() | found.keys(), key=repr):
        if key not in found:
            yield f"{table.name}: row {key} is missing"
        elif key not in expected:
            yield f"{table.name}: row {key} does not follow from the log"
        elif expected[key] != found[key]:
            pairs = zip(others, expected[key], found[key], strict=True)
            columns = ", ".join(name for name, should, does in pairs if should != does)
            yield f"{table.name}: row {key} has another {columns} than follows from the log"


async def catch_up(view: ViewConsumer, log: RebuildSource, live: str, until: int | None = None) -> None:
    """Bring a view to a position of the log, or to its end; skip the events that the live one was told to skip.

    Raises:
        RebuildFailed: an event cannot be applied.
        ConsumerStopped: the log is inconsistent.
    """

    def read(after: int) -> asyncio.Future[Page]:
        limit = PAGE_EVENTS_MAX if until is None else min(PAGE_EVENTS_MAX, until - after)
        return asyncio.ensure_future(asyncio.to_thread(read_page, log, after, limit, "rebuild"))

    ahead = read(view.position)
    try:
        while until is None or view.position < until:
            after = view.checkpoint
            page = await ahead
            page.check(view.name, after)
            if not page.events:
                return
            # The next page is read while this one is applied: reading is the log's database, applying the views'.
            last = page.events[-1].position
            ahead = read(last)
            await _apply(view, page.events, log, live)
            if view.position != last:
                ahead.cancel()
                ahead = read(view.position)
    finally:
        ahead.cancel()
        await asyncio.gather(ahead, return_exceptions=True)


async def _apply(view: ViewConsumer, events: Sequence[Recorded], log: RebuildSource, live: str) -> None:
    """Apply a page; if that fails, one event at a time, to find the one that cannot be applied."""
    if not any(isinstance(each.event, Undecodable) for each in events):
        try:
            await patiently(lambda: view.handle(events))
        except Exception as error:
            if passing(error):
                raise
        else:
            return
    for each in events:
        if (reason := await _refused(view, each)) is None:
            continue
        stream = f"letter-{letter_of(live, each.position)}"
        letter = await asyncio.to_thread(log.read_stream, stream)
        if not any(event.type == _SKIPPED for event in letter):
            raise RebuildFailed(f"{each.type} at position {each.position} cannot be applied: {reason}")
        await view.skip(each)


async def _refused(view: ViewConsumer, recorded: Recorded) -> str | None:
    """Apply one event; if it cannot be applied, return why."""
    if isinstance(recorded.event, Undecodable):
        return recorded.event.reason
    try:
        await patiently(lambda: view.handle([recorded]))
    except Exception as error:
        if passing(error):
            raise
        return f"{type(error).__name__}: {error}"
    return None


async def _first(view: ViewConsumer) -> int:
    try:
        return await patiently(lambda: _begin(view))
    except Exception as error:
        raise RebuildFailed(f"{type(error).__name__}: {error}") from error


async def _begin(view: ViewConsumer) -> int:
    """Create missing tables, drop those of an unfinished rebuild, and return the new generation's number."""
    mine = generations.c.consumer == view.name
    async with view.engine.begin() as connection:
        await create_tables(connection, view.metadata)
        await _drop_beside(connection, view)
        last = (await connection.execute(select(generations.c.generation).where(mine))).scalar_one_or_none()
        if last is None:
            new = {"consumer": view.name, "generation": 1, "state": BUILDING, "detail": ""}
            await connection.execute(insert(generations).values(new))
            return 1
        await connection.execute(update(generations).where(mine).values(generation=last + 1, state=BUILDING, detail=""))
        return int(last) + 1


async def _drop_beside(connection: AsyncConnection, view: ViewConsumer) -> None:
    def tables(sync: Connection) -> list[str]:
        return [name for name in inspect(sync).get_table_names() if any(is_beside(name, live) for live in view.tables)]

    for name in await connection.run_sync(tables):
        await connection.exec_driver_sql(f"DROP TABLE {name}")
    kept = (await connection.execute(select(checkpoints.c.consumer))).scalars()
    for name in [name for name in kept if is_beside(name, view.name)]:
        await connection.execute(delete(checkpoints).where(checkpoints.c.consumer == name))


async def _analyze(view: ViewConsumer) -> None:
    """Analyze the new tables, so that PostgreSQL plans well from the first query on."""
    if view.engine.dialect.name == "postgresql":
        async with view.engine.begin() as connection:
            for table in view.tables.values():
                await connection.exec_driver_sql(f"ANALYZE {table.name}")


async def _swap(view: ViewConsumer, new: ViewConsumer, generation: int, log: RebuildSource) -> Checkpoint | None:
    """Replace the live tables and their checkpoint with the new ones; None: catch up first."""
    row = checkpoints.c.consumer == view.name
    async with view.engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            await connection.exec_driver_sql(f"SET LOCAL lock_timeout = {SWAP_WAIT_MILLISECONDS}")
            await connection.exec_driver_sql("SET LOCAL synchronous_commit = on")
        # From here on the live view stands still, in every replica: each compares and swaps this row.
        await connection.execute(update(checkpoints).where(row).values(position=checkpoints.c.position))
        live = (await connection.execute(select(checkpoints.c.position).where(row))).scalar_one_or_none() or 0
        behind = max(0, live - new.position)
        if behind > SWAPPED_EVENTS_MAX or not await _is_kept(connection, new):
            return None
        page = await asyncio.to_thread(read_page, log, new.position, behind, "rebuild")
        page.check(new.name, new.checkpoint)
        if any(isinstance(each.event, Undecodable) for each in page.events):
            return None
        if page.events:
            await new.project(connection, page.events)
        then = Checkpoint.after(page.events[-1]) if page.events else new.checkpoint
        await _rename(connection, view, new)
        await connection.execute(delete(checkpoints).where(checkpoints.c.consumer == new.name))
        values = {"epoch": then.epoch, "position": then.position, "hash": then.hash}
        # Never deleted and inserted: a transaction that waits for the row must find it, with another value.
        if (await connection.execute(update(checkpoints).where(row).values(values))).rowcount != 1:
            await connection.execute(insert(checkpoints).values(consumer=view.name, **values))
        mine = (generations.c.consumer == view.name) & (generations.c.generation == generation)
        if (await connection.execute(update(generations).where(mine).values(state=_LIVE))).rowcount != 1:
            raise RebuildFailed("another rebuild has begun meanwhile")
        crash_point("bus.rebuild.before-swap")
    crash_point("bus.rebuild.after-swap")
    return then


async def _is_kept(connection: AsyncConnection, new: ViewConsumer) -> bool:
    """Tell whether the database still has the commit: a server that lost power may have lost its last commits."""
    kept = await new.kept(connection)
    if kept == new.stored:
        return True
    await new.start()
    return False


async def _rename(connection: AsyncConnection, view: ViewConsumer, new: ViewConsumer) -> None:
    for table in reversed(list(view.tables.values())):
        await connection.exec_driver_sql(f"DROP TABLE {table.name}")
    for name, table in new.tables.items():
        await connection.exec_driver_sql(f"ALTER TABLE {table.name} RENAME TO {name}")


async def _give_up(view: ViewConsumer, generation: int, reason: str) -> None:
    mine = (generations.c.consumer == view.name) & (generations.c.generation == generation)
    async with view.engine.begin() as connection:
        await _drop_beside(connection, view)
        await connection.execute(update(generations).where(mine).values(state=FAILED, detail=reason))
