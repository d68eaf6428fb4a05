"""SQL Server through Microsoft's ODBC driver: an UPDATE of the head row is its lock, under READ COMMITTED.

The one rule: nothing rests on lock hints, OUTPUT, MERGE, SERIALIZABLE, rowversion or a UTF-8 collation. Readers see row
versions (`READ_COMMITTED_SNAPSHOT`, which the database must be set to) and never wait for the appender. Times are text
on their way in and out, so that no driver rounds them. Row counts are read from the driver, hence `NOCOUNT OFF`.

SQL Server has no limit on idle transactions: a session that died with the head lock ends when the server's TCP
keepalive finds out, within about a minute; until then an append fails after `LOCK_TIMEOUT` and is retried.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from functools import cache, cached_property, lru_cache
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, exc
from sqlalchemy.pool import PoolProxiedConnection

from libs.eventlog.dialects import sqlserver_errors
from libs.eventlog.dialects.port import (
    EVENT_COLUMNS,
    PARAMETERS_MAX,
    Bulk,
    Cursor,
    DriverMissing,
    EventRow,
    Shortcoming,
    TimeColumn,
)
from libs.eventlog.envelope import from_microseconds, to_microseconds

DRIVER = "ODBC Driver 18 for SQL Server"
COLLATION = "Latin1_General_BIN2"
NAME_TYPE = "nvarchar(512)"
LOGIN_SECONDS = 10
_STATEMENT_SECONDS = 60
SESSION = "SET NOCOUNT OFF; SET XACT_ABORT ON; SET LOCK_TIMEOUT 10000; SET TRANSACTION ISOLATION LEVEL READ COMMITTED"
LOCK_HEAD = "UPDATE head SET position = position WHERE id = 1"
IS_PRESENT = "SELECT COUNT(*) FROM sys.databases WHERE database_id = DB_ID()"
"""A statement that reads a table, to begin the transaction that an application lock then belongs to."""
CREATE_LOCK = """\
SET NOCOUNT ON;
DECLARE @got int, @what nvarchar(255) = N'resedge log in ' + SCHEMA_NAME();
EXEC @got = sp_getapplock @Resource = @what, @LockMode = 'Exclusive', @LockOwner = 'Transaction', @LockTimeout = 30000;
SET NOCOUNT OFF;
IF @got < 0 BEGIN; THROW 50001, 'another process has been creating the log for 30 seconds', 1; END;
"""
DATABASE = "SELECT is_read_committed_snapshot_on, delayed_durability FROM sys.databases WHERE database_id = DB_ID()"
COLLATIONS = f"""\
SELECT OBJECT_NAME(object_id), name, collation_name FROM sys.columns
WHERE object_id IN (OBJECT_ID('head'), OBJECT_ID('category_heads'), OBJECT_ID('events'), OBJECT_ID('blobs'),
    OBJECT_ID('submissions'), OBJECT_ID('leases')) AND collation_name <> '{COLLATION}'"""  # noqa: S608 a constant
SNAPSHOT_ON = "ALTER DATABASE CURRENT SET READ_COMMITTED_SNAPSHOT ON WITH NO_WAIT"
DURABLE = "ALTER DATABASE CURRENT SET DELAYED_DURABILITY = DISABLED"
_DURABILITY_FORCED = 2
_ROWS_MAX = PARAMETERS_MAX // len(EVENT_COLUMNS)


@lru_cache(maxsize=1_024)
def stored_time(microseconds: int) -> str:
    """Return a time as datetime2 takes it in every language setting: ISO 8601 with `T` (style 126), in UTC."""
    return from_microseconds(microseconds).replace(tzinfo=None).isoformat(timespec="microseconds")


@lru_cache(maxsize=1_024)
def loaded_time(text: str) -> int:
    """Return the microseconds of a datetime2(7) as text (style 121).

    Its seventh digit is 0 unless somebody else wrote it; then the next microsecond is returned, so that verification
    sees that the time is not the envelope's.
    """
    seconds, _, fraction = text.partition(".")
    ticks = int(fraction.ljust(7, "0"))
    return to_microseconds(from_microseconds(0).fromisoformat(f"{seconds}+00:00")) - -ticks // 10


class SQLServer:
    """A shared log on SQL Server 2016 or later, or Azure SQL."""

    name = "sqlserver"
    clock_sql = "DATEDIFF_BIG(MILLISECOND, CAST('1970-01-01T00:00:00' AS datetime2(7)), SYSUTCDATETIME())"
    time = TimeColumn(
        "CONVERT(varchar(27), recorded_at, 121)", "CONVERT(datetime2(7), ?, 126)", stored_time, loaded_time
    )
    bulk: Bulk | None = None
    database_options: tuple[str, ...] = (SNAPSHOT_ON, DURABLE)

    def __init__(self, url: URL, driver: Any = None) -> None:
        """Take the URL of a database that exists; its `driver` is Microsoft's ODBC driver 18 unless it names another.

        `driver` replaces pyodbc, which is imported only when it is needed.
        """
        if not {"driver", "odbc_connect"} & url.query.keys():
            url = url.update_query_dict({"driver": DRIVER})
        self._url = url.set(drivername="mssql+pyodbc")
        self._given = driver

    @cached_property
    def _driver(self) -> Any:
        if self._given is not None:
            return self._given
        try:
            pyodbc: Any = importlib.import_module("pyodbc")
        except ImportError as error:
            raise DriverMissing(
                f"a log on SQL Server needs unixODBC ({error}): install `unixodbc` and Microsoft's `msodbcsql18`"
            ) from error
        wanted = self._url.query.get("driver")
        if isinstance(wanted, str) and not wanted.startswith("/") and wanted not in pyodbc.drivers():
            found = ", ".join(pyodbc.drivers()) or "none"
            raise DriverMissing(
                f"the ODBC driver {wanted!r} is not installed (found: {found}): install Microsoft's `msodbcsql18`"
            )
        pyodbc.pooling = False  # the engine has a pool; a second one beneath it would hand out dead sessions
        return pyodbc

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        """What pyodbc raises, also as SQLAlchemy wraps it when it opens the first connection."""
        return (self._driver.Error, exc.DBAPIError, OSError)

    def writer(self) -> Engine:
        """Return the engine that appends."""
        return self._engine(_STATEMENT_SECONDS)

    def reader(self) -> Engine:
        """Return the engine that reads; each statement sees one state of the database, without a transaction."""
        return self._engine(0, isolation_level="AUTOCOMMIT")

    def _engine(self, statement_seconds: int, **options: Any) -> Engine:
        engine = create_engine(
            self._url,
            module=self._driver,
            pool_pre_ping=True,
            connect_args={"timeout": LOGIN_SECONDS},
            **options,
        )

        @event.listens_for(engine, "connect")
        def _prepare(connection: Any, _record: object) -> None:
            connection.timeout = statement_seconds
            cursor = connection.cursor()
            cursor.execute(SESSION)
            cursor.close()
            connection.commit()

        return engine

    def cursor(self, connection: PoolProxiedConnection) -> Cursor:
        """Return the driver's cursor."""
        return connection.cursor()

    def sql(self, statement: str) -> str:
        """Return the statement as it is: the driver knows `?`."""
        return statement

    def lock_head(self, cursor: Cursor) -> None:
        """Begin a transaction by updating the head row to what it is: the row's lock is held until it ends."""
        cursor.execute(LOCK_HEAD)

    @staticmethod
    @cache
    def versions_sql(count: int) -> str:
        """Return the last version of each bound stream, one index seek each."""
        values = ", ".join([f"(CAST(? AS {NAME_TYPE}))"] * count)
        return (
            "SELECT wanted.stream, (SELECT MAX(e.version) FROM events AS e"  # noqa: S608 constants
            f" WHERE e.stream = wanted.stream COLLATE {COLLATION}) FROM (VALUES {values}) AS wanted (stream)"
        )

    def insert_events(self, cursor: Cursor, rows: Sequence[EventRow]) -> None:
        """Insert event rows, many to a statement; never through `executemany`, which may drop fractions of seconds."""
        for start in range(0, len(rows), _ROWS_MAX):
            chunk = rows[start : start + _ROWS_MAX]
            cursor.execute(insert_sql(len(chunk)), [value for row in chunk for value in _bound(row)])

    def refuses(self, error: Exception) -> bool:
        """By error number, else by SQLSTATE: constraints, values and statements, not deadlocks and lost connections."""
        orig = error.orig if isinstance(error, exc.DBAPIError) else error
        return orig is not None and sqlserver_errors.refuses(orig)

    def renew(self, error: Exception) -> None:
        """None: each connection fails and is renewed by itself."""
        del error

    def create_lock(self, connection: Connection) -> None:
        """Take an application lock until the transaction ends."""
        connection.exec_driver_sql(IS_PRESENT).scalar_one()
        connection.exec_driver_sql(CREATE_LOCK)

    def shortcomings(self, connection: Connection) -> Sequence[Shortcoming]:
        """Return which database options and collations are not as the log needs them."""
        snapshot, durability = connection.exec_driver_sql(DATABASE).one()
        missing = []
        if not snapshot:
            missing.append(Shortcoming("READ_COMMITTED_SNAPSHOT is off: readers would wait for appends", SNAPSHOT_ON))
        if durability == _DURABILITY_FORCED:
            missing.append(Shortcoming("DELAYED_DURABILITY is FORCED: commits could be lost", DURABLE))
        missing += [
            Shortcoming(f"{table}.{column} has the collation {found}, not {COLLATION}: names would be mixed up", None)
            for table, column, found in connection.exec_driver_sql(COLLATIONS)
        ]
        return missing

    def close(self) -> None:
        """Nothing belongs to the dialect alone."""


def _bound(row: EventRow) -> tuple[Any, ...]:
    return (*row[:5], stored_time(row[5]), *row[6:])


@cache
def insert_sql(count: int) -> str:
    """Return the statement that inserts so many event rows.

    The casts give each row of one column the same type: the driver binds short bytes and long ones differently.
    """
    row = "(?, ?, ?, ?, ?, CONVERT(datetime2(7), ?, 126), CAST(? AS varbinary(max)), CAST(? AS varbinary(max)), ?)"
    return f"INSERT INTO events ({', '.join(EVENT_COLUMNS)}) VALUES {', '.join([row] * count)}"  # noqa: S608 constants
