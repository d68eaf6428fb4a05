"""The interface of a dialect: connections, the head lock, bulk inserts, and the database's clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Connection, Engine
from sqlalchemy.pool import PoolProxiedConnection

PARAMETERS_MAX = 2_000
"""Values bound to one statement; SQL Server allows 2,100."""

EVENT_COLUMNS = ("position", "stream", "version", "type", "category", "recorded_at", "envelope", "data", "hash")

EventRow = tuple[int, str, int, str, str, int, bytes, bytes, bytes]


class DriverMissing(RuntimeError):  # noqa: N818 - it states the fact
    """The database's driver is not installed on this machine; the message says what to install."""


@dataclass(frozen=True, slots=True)
class TimeColumn:
    """How a dialect keeps `recorded_at`: `selected` reads it, `bound` stands for a value that is written.

    `store` turns microseconds since the Unix epoch into the bound value, `load` the selected value into microseconds.
    """

    selected: str
    bound: str
    store: Callable[[int], Any]
    load: Callable[[Any], int]


MICROSECONDS = TimeColumn("recorded_at", "?", int, int)
"""The number itself: the column holds microseconds since the Unix epoch."""


@dataclass(frozen=True, slots=True)
class Shortcoming:
    """A property of a database that makes a log unsafe on it, and the statement that fixes it, if any."""

    what: str
    statement: str | None


class Cursor(Protocol):
    """The part of a DBAPI cursor that the append path uses (PEP 249)."""

    @property
    def rowcount(self) -> int:
        """Rows that the last statement changed."""

    def execute(self, statement: str, parameters: Sequence[Any] = ..., /) -> Any:
        """Run one statement."""

    def executemany(self, statement: str, parameters: Sequence[Sequence[Any]], /) -> Any:
        """Run one statement for each row of parameters."""

    def fetchone(self) -> Any:
        """Return the next row, or None."""

    def fetchall(self) -> Sequence[Any]:
        """Return the rows that are left."""


@dataclass(frozen=True, slots=True)
class Bulk:
    """Moves many rows at once, if that is faster than ordinary statements; all in the cursor's transaction.

    `insert` takes event rows, `select` (columns, after, until) returns those columns of the events in (after, until] in
    their order, `versions` the (stream, last version or None) of streams.
    """

    insert: Callable[[Cursor, Sequence[EventRow]], None]
    select: Callable[[Cursor, Sequence[str], int, int], Sequence[tuple[Any, ...]]]
    versions: Callable[[Cursor, Sequence[str]], Sequence[tuple[str, int | None]]]


BULK_ROWS_MIN = 16
"""The number of rows from which a `Bulk` is used."""


class Dialect(Protocol):
    """One database. Statements are written with `?` and pass through `sql` before they reach a cursor."""

    name: str
    clock_sql: str
    """The database's own time in milliseconds since the Unix epoch, evaluated when the statement runs."""
    time: TimeColumn
    bulk: Bulk | None
    database_options: tuple[str, ...]
    """The statements of an administrator that make a database fit for a log, once, outside transactions."""

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        """The exceptions of the driver, and of the operating system beneath it."""

    def writer(self) -> Engine:
        """Return the engine that appends: durable commits, READ COMMITTED or stricter."""

    def reader(self) -> Engine:
        """Return the engine that reads without ever blocking the appender."""

    def cursor(self, connection: PoolProxiedConnection) -> Cursor:
        """Return a cursor for the append path, used until the connection is given up."""

    def sql(self, statement: str) -> str:
        """Return the statement in the driver's parameter style."""

    def lock_head(self, cursor: Cursor) -> None:
        """Begin a transaction that holds the head row's lock; every statement after it sees the latest commits."""

    def versions_sql(self, count: int) -> str:
        """Return a statement that yields (stream, last version or NULL) for `count` bound streams."""

    def insert_events(self, cursor: Cursor, rows: Sequence[EventRow]) -> None:
        """Insert event rows."""

    def refuses(self, error: Exception) -> bool:
        """Tell a permanent failure (constraint, value, syntax) from a temporary one."""

    def renew(self, error: Exception) -> None:
        """Drop other connections that a failure leaves unfit for use."""

    def create_lock(self, connection: Connection) -> None:
        """Keep other processes from creating the schema until the connection's transaction ends."""

    def shortcomings(self, connection: Connection) -> Sequence[Shortcoming]:
        """Return what must change in the database before a log is safe on it."""

    def close(self) -> None:
        """Drop resources of this dialect, such as a temporary database."""
