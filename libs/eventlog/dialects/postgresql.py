"""PostgreSQL through pg8000: an UPDATE of the head row is its lock, under READ COMMITTED.

Bounded waits: a transaction that waits for the head longer than 10 s fails and is retried; a session that died while
holding it, or hangs, is ended by the server after 10 s.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import pg8000.dbapi
from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.pool import PoolProxiedConnection

from libs.eventlog.dialects.port import EVENT_COLUMNS, MICROSECONDS, PARAMETERS_MAX, Bulk, Cursor, EventRow, Shortcoming
from libs.eventlog.dialects.postgresql_copy import copy_in, copy_out, versions_of
from libs.eventlog.dialects.postgresql_prepared import PreparingCursor

_ROWS_MAX = PARAMETERS_MAX // len(EVENT_COLUMNS)
_SSL: dict[str, Callable[[], ssl.SSLContext | bool | None]] = {
    "disable": lambda: False,
    "prefer": lambda: None,
    "verify-full": ssl.create_default_context,
}
_LOCK_HEAD = "UPDATE head SET position = position WHERE id = 1"
_NOTICE_GONE = {"TCP_KEEPIDLE": 20, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 4, "TCP_USER_TIMEOUT": 40_000}
"""TCP options: the connection to a server that vanished is closed after some 40 s, if the system has these options."""
_CREATE_LOCK = 7_305_133_704
"""The advisory lock for creating the schema; any constant will do."""


class PostgreSQL:
    """A shared log on PostgreSQL 13 or later."""

    name = "postgresql"
    clock_sql = "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS bigint)"
    time = MICROSECONDS
    bulk: Bulk | None = Bulk(copy_in, copy_out, versions_of)
    database_options: tuple[str, ...] = ()
    failures: tuple[type[Exception], ...] = (pg8000.dbapi.Error, OSError)

    def __init__(self, url: URL) -> None:
        """Take the URL of a database that exists.

        Its `sslmode` is `disable`, `prefer` (default: encrypted where the server offers it) or `verify-full`.

        Raises:
            ValueError: another `sslmode`.
        """
        mode = str(url.query.get("sslmode", "prefer"))
        if mode not in _SSL:
            raise ValueError(f"sslmode {mode!r} is not one of {', '.join(_SSL)}")
        self._connect_args = {"ssl_context": _SSL[mode]()}
        self._url = url.set(drivername="postgresql+pg8000").difference_update_query(["sslmode"])

    def writer(self) -> Engine:
        """Return the engine that appends."""
        return self._engine("SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '10s'")

    def reader(self) -> Engine:
        """Return the engine that reads."""
        return self._engine("SET default_transaction_read_only = on")

    def _engine(self, settings: str) -> Engine:
        engine = create_engine(
            self._url, isolation_level="READ COMMITTED", connect_args=self._connect_args, pool_pre_ping=True
        )

        @event.listens_for(engine, "connect")
        def _prepare(connection: Any, _record: object) -> None:
            _send_at_once(connection)
            cursor = connection.cursor()
            for setting in settings.split("; "):
                cursor.execute(setting)
            connection.commit()

        return engine

    def cursor(self, connection: PoolProxiedConnection) -> Cursor:
        """Return a cursor that prepares repeated statements."""
        return PreparingCursor(connection.driver_connection)

    @staticmethod
    @cache
    def sql(statement: str) -> str:
        """Return the statement with the driver's `%s`."""
        return statement.replace("?", "%s")

    def lock_head(self, cursor: Cursor) -> None:
        """Begin a transaction by updating the head row to what it is."""
        if isinstance(cursor, PreparingCursor):
            cursor.begin(_LOCK_HEAD)
        else:
            cursor.execute(_LOCK_HEAD)

    @staticmethod
    @cache
    def versions_sql(count: int) -> str:
        """Return the last version of each bound stream, one index seek each."""
        values = ", ".join(["(CAST(? AS varchar))"] * count)
        return (
            f"WITH wanted(stream) AS (VALUES {values}) "  # noqa: S608 question marks only
            "SELECT stream, (SELECT MAX(e.version) FROM events e WHERE e.stream = wanted.stream) FROM wanted"
        )

    def insert_events(self, cursor: Cursor, rows: Sequence[EventRow]) -> None:
        """Insert event rows, many to a statement: a round trip costs more than a row."""
        for start in range(0, len(rows), _ROWS_MAX):
            chunk = rows[start : start + _ROWS_MAX]
            cursor.execute(_insert_sql(len(chunk)), [value for row in chunk for value in row])

    def refuses(self, error: Exception) -> bool:
        """SQLSTATE classes of bad values, broken constraints, bad statements and damaged data."""
        detail = error.args[0] if error.args else None
        return isinstance(detail, dict) and str(detail.get("C", ""))[:2] in {"22", "23", "42", "XX"}

    def renew(self, error: Exception) -> None:
        """None: each connection fails and is renewed by itself."""
        del error

    def create_lock(self, connection: Connection) -> None:
        """Take an advisory lock until the transaction ends."""
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (_CREATE_LOCK,))

    def shortcomings(self, connection: Connection) -> Sequence[Shortcoming]:
        """Nothing: what the log needs is set for each connection."""
        del connection
        return ()

    def close(self) -> None:
        """Nothing belongs to the dialect alone."""


@cache
def _insert_sql(count: int) -> str:
    values = ", ".join([f"({', '.join(['%s'] * len(EVENT_COLUMNS))})"] * count)
    return f"INSERT INTO events ({', '.join(EVENT_COLUMNS)}) VALUES {values}"  # noqa: S608 constants


def _send_at_once(connection: Any) -> None:
    """Set TCP_NODELAY: COPY is written in pieces, which otherwise wait 40 ms for a delayed acknowledgement.

    The driver's `connect` takes no socket and has no such option, so its private attribute is used.
    """
    made = getattr(connection, "_usock", None)
    if isinstance(made, socket.socket) and made.family != socket.AF_UNIX:
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for option, value in _NOTICE_GONE.items():
            if (number := getattr(socket, option, None)) is not None:
                made.setsockopt(socket.IPPROTO_TCP, number, value)
