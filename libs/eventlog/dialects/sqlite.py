"""SQLite: WAL, synchronous FULL; `BEGIN IMMEDIATE` is the head lock, since the database has one writer at a time.

A URL without a file (`sqlite://`) is a temporary database that vanishes with the log: the same code, nothing durable.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.pool import PoolProxiedConnection

from libs.eventlog.dialects.port import EVENT_COLUMNS, MICROSECONDS, Bulk, Cursor, EventRow, Shortcoming
from libs.eventlog.dialects.troubles import renew_connections, spoils

_BUSY_TIMEOUT_MS = 10_000
_WAL_BYTES_KEPT = 64 * 1024 * 1024
"""The size to which the WAL is truncated at a checkpoint: a full disk or a long read delays that, and it grows."""
_INSERT = f"INSERT INTO events ({', '.join(EVENT_COLUMNS)}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 constants


class SQLite:
    """The embedded default."""

    name = "sqlite"
    clock_sql = "CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)"
    time = MICROSECONDS
    bulk: Bulk | None = None
    database_options: tuple[str, ...] = ()
    failures: tuple[type[Exception], ...] = (sqlite3.Error, OSError)

    def __init__(self, url: URL) -> None:
        """Take the database's URL; its directory must exist."""
        self._temporary: Path | None = None
        if url.database in (None, "", ":memory:"):
            self._temporary = Path(tempfile.mkdtemp(prefix="resedge-log-"))
            url = url.set(database=str(self._temporary / "log.db"))
        self._url = url.set(drivername="sqlite+pysqlite")
        self._engines: list[Engine] = []

    def writer(self) -> Engine:
        """Return the engine that appends."""
        return self._engine("OFF" if self._temporary else "FULL", query_only=False)

    def reader(self) -> Engine:
        """Return the engine that reads; WAL readers and the writer never wait for each other."""
        return self._engine("OFF", query_only=True)

    def _engine(self, synchronous: str, *, query_only: bool) -> Engine:
        engine = create_engine(self._url, connect_args={"isolation_level": None, "timeout": _BUSY_TIMEOUT_MS / 1000})

        @event.listens_for(engine, "connect")
        def _prepare(connection: Any, _record: object) -> None:
            if not query_only:
                connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {synchronous}")
            connection.execute(f"PRAGMA query_only = {int(query_only)}")
            connection.execute("PRAGMA cache_size = -16384")
            connection.execute("PRAGMA mmap_size = 268435456")
            connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES_KEPT}")

        renew_connections(engine)
        self._engines.append(engine)
        return engine

    def cursor(self, connection: PoolProxiedConnection) -> Cursor:
        """Return the driver's cursor."""
        return connection.cursor()

    def sql(self, statement: str) -> str:
        """Return the statement as it is: the driver knows `?`."""
        return statement

    def lock_head(self, cursor: Cursor) -> None:
        """Take the database's write lock, which replaces the head row's."""
        cursor.execute("BEGIN IMMEDIATE")

    @staticmethod
    @cache
    def versions_sql(count: int) -> str:
        """Return the last version of each bound stream, one index seek each."""
        values = ", ".join(["(?)"] * count)
        return (
            f"WITH wanted(stream) AS (VALUES {values}) "  # noqa: S608 question marks only
            "SELECT stream, (SELECT MAX(e.version) FROM events e WHERE e.stream = wanted.stream) FROM wanted"
        )

    def insert_events(self, cursor: Cursor, rows: Sequence[EventRow]) -> None:
        """Insert event rows through one prepared statement."""
        cursor.executemany(_INSERT, rows)

    def refuses(self, error: Exception) -> bool:
        """Everything but the state of the file: locked, full, unreadable."""
        return isinstance(error, sqlite3.Error) and not isinstance(error, sqlite3.OperationalError)

    def renew(self, error: Exception) -> None:
        """Close all idle connections after an error of the disk; new ones see the disk's state then."""
        if spoils(error):
            for engine in self._engines:
                engine.pool.dispose()

    def create_lock(self, connection: Connection) -> None:
        """Begin the write transaction."""
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    def shortcomings(self, connection: Connection) -> Sequence[Shortcoming]:
        """Nothing: what the log needs is set for each connection."""
        del connection
        return ()

    def close(self) -> None:
        """Delete a temporary database."""
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
