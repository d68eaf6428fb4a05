"""Views on a real PostgreSQL: the same consumers, replicas, chaos, cuts and restarts as on SQLite."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import replace

import pytest
from sqlalchemy import Column, Integer, MetaData, String, Table, exc, func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.bus import LogFeed, ViewConsumer, stopped_reasons, view_engine
from libs.bus.faults import passing
from libs.bus.storage import checkpoints
from libs.commands.documents import DocumentsView
from libs.contracts import Recorded, StoreDeclared, encode, type_name
from libs.contracts.crash import at_crash_point
from libs.eventlog import EventLog, NewEvent, Submission
from services.inventory.api import STORE
from tests.support.feeds import append, in_chaos, in_order, log_of
from tests.support.postgres import Cluster, cluster

_metadata = MetaData()
_seen = Table(
    "seen", _metadata, Column("id", Integer, primary_key=True), Column("position", Integer), Column("name", String)
)


class SeenView(ViewConsumer):
    """A row for each event, in the order in which it was applied; nothing in it hides a second application."""

    metadata = _metadata

    async def project(self, connection: AsyncConnection, batch: Sequence[Recorded]) -> None:
        rows = [{"position": event.position, "name": event.event.name} for event in batch]
        await connection.execute(insert(self.tables["seen"]), rows)


def store(number: int) -> tuple[str, StoreDeclared]:
    return f"store-s{number}", StoreDeclared(f"s{number}", "UTC")


def submission(number: int) -> Submission:
    stream, event = store(number)
    return Submission([NewEvent(stream, type_name(event), encode(event))], "test")


@pytest.fixture(scope="module")
def postgres() -> Iterator[Cluster]:
    with cluster() as running:
        yield running


@pytest.fixture
def url(postgres: Cluster) -> str:
    return postgres.new_views()


@pytest.fixture
async def engine(url: str) -> AsyncIterator[AsyncEngine]:
    engine = view_engine(url)
    yield engine
    await engine.dispose()


@pytest.fixture
def log() -> Iterator[EventLog]:
    log = log_of()
    yield log
    log.close()


async def rows(engine: AsyncEngine) -> list[int]:
    async with engine.connect() as connection:
        return list((await connection.execute(select(_seen.c.position).order_by(_seen.c.id))).scalars())


@pytest.mark.parametrize("seed", range(6))
async def test_a_view_in_chaos_ends_as_in_order(log: EventLog, engine: AsyncEngine, seed: int) -> None:
    append(log, *(store(number) for number in range(200)))

    await in_chaos(log, lambda: SeenView("view", log, engine), seed)

    assert await rows(engine) == list(range(1, 201))


async def test_two_replicas_of_a_view_apply_each_event_once(log: EventLog, url: str, engine: AsyncEngine) -> None:
    engines = [view_engine(url) for _ in range(2)]
    feeds = [LogFeed(log, [SeenView("view", log, each)]) for each in engines]
    for feed in feeds:
        await feed.start()
    for number in range(120):
        await log.append_async(submission(number))
        if number % 7 == 0:
            await asyncio.sleep(0.002)  # the replicas apply some of it, in pages of any size

    for feed in feeds:
        assert await feed.reached("view", 120, 20)
        assert stopped_reasons(feed.states()) == {}
        await feed.stop()
    assert await rows(engine) == list(range(1, 121))
    for each in engines:
        await each.dispose()


async def test_many_replicas_that_start_at_once_make_the_tables_once(postgres: Cluster, log: EventLog) -> None:
    for _ in range(3):
        url = postgres.new_views()
        engines = [view_engine(url) for _ in range(6)]

        found = await asyncio.gather(*(SeenView("view", log, each).start() for each in engines))

        assert found == [None] * 6
        async with engines[0].connect() as connection:
            assert (await connection.execute(select(func.count()).select_from(checkpoints))).scalar_one() == 1
        for each in engines:
            await each.dispose()


@pytest.mark.parametrize("point", ["bus.view.before-commit", "bus.view.after-commit"])
async def test_a_connection_that_ends_around_a_commit_costs_nothing(
    log: EventLog, postgres: Cluster, url: str, engine: AsyncEngine, point: str
) -> None:
    feed = LogFeed(log, [SeenView("view", log, engine)])
    await feed.start()
    cuts = iter([True] * 5)

    def cut() -> None:
        if next(cuts, False):
            postgres.cut_connections(url)

    with at_crash_point(point, cut):
        for number in range(8):
            await log.append_async(submission(number))
            assert await feed.reached("view", number + 1, 20)

    assert next(cuts, False) is False
    assert stopped_reasons(feed.states()) == {}
    await feed.stop()
    assert await rows(engine) == list(range(1, 9))


async def test_a_server_that_is_killed_and_started_again_is_caught_up_with(
    log: EventLog, postgres: Cluster, engine: AsyncEngine
) -> None:
    """Its last transactions may be gone, rows and checkpoint together; the log brings them again."""
    feed = LogFeed(log, [SeenView("view", log, engine)])
    await feed.start()

    async def load() -> None:
        for number in range(150):
            await log.append_async(submission(number))
            await asyncio.sleep(0.005)  # it goes on while the server is away

    loading = asyncio.create_task(load())
    assert await feed.reached("view", 20, 20)
    await asyncio.to_thread(postgres.restart)
    await loading
    append(log, store(1_000))

    assert await feed.reached("view", 151, 20)
    assert stopped_reasons(feed.states()) == {}
    await feed.stop()
    assert await rows(engine) == list(range(1, 152))


async def test_reads_after_a_restart_find_new_connections(log: EventLog, postgres: Cluster, url: str) -> None:
    engine = view_engine(url)
    append(log, *(store(number) for number in range(10)))
    view = await in_order(log, DocumentsView("inventory", log, engine, [STORE]))
    await asyncio.gather(*(view.page("Store", "", 10) for _ in range(4)))
    postgres.cut_connections(url)
    await asyncio.sleep(0.1)  # the pool may hear of it or not: nothing tells

    found = await asyncio.gather(*(view.page("Store", "", 10) for _ in range(4)))

    assert [len(page) for page in found] == [10] * 4
    await engine.dispose()


async def test_documents_are_what_they_are_on_sqlite_whatever_the_database_orders_by(
    log: EventLog, engine: AsyncEngine
) -> None:
    names = ["a", "b-1", "b1", "b-a", "ba", "c" * 63]
    append(log, *((f"store-{name}", StoreDeclared(name, "UTC", {"say": "Grüße"})) for name in names))
    sqlite = view_engine("sqlite+aiosqlite://")
    views = [DocumentsView("inventory", log, each, [STORE]) for each in (engine, sqlite)]
    for view in views:
        await in_order(log, view)

    here, there = [await view.page("Store", "", 10) for view in views]

    assert here == there
    assert [row.name for row in here] == sorted(names)
    async with engine.connect() as connection:
        collation = await connection.execute(text("SELECT collation for (name) FROM documents LIMIT 1"))
        assert collation.scalar_one() == '"C"'
    await sqlite.dispose()


async def test_text_that_is_too_long_is_refused_and_never_cut(log: EventLog, engine: AsyncEngine) -> None:
    append(log, store(1))
    too_long = replace(log.read_recorded(0)[0], stream="store-" + "x" * 513)
    view = DocumentsView("inventory", log, engine, [STORE])
    await view.start()

    with pytest.raises(exc.DBAPIError, match="too long") as caught:
        await view.handle([too_long])

    assert not passing(caught.value)


Provoke = Callable[[AsyncEngine, Cluster, str], Awaitable[None]]


async def _run(engine: AsyncEngine, *statements: str) -> None:
    async with engine.begin() as connection:
        for statement in statements:
            await connection.exec_driver_sql(statement)


async def _terminated(engine: AsyncEngine, postgres: Cluster, url: str) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("SELECT 1"))
        postgres.cut_connections(url)
        await connection.execute(text("SELECT 1"))


async def _deadlocked(engine: AsyncEngine, *_: object) -> None:
    await _run(engine, "CREATE TABLE d (id int PRIMARY KEY, n int)", "INSERT INTO d VALUES (1, 0), (2, 0)")

    each_holds_one = asyncio.Barrier(2)

    async def both(first: int, second: int) -> None:
        async with engine.begin() as connection:
            await connection.execute(text(f"UPDATE d SET n = 1 WHERE id = {first}"))  # noqa: S608 - a number
            await each_holds_one.wait()
            await connection.execute(text(f"UPDATE d SET n = 1 WHERE id = {second}"))  # noqa: S608 - a number

    for found in await asyncio.gather(both(1, 2), both(2, 1), return_exceptions=True):
        if found is not None:
            raise found


async def _locked_out(engine: AsyncEngine, *_: object) -> None:
    await _run(engine, "CREATE TABLE l (id int)")
    async with engine.begin() as holder:
        await holder.exec_driver_sql("LOCK TABLE l")
        await _run(engine, "SET LOCAL lock_timeout = '20ms'", "LOCK TABLE l")


async def _not_serializable(engine: AsyncEngine, *_: object) -> None:
    await _run(engine, "CREATE TABLE s (n int)", "INSERT INTO s VALUES (0)")
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="REPEATABLE READ")
        await connection.exec_driver_sql("SELECT * FROM s")
        await _run(engine, "UPDATE s SET n = 1")
        await connection.exec_driver_sql("UPDATE s SET n = 2")


async def _nobody_there(*_: object) -> None:
    engine = view_engine("postgresql+asyncpg://nobody@127.0.0.1:1/none")
    try:
        await _run(engine, "SELECT 1")
    finally:
        await engine.dispose()


async def _too_many(engine: AsyncEngine, postgres: Cluster, url: str) -> None:
    user = engine.url.username
    postgres.execute(f"ALTER ROLE {user} CONNECTION LIMIT 0")
    other = view_engine(url)
    try:
        await _run(other, "SELECT 1")
    finally:
        await other.dispose()


def _statements(*statements: str) -> Provoke:
    async def provoke(engine: AsyncEngine, *_: object) -> None:
        await _run(engine, *statements)

    return provoke


PASSING: dict[str, Provoke] = {
    "terminated": _terminated,
    "deadlock": _deadlocked,
    "lock timeout": _locked_out,
    "serialization": _not_serializable,
    "refused": _nobody_there,
    "too many connections": _too_many,
    "no such table": _statements("SELECT * FROM nothing"),
    "permission": _statements("SELECT * FROM pg_authid"),
    "statement timeout": _statements("SET LOCAL statement_timeout = '10ms'", "SELECT pg_sleep(5)"),
    "raised by an operator": _statements("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '57P03'; END $$"),
}
LASTING: dict[str, Provoke] = {
    "unique": _statements("CREATE TABLE u (id int PRIMARY KEY)", "INSERT INTO u VALUES (1), (1)"),
    "out of range": _statements("SELECT 99999999999::int"),
    "syntax": _statements("SELEC 1"),
    "no such column": _statements("CREATE TABLE c (id int)", "SELECT nothing FROM c"),
    "division": _statements("SELECT 1 / 0"),
}


async def _fault(provoke: Provoke, engine: AsyncEngine, postgres: Cluster, url: str) -> Exception:
    with pytest.raises((exc.SQLAlchemyError, OSError)) as caught:
        await provoke(engine, postgres, url)
    return caught.value


@pytest.mark.parametrize("what", PASSING)
async def test_a_fault_of_the_surroundings_passes(what: str, engine: AsyncEngine, postgres: Cluster, url: str) -> None:
    assert passing(await _fault(PASSING[what], engine, postgres, url))


@pytest.mark.parametrize("what", LASTING)
async def test_a_fault_of_the_data_does_not_pass(what: str, engine: AsyncEngine, postgres: Cluster, url: str) -> None:
    assert not passing(await _fault(LASTING[what], engine, postgres, url))


async def test_a_value_that_the_driver_refuses_does_not_pass(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        with pytest.raises(exc.DBAPIError) as caught:
            await connection.exec_driver_sql("SELECT $1::int", (2**40,))

    assert not passing(caught.value)
