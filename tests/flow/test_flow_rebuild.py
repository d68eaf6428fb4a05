"""A view is built anew beside the live one and swapped: nobody who reads or appends meanwhile notices."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, String, Table, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from libs.bus import ConsumerStopped, LogFeed, ViewConsumer, stopped_reasons, view_engine
from libs.bus.alone import RebuildRunning, alone
from libs.bus.rebuild import RebuildFailed, rebuild, rebuild_progress, view_problems
from libs.bus.storage import checkpoints
from libs.commands.documents import DocumentsView
from libs.contracts import LetterSkipped, Recorded, StoreDeclared, StoreRemoved, encode, type_name
from libs.contracts.crash import at_crash_point
from libs.eventlog import EventLog, NewEvent, Submission
from services.inventory.api import STORE
from tests.support.feeds import append, in_order, log_of
from tests.support.postgres import Cluster, cluster
from tests.support.waiting import eventually, until

ROOT = Path(__file__).parents[2]

_metadata = MetaData()
Table(
    "tallies",
    _metadata,
    Column("name", String(64), primary_key=True),
    Column("events", Integer, nullable=False),
    Column("position", BigInteger, nullable=False),
    Index("tallies_position", "position"),
)
Table("totals", _metadata, Column("what", String(64), primary_key=True), Column("events", Integer, nullable=False))


class Tallies(ViewConsumer):
    """How many events each store has had, and all together: an event that is applied twice shows."""

    metadata = _metadata
    poison = 0

    async def project(self, connection: AsyncConnection, batch: Sequence[Recorded]) -> None:
        tallies, totals = self.tables["tallies"], self.tables["totals"]
        if any(event.position == self.poison for event in batch):
            raise ValueError("indigestible")
        last = {event.event.name: event.position for event in batch}
        for name, events in Counter(event.event.name for event in batch).items():
            mine = tallies.c.name == name
            known = update(tallies).where(mine).values(events=tallies.c.events + events, position=last[name])
            if (await connection.execute(known)).rowcount == 0:
                row = {"name": name, "events": events, "position": last[name]}
                await connection.execute(insert(tallies).values(row))
        added = update(totals).values(events=totals.c.events + len(batch))
        if (await connection.execute(added)).rowcount == 0:
            await connection.execute(insert(totals).values(what="all", events=len(batch)))


class Careless(Tallies):
    """Writes to the tables of its module, which are the live ones."""

    async def project(self, connection: AsyncConnection, batch: Sequence[Recorded]) -> None:
        await connection.execute(update(_metadata.tables["totals"]).values(events=len(batch)))


def store(number: int) -> tuple[str, StoreDeclared]:
    return f"store-s{number}", StoreDeclared(f"s{number}", "UTC")


@pytest.fixture(scope="module")
def postgres() -> Iterator[Cluster]:
    with cluster() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'views.db'}"
    server: Cluster = request.getfixturevalue("postgres")
    return server.new_views()


@pytest.fixture
async def engine(url: str) -> AsyncIterator[AsyncEngine]:
    engine = view_engine(url)
    yield engine
    await engine.dispose()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLog]:
    log = log_of(url=f"sqlite:///{tmp_path / 'log.db'}")
    yield log
    log.close()


async def tables(engine: AsyncEngine) -> set[str]:
    query = (
        "SELECT name FROM sqlite_master WHERE type = 'table'"
        if engine.dialect.name == "sqlite"
        else "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
    )
    async with engine.connect() as connection:
        return set((await connection.execute(text(query))).scalars())


@asynccontextmanager
async def fed(log: EventLog, *views: ViewConsumer) -> AsyncIterator[LogFeed]:
    feed = LogFeed(log, views)
    await feed.start()
    try:
        assert await feed.reached([view.name for view in views], log.head().position, 20)
        yield feed
        assert stopped_reasons(feed.states()) == {}
    finally:
        await feed.stop(0)


@pytest.mark.parametrize("times", [1, 3])
async def test_a_damaged_view_is_what_the_log_says_after_a_rebuild(
    log: EventLog, engine: AsyncEngine, times: int
) -> None:
    append(log, *(store(number % 40) for number in range(2_500)))
    view = Tallies("tallies", log, engine)
    async with fed(log, view) as feed:
        assert await view_problems(view, log) == []
        async with engine.begin() as connection:
            await connection.execute(text("UPDATE tallies SET events = 7 WHERE name = 's3'"))
            await connection.execute(text("DELETE FROM tallies WHERE name = 's4'"))
            await connection.execute(text("INSERT INTO tallies VALUES ('ghost', 1, 1)"))
        assert await view_problems(view, log) == [
            "tallies: row ('ghost',) does not follow from the log",
            "tallies: row ('s3',) has another events than follows from the log",
            "tallies: row ('s4',) is missing",
        ]

        for _ in range(times):
            await rebuild(view, log)
        append(log, store(4))

        assert await feed.reached(view, 2_501, 5)
        assert await view_problems(view, log) == []
    assert await tables(engine) == {"checkpoints", "generations", "tallies", "totals"}
    assert (await rebuild_progress(view, log)).generation == times
    again = Tallies("tallies", log, engine)
    checkpoint = await again.start()
    assert checkpoint is not None
    assert checkpoint.position == 2_501


async def test_readers_and_writers_notice_nothing_of_rebuilds(log: EventLog, url: str) -> None:
    """Two replicas feed, readers read at 100/s and more, events are appended, and the view is rebuilt all the time."""
    append(log, *(store(number) for number in range(1_500)))
    engines = [view_engine(url) for _ in range(2)]
    views = [DocumentsView("inventory", log, each, [STORE]) for each in engines]
    feeds = [LogFeed(log, [view]) for view in views]
    for feed in feeds:
        await feed.start()
        assert await feed.reached("inventory.documents", 1_500, 20)
    declared, reads, running = 1_500, 0, True

    async def read(view: DocumentsView) -> None:
        nonlocal reads
        while running:
            known = declared
            row = await view.row("Store", f"s{reads % 1_500}")
            assert row is not None
            assert await view.count("Store") >= min(known, 1_500)
            assert len(await view.page("Store", "", 50)) == 50
            reads += 1
            await asyncio.sleep(0.005)  # readers that come and go, not a flood

    async def change() -> None:
        nonlocal declared
        while running:
            await log.append_async(submission(declared))
            declared += 1
            # What was acknowledged, and has been applied here, is never unseen again.
            assert await feeds[0].reached(views[0], declared, 10)
            assert await views[0].row("Store", f"s{declared - 1}") is not None
            await asyncio.sleep(0.01)  # steady changes, not a flood

    tasks = [asyncio.create_task(each) for each in (*(read(view) for view in views), read(views[0]), change())]
    rebuilds = 0
    while rebuilds < 4 or reads <= 40 or declared <= 1_510:
        await rebuild(views[0], log)
        rebuilds += 1
        await asyncio.sleep(0.05)  # it is read and changed between two rebuilds as well
    running = False
    await asyncio.gather(*tasks)

    for feed, view in zip(feeds, views, strict=True):
        assert await feed.reached(view, declared, 10)
        assert stopped_reasons(feed.states()) == {}
        assert await view_problems(view, log) == []
        await feed.stop(0)
    for each in engines:
        await each.dispose()


def submission(number: int) -> Submission:
    stream, event = store(number)
    return Submission([NewEvent(stream, type_name(event), encode(event))], "test")


class Overtaken:
    """The log, to which `count` events are added, and applied by the live view, just after its end was read."""

    def __init__(self, log: EventLog, live: ViewConsumer, count: int) -> None:
        self._log, self._live, self._count, self._left = log, live, count, 2
        self.head, self.read_stream = log.head, log.read_stream

    def read_recorded(self, after: int, limit: int = 1_000, *, tolerant: bool = False) -> list[Recorded]:
        found = self._log.read_recorded(after, limit, tolerant=tolerant)
        if len(found) < limit and self._left:
            self._left -= 1
            last = append(self._log, *(store(number % 30) for number in range(self._count))).last
            until(lambda: self._live.position >= last)
        return found


class Held:
    """The log, of which a rebuild gets nothing until it is let go; `asked` says that it has begun to read."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self.asked, self.let_go = threading.Event(), threading.Event()
        self.head, self.read_stream = log.head, log.read_stream

    def read_recorded(self, after: int, limit: int = 1_000, *, tolerant: bool = False) -> list[Recorded]:
        self.asked.set()
        assert self.let_go.wait(60)
        return self._log.read_recorded(after, limit, tolerant=tolerant)


@pytest.mark.parametrize("count", [1, 150, 400])
async def test_what_is_appended_just_before_the_swap_is_in_the_new_generation(
    log: EventLog, engine: AsyncEngine, count: int
) -> None:
    append(log, *(store(number % 30) for number in range(300)))
    view = Tallies("tallies", log, engine)
    async with fed(log, view) as feed:
        swapped = await rebuild(view, Overtaken(log, view, count))

        assert swapped.position >= 300 + count
        assert await feed.reached(view, log.head().position, 5)
        assert await view_problems(view, log) == []


async def test_of_two_rebuilds_at_once_one_is_refused(log: EventLog, url: str, engine: AsyncEngine) -> None:
    append(log, *(store(number % 20) for number in range(800)))
    other, held = view_engine(url), Held(log)
    view, replica = Tallies("tallies", log, engine), Tallies("tallies", log, other)
    async with fed(log, view):
        first = asyncio.create_task(rebuild(view, held))
        await eventually(held.asked.is_set)
        with pytest.raises(RebuildRunning):
            await rebuild(replica, log)

        held.let_go.set()
        assert (await first).position == 800
        assert (await rebuild(replica, log)).position == 800
    await other.dispose()


async def test_a_lock_ends_with_the_session_that_holds_it(postgres: Cluster) -> None:
    url = postgres.new_views()
    engine, other = view_engine(url), view_engine(url)
    async with alone(engine, "tallies"):
        with pytest.raises(RebuildRunning):
            async with alone(other, "tallies"):
                pass
        async with alone(other, "another"):
            pass
    for each in (engine, other):
        await each.dispose()


async def test_a_rebuild_stops_where_an_event_cannot_be_applied_unless_it_was_skipped(
    log: EventLog, engine: AsyncEngine
) -> None:
    append(log, *(store(number) for number in range(10)))
    view = Tallies("tallies", log, engine)
    async with fed(log, view):
        view.poison = 5

        with pytest.raises(RebuildFailed, match=r"StoreDeclared\.v1 at position 5 cannot be applied: ValueError"):
            await rebuild(view, log)

        told = await rebuild_progress(view, log)
        assert (told.state, told.generation, told.position, told.building) == ("failed", 1, 10, None)
        assert "position 5" in told.detail
        assert await tables(engine) == {"checkpoints", "generations", "tallies", "totals"}
        append(log, ("letter-tallies@5", LetterSkipped("tallies@5", "known", "tallies", 5)))
        view.poison = 0


async def test_a_skipped_event_is_passed_over_by_a_rebuild_too(log: EventLog, engine: AsyncEngine) -> None:
    append(log, *(store(number) for number in range(10)))
    append(log, ("letter-inventory.documents@5", LetterSkipped("inventory.documents@5", "known")))

    class Choosy(DocumentsView):
        async def project(self, connection: AsyncConnection, batch: Sequence[Recorded]) -> None:
            if any(event.position == 5 for event in batch):
                raise ValueError("indigestible")
            await super().project(connection, batch)

    view = Choosy("inventory", log, engine, [STORE])
    await view.start()

    assert (await rebuild(view, log)).position == 11

    assert await view.count("Store") == 9
    assert await view_problems(view, log) == []


async def test_a_view_that_would_write_to_the_live_tables_is_refused(log: EventLog, engine: AsyncEngine) -> None:
    append(log, store(1))
    async with fed(log, view := Tallies("tallies", log, engine)):
        with pytest.raises(RebuildFailed, match=r"use self.tables\['totals'\]"):
            await rebuild(Careless("tallies", log, engine), log)

        assert await view_problems(view, log) == []


async def test_a_view_of_another_log_is_rebuilt_from_this_one(log: EventLog, engine: AsyncEngine) -> None:
    other = log_of(*(store(number) for number in range(20)))
    await in_order(other, Tallies("tallies", other, engine))
    other.close()
    append(log, store(1), store(2))
    view = Tallies("tallies", log, engine)
    feed = LogFeed(log, [view])
    await feed.start()
    assert "tallies" in stopped_reasons(feed.states())
    await feed.stop(0)

    assert (await rebuild(view, log)).position == 2

    async with fed(log, Tallies("tallies", log, engine)):
        assert await view_problems(view, log) == []


async def test_a_view_whose_tables_and_checkpoint_are_gone_is_rebuilt(log: EventLog, engine: AsyncEngine) -> None:
    append(log, *(store(number) for number in range(30)))
    view = await in_order(log, Tallies("tallies", log, engine))
    async with engine.begin() as connection:
        await connection.execute(text("DROP TABLE tallies"))
        await connection.execute(checkpoints.delete())

    await rebuild(view, log)

    assert await view_problems(view, log) == []


async def test_a_view_whose_checkpoint_alone_is_gone_waits_for_a_rebuild(log: EventLog, engine: AsyncEngine) -> None:
    append(log, *(store(number) for number in range(30)))
    view = await in_order(log, Tallies("tallies", log, engine))
    async with engine.begin() as connection:
        await connection.execute(checkpoints.delete())

    with pytest.raises(ConsumerStopped, match="rebuild it"):
        await Tallies("tallies", log, engine).start()

    await rebuild(view, log)
    assert await Tallies("tallies", log, engine).start() is not None
    assert await view_problems(view, log) == []


async def test_a_reader_that_does_not_let_go_delays_a_swap_and_nobody_else(postgres: Cluster, log: EventLog) -> None:
    engine = view_engine(postgres.new_views())
    append(log, *(store(number) for number in range(30)))
    async with fed(log, view := Tallies("tallies", log, engine)):
        async with engine.connect() as connection:
            await connection.execute(select(_metadata.tables["tallies"]))
            rebuilding = asyncio.create_task(rebuild(view, log))
            await asyncio.sleep(1.5)  # it waits for the reader: nothing happens meanwhile
            assert not rebuilding.done()
            async with asyncio.timeout(2), engine.connect() as other:
                await other.execute(select(_metadata.tables["tallies"]))
            await connection.execute(select(_metadata.tables["totals"]))

        assert (await rebuilding).position == 30
    await engine.dispose()


KILLED = """
import asyncio, sys
from libs.bus import view_engine
from libs.bus.rebuild import rebuild
from libs.eventlog import EventLog
from libs.commands.documents import DocumentsView
from services.inventory.api import STORE
from tests.support.feeds import ticking_clock

async def main(log_url: str, url: str) -> None:
    log = EventLog.open(log_url, clock=ticking_clock())
    await rebuild(DocumentsView("inventory", log, view_engine(url), [STORE]), log)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("point", ["bus.view.after-commit:2", "bus.rebuild.before-swap", "bus.rebuild.after-swap"])
async def test_a_kill_at_any_point_leaves_a_whole_view(
    log: EventLog, url: str, engine: AsyncEngine, tmp_path: Path, point: str
) -> None:
    append(log, *(store(number) for number in range(1_500)))
    view = DocumentsView("inventory", log, engine, [STORE])
    async with fed(log, view) as feed:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            KILLED,
            f"sqlite:///{tmp_path / 'log.db'}",
            url,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "RESEDGE_CRASH_AT": point},
        )
        assert await asyncio.wait_for(process.wait(), 30) == -signal.SIGKILL
        append(log, store(1_500), ("store-s3", StoreRemoved("s3")))
        assert await feed.reached(view, 1_502, 10)
        left = await tables(engine) - {"checkpoints", "generations", "documents"}
        assert left == (set() if "after-swap" in point else {"documents__g1"})
        assert await view.count("Store") == 1_500
        assert await view_problems(view, log) == []

        assert (await rebuild(view, log)).position == 1_502

        assert await tables(engine) == {"checkpoints", "generations", "documents"}
        assert (await rebuild_progress(view, log)).generation == 2
        assert await view_problems(view, log) == []


async def test_a_server_that_is_killed_during_a_rebuild_delays_it(postgres: Cluster, log: EventLog) -> None:
    engine = view_engine(postgres.new_views())
    append(log, *(store(number) for number in range(6_000)))
    async with fed(log, view := DocumentsView("inventory", log, engine, [STORE])):
        seen = iter(range(100))

        def restart() -> None:
            if next(seen) == 3:
                postgres.restart()

        with at_crash_point("bus.view.after-commit", restart):
            assert (await rebuild(view, log)).position == 6_000

        assert await view_problems(view, log) == []
    await engine.dispose()
