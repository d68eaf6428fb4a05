"""The database of views: its engine, and the tables in which consumers keep their checkpoints.

SQLite and PostgreSQL are used by the same statements; all their differences are in this module.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    event,
    exc,
    insert,
    literal,
    make_url,
    quoted_name,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from libs.bus.contract import START
from libs.eventlog import renew_connections

POOL_CONNECTIONS = 4
POOL_CONNECTIONS_MAX = 10
"""A process of six services may open 60 connections; PostgreSQL allows 100 by default."""
POOL_WAIT_SECONDS = 5.0
CONNECT_SECONDS = 5.0
_STATEMENT_SECONDS = 30.0
WAL_BYTES_KEPT = 64 * 1024 * 1024
"""The size to which SQLite truncates the WAL of views after a checkpoint, however large it grew."""

_CREATE_LOCK = 7_305_133_705
"""Any constant: the advisory lock under which tables are created."""

metadata = MetaData()
checkpoints = Table(
    "checkpoints",
    metadata,
    Column("consumer", String(255), primary_key=True),
    Column("epoch", String(64), nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
)
generations = Table(
    "generations",
    metadata,
    Column("consumer", String(255), primary_key=True),
    Column("generation", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("detail", Text, nullable=False),
)
"""The newest generation of each view that was ever rebuilt, and its state (see libs.bus.rebuild)."""


def view_engine(url: str) -> AsyncEngine:
    """Return an engine for views (`sqlite+aiosqlite:///FILE`, `postgresql+asyncpg://USER:PASSWORD@HOST/DATABASE`).

    A power cut may undo the last transactions, rows and checkpoint together; the log brings them again.
    """
    return _postgresql(url) if make_url(url).get_backend_name() == "postgresql" else _sqlite(url)


def _sqlite(url: str) -> AsyncEngine:
    engine = create_async_engine(url)

    @event.listens_for(engine.sync_engine, "connect")
    def _prepare(connection: Any, _record: object) -> None:
        try:
            cursor = connection.cursor()
            cursor.execute("PRAGMA journal_mode = WAL")
            cursor.execute("PRAGMA synchronous = NORMAL")
            cursor.execute("PRAGMA busy_timeout = 10000")
            cursor.execute(f"PRAGMA journal_size_limit = {WAL_BYTES_KEPT}")
            cursor.close()
        except BaseException:
            connection.terminate()  # the pool forgets this connection, but its thread would live on
            raise

    renew_connections(engine.sync_engine)
    return engine


def _postgresql(url: str) -> AsyncEngine:
    engine = create_async_engine(
        url,
        isolation_level="READ COMMITTED",
        pool_size=POOL_CONNECTIONS,
        max_overflow=POOL_CONNECTIONS_MAX - POOL_CONNECTIONS,
        pool_timeout=POOL_WAIT_SECONDS,
        pool_use_lifo=True,
        connect_args={
            "timeout": CONNECT_SECONDS,
            "command_timeout": _STATEMENT_SECONDS,
            "server_settings": {
                "application_name": "resedge-views",
                "synchronous_commit": "off",
                "lock_timeout": "10s",
                "idle_in_transaction_session_timeout": "15s",  # a hanging transaction keeps its locks
                "tcp_keepalives_idle": "15",
                "jit": "off",
            },
        },
    )

    @event.listens_for(engine.sync_engine, "checkout")
    def _alive(connection: Any, _record: object, _proxy: object) -> None:
        # The event loop has already seen the server close it: unlike a ping, this check costs no round trip.
        if connection.driver_connection.is_closed():
            raise exc.DisconnectionError

    return engine


def reading_engine(engine: AsyncEngine) -> AsyncEngine:
    """Return the same engine for single SELECTs: on PostgreSQL without a transaction around each (two round trips)."""
    return engine if engine.dialect.name == "sqlite" else engine.execution_options(isolation_level="AUTOCOMMIT")


async def create_tables(connection: AsyncConnection, tables: MetaData | None) -> None:
    """Create a view's missing tables; other processes that do so at the same time wait.

    They are durable at once: rows that a power cut takes come again from the log, a lost table would not.
    """
    if connection.dialect.name == "sqlite":
        await connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        await connection.exec_driver_sql("SET LOCAL synchronous_commit = on")
        await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_CREATE_LOCK})")
    await connection.run_sync(metadata.create_all)
    if tables is not None:
        await connection.run_sync(tables.create_all)


async def create_checkpoint(connection: AsyncConnection, consumer: str, tables: Iterable[Table]) -> bool:
    """Create a view's checkpoint if it has none; False: it has rows but no checkpoint, so its position is unknown."""
    known = select(checkpoints.c.position).where(checkpoints.c.consumer == consumer)
    if (await connection.execute(known)).one_or_none() is not None:
        return True
    for table in tables:
        if (await connection.execute(select(literal(1)).select_from(table).limit(1))).one_or_none() is not None:
            return False
    start = {"consumer": consumer, "epoch": START.epoch, "position": START.position, "hash": START.hash}
    await connection.execute(insert(checkpoints).values(start))
    return True


class LiveTableUsedError(RuntimeError):
    """A view's `project` uses a table of the live view during a rebuild: it must use `self.tables`."""


def guarded(engine: AsyncEngine, live: Iterable[str]) -> AsyncEngine:
    """Return the engine for a view that is rebuilt, which refuses statements on the tables of the live one."""
    own = engine.execution_options()
    pattern = re.compile(rf'\b(?:INTO|UPDATE|FROM|JOIN)\s+"?({"|".join(map(re.escape, live))})\b', re.IGNORECASE)

    @event.listens_for(own.sync_engine, "before_cursor_execute")
    def _refuse(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if found := pattern.search(statement):
            raise LiveTableUsedError(f"{found[0]}: use self.tables[{found[1]!r}]")

    return own


def beside(tables: MetaData, generation: int) -> tuple[MetaData, dict[str, Table]]:
    """Return copies of tables with the names of a generation, by the name of the copied table."""
    copies, by_name = MetaData(), {}
    for table in tables.sorted_tables:
        copy = table.to_metadata(copies, name=beside_name(table.name, generation))
        for index in copy.indexes:
            if index.name is not None:
                index.name = quoted_name(beside_name(index.name, generation), None)
        by_name[table.name] = copy
    return copies, by_name


def beside_name(name: str, generation: int) -> str:
    """Return the name of the table beside `name` in which a generation is built."""
    return f"{name}__g{generation}"


def is_beside(name: str, live: str) -> bool:
    """Tell whether a name is that of a generation of the table `live`."""
    return re.fullmatch(re.escape(live) + r"__g\d+", name) is not None
