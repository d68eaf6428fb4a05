"""A stand-in for pyodbc and the SQL Server behind it: enough to drive the real log through its dialect without either.

It takes exactly the statements that the dialect sends, answers them from a SQLite file, and fails as pyodbc would. It
shows what this side does (statements, order, parameters, times, errors, retries), never what SQL Server does.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from libs.eventlog.dialects import SQLServer
from libs.eventlog.dialects.sqlserver import COLLATIONS, CREATE_LOCK, DATABASE, DRIVER, IS_PRESENT, SESSION

STAND_IN_URL = "mssql+pyodbc://resedge:secret@sql.example:1433/resedge?driver=ODBC+Driver+18+for+SQL+Server"
PARAMETERS_LIMIT = 2_100
_PRODUCT = "[Microsoft][ODBC Driver 18 for SQL Server][SQL Server]"
_CLOCK = "CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)"
_BANNED = re.compile(
    r"\b(UPDLOCK|HOLDLOCK|TABLOCK|NOLOCK|ROWLOCK|OUTPUT|MERGE|SERIALIZABLE|ROWVERSION|RETURNING|LIMIT)\b|_UTF8|WITH \(",
    re.IGNORECASE,
)
_TRANSLATIONS = (
    ("CONVERT(varchar(27), recorded_at, 121)", "recorded_at"),
    ("CONVERT(datetime2(7), ?, 126)", "datetime2_of(?)"),
    ("CAST(? AS varbinary(max))", "?"),
    ("(CAST(? AS nvarchar(512)))", "(?)"),
    ("wanted.stream", "wanted.column1"),
    ("AS wanted (stream)", "AS wanted"),
    ("COLLATE Latin1_General_BIN2", ""),
    ("PRIMARY KEY NONCLUSTERED", "PRIMARY KEY"),
    ("VARBINARY(max)", "BLOB"),
    ("DATETIME2(7)", "TEXT"),
    (SQLServer.clock_sql, _CLOCK),
    ("DATEADD(nanosecond, 100, recorded_at)", "substr(recorded_at, 1, 26) || '1'"),
)
HAS_TABLE = "FROM sys.objects JOIN sys.schemas"
_WRITES = ("UPDATE", "INSERT", "CREATE")
SQLALCHEMY_ASKS: dict[str, list[tuple[Any, ...]]] = {
    "ProductVersion": [("16.0.4195.2",)],
    "schema_name()": [("dbo",)],
    "sys.system_views": [],
    "test max support": [("test max support",)],
    "fn_listextendedproperty": [],
}
"""What SQLAlchemy asks each server when it first connects; a part of the statement, and the answer."""


class Error(Exception):
    """What pyodbc raises: `args` are the SQLSTATE and the message."""


class OperationalError(Error):
    """A lost connection, a timeout."""


class IntegrityError(Error):
    """A constraint."""


class ProgrammingError(Error):
    """A bad statement."""


class InterfaceError(Error):
    """A misuse of the driver."""


def failure(kind: type[Error], state: str, text: str, number: int, function: str = "SQLExecDirectW") -> Error:
    """Return an error with the message that pyodbc composes."""
    return kind(state, f"[{state}] {_PRODUCT}{text} ({number}) ({function})")


def lost(function: str = "SQLExecDirectW") -> Error:
    return failure(OperationalError, "08S01", "Communication link failure", 10054, function)


def deadlock() -> Error:
    return failure(Error, "40001", "Transaction (Process ID 57) was deadlocked on lock resources.", 1205)


@dataclass
class Double:
    """The module and the server in one. `journal` holds what was executed: (statement, values)."""

    file: Path
    snapshot: bool = True
    durability: int = 0
    collations: list[tuple[str, str, str]] = field(default_factory=list)
    journal: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)
    connected: list[str] = field(default_factory=list)
    before: Callable[[str], None] = lambda _statement: None
    after: Callable[[str], None] = lambda _statement: None
    connections: list[Connection] = field(default_factory=list)

    pooling = True
    paramstyle = "qmark"
    version = "5.5.0"
    SQL_WVARCHAR = -9
    SQL_VARCHAR = 12
    SQL_DBMS_VER = 18
    Error = DatabaseError = Error
    OperationalError = OperationalError
    IntegrityError = IntegrityError
    ProgrammingError = ProgrammingError
    InterfaceError = InterfaceError

    @property
    def Cursor(self) -> type[Cursor]:  # noqa: N802 - pyodbc's name
        return Cursor

    def drivers(self) -> list[str]:
        return [DRIVER]

    def connect(self, text: str, **options: Any) -> Connection:
        assert options in ({}, {"timeout": 10})
        self.connected.append(text)
        connection = Connection(self)
        self.connections.append(connection)
        return connection

    def cut(self) -> None:
        """End every session, as an administrator or a failing network would."""
        for connection in self.connections:
            connection.die()
        self.connections.clear()

    def statements(self) -> list[str]:
        """Return what was executed, without what SQLAlchemy asks by itself."""
        return [said for said, _ in self.journal if not any(part in said for part in (*SQLALCHEMY_ASKS, HAS_TABLE))]


class Connection:
    """A session: with `autocommit` off its first statement begins a transaction."""

    def __init__(self, double: Double) -> None:
        self.double = double
        self.autocommit = False
        self.timeout: int | None = None
        self._dead = False
        self.sqlite = sqlite3.connect(double.file, isolation_level=None, timeout=10, check_same_thread=False)
        self.sqlite.execute("PRAGMA journal_mode = WAL")
        self.sqlite.execute("PRAGMA synchronous = OFF")
        self.sqlite.create_function("datetime2_of", 1, datetime2_of, deterministic=True)

    def add_output_converter(self, number: int, converter: Any) -> None:
        del number, converter

    def getinfo(self, what: int) -> str:
        assert what == Double.SQL_DBMS_VER
        return "16.00.4195"

    def cursor(self) -> Cursor:
        self.check("SQLAllocHandle")
        return Cursor(self)

    def commit(self) -> None:
        self._end("COMMIT")

    def rollback(self) -> None:
        self._end("ROLLBACK")

    def close(self) -> None:
        self.die()

    def die(self) -> None:
        if not self._dead:
            self._dead = True
            with contextlib.suppress(sqlite3.Error):
                self.sqlite.interrupt()
            self.sqlite.close()

    def check(self, function: str) -> None:
        if self._dead:
            raise lost(function)

    def _end(self, word: str) -> None:
        self.check("SQLEndTran")
        if not self.sqlite.in_transaction:
            return
        self.double.before(word)
        self.check("SQLEndTran")
        self.double.journal.append((word, ()))
        self.sqlite.execute(word)
        self.double.after(word)

    def begin(self, statement: str) -> None:
        if not self.autocommit and not self.sqlite.in_transaction:
            self.sqlite.execute("BEGIN IMMEDIATE" if statement.startswith(_WRITES) else "BEGIN")


class Cursor:
    """One statement handle."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._double = connection.double
        self._answer: list[tuple[Any, ...]] = []
        self.rowcount = -1
        self.description: Any = None

    def nextset(self) -> bool:
        return False

    def setinputsizes(self, sizes: Any) -> None:
        del sizes

    def close(self) -> None:
        self._answer = []

    def executemany(self, statement: str, rows: Any) -> None:
        raise AssertionError(f"executemany may drop fractions of seconds: {statement} {rows}")

    def execute(self, statement: str, *values: Any) -> Cursor:
        parameters = tuple(values[0]) if len(values) == 1 and isinstance(values[0], list | tuple) else values
        self._connection.check("SQLExecDirectW")
        self._double.before(statement)
        self._connection.check("SQLExecDirectW")
        self._double.journal.append((statement, parameters))
        refuse_what_is_not_portable(statement, parameters)
        self.rowcount, self._answer, self.description = -1, [], None
        try:
            self._run(statement, parameters)
        except sqlite3.IntegrityError as error:
            text = f"Violation of UNIQUE KEY constraint. Cannot insert duplicate key ({error})."
            raise failure(IntegrityError, "23000", text, 2627) from error
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise failure(OperationalError, "HYT00", "Lock request time out period exceeded.", 1222) from error
            raise failure(ProgrammingError, "42S02", f"Invalid object name ({error}).", 208) from error
        self._double.after(statement)
        return self

    def _run(self, statement: str, values: Sequence[Any]) -> None:
        if (answer := self._known(statement, values)) is not None:
            self._give(answer, [f"column{number}" for number in range(len(answer[0]) if answer else 1)])
            return
        if statement.startswith("ALTER DATABASE"):
            self._alter(statement)
            return
        if statement == SESSION:
            return
        self._connection.begin("CREATE" if statement == CREATE_LOCK else statement)
        if statement == CREATE_LOCK:
            return
        found = self._connection.sqlite.execute(translated(statement), values)
        if found.description:
            self._give(found.fetchall(), [name for name, *_ in found.description])
        else:
            self.rowcount = found.rowcount

    def _known(self, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]] | None:
        """Return the answer to what has nothing to do with the log's tables."""
        if HAS_TABLE in statement:
            known = {name for (name,) in self._connection.sqlite.execute("SELECT name FROM sqlite_master")}
            return [(value,) for value in values if value in known]
        answers: dict[str, list[tuple[Any, ...]]] = {
            IS_PRESENT: [(1,)],
            DATABASE: [(self._double.snapshot, self._double.durability)],
            COLLATIONS: list(self._double.collations),
        }
        asked = (answer for part, answer in SQLALCHEMY_ASKS.items() if part in statement)
        return answers.get(statement, next(asked, None))

    def _alter(self, statement: str) -> None:
        assert self._connection.autocommit, "ALTER DATABASE stands outside transactions"
        self._double.snapshot |= "READ_COMMITTED_SNAPSHOT ON" in statement
        if "DELAYED_DURABILITY = DISABLED" in statement:
            self._double.durability = 0

    def _give(self, rows: list[tuple[Any, ...]], names: list[str]) -> None:
        self._answer = list(rows)
        self.description = [(name, None, None, None, None, None, None) for name in names]

    def fetchone(self) -> tuple[Any, ...] | None:
        return self._answer.pop(0) if self._answer else None

    def fetchall(self) -> list[tuple[Any, ...]]:
        rows, self._answer = self._answer, []
        return rows

    def fetchmany(self, size: int = 1) -> list[tuple[Any, ...]]:
        rows, self._answer = self._answer[:size], self._answer[size:]
        return rows


def refuse_what_is_not_portable(statement: str, values: Sequence[Any]) -> None:
    """Fail on what the dialect has promised never to send."""
    assert not _BANNED.search(statement), statement
    assert len(values) == statement.count("?") <= PARAMETERS_LIMIT, (statement[:200], len(values))
    assert all(isinstance(value, int | str | bytes) for value in values), {type(value) for value in values}


def translated(statement: str) -> str:
    """Return the statement as SQLite takes it."""
    for theirs, ours in _TRANSLATIONS:
        statement = statement.replace(theirs, ours)
    return statement


def datetime2_of(text: str) -> str:
    """Return what SQL Server shows (style 121) of a datetime2(7) that was made from ISO 8601 (style 126)."""
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,7})?", text):
        raise ValueError(text)
    seconds, _, fraction = text.partition(".")
    datetime.fromisoformat(seconds)
    return f"{seconds.replace('T', ' ')}.{fraction.ljust(7, '0')}"
