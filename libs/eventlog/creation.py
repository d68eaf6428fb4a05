"""Creates the tables of a log, and checks whether a database is fit to hold one.

The creating process holds the dialect's creation lock, so that processes that start together make one log.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, exc, inspect, make_url
from sqlalchemy.schema import CreateIndex, CreateTable

from libs.eventlog.dialects import Dialect, dialect_for
from libs.eventlog.model import GENESIS, DatabaseNotReady, UnknownLogFormat
from libs.eventlog.schema import FORMAT, metadata


def new_epoch() -> str:
    """Return a name for an epoch or a process."""
    return secrets.token_hex(8)


@dataclass(frozen=True, slots=True)
class Initialized:
    """The result of `init_log`: whether there was no log before, and the database options that it changed."""

    created: bool
    changed: tuple[str, ...]


def init_log(url: str, *, database_options: bool = False, ids: Callable[[], str] = new_epoch) -> Initialized:
    """Create missing tables; with `database_options`, set the database's options first.

    The options need an administrator's rights, and no other connection to the database.

    Raises:
        UnknownLogFormat: there is a log of another format.
        DatabaseNotReady: the database still lacks options that the dialect needs; the tables were created.
        DriverMissing: the database's driver is not installed.
    """
    dialect = dialect_for(url)
    changed = _set_options(dialect) if database_options else ()
    engine = dialect.writer()
    try:
        with engine.connect() as connection:
            created = make(connection, dialect, ids)
        ensure(engine, dialect, ids, create=False)
    finally:
        engine.dispose()
        dialect.close()
    return Initialized(created, changed)


def _set_options(dialect: Dialect) -> tuple[str, ...]:
    engine = dialect.reader()  # without transactions, in which such statements are not allowed
    try:
        with engine.connect() as connection:
            statements = [each.statement for each in dialect.shortcomings(connection) if each.statement is not None]
            for statement in statements:
                connection.exec_driver_sql(statement)
    finally:
        engine.dispose()
    return tuple(statements)


def ensure(engine: Engine, dialect: Dialect, ids: Callable[[], str], *, create: bool) -> None:
    """Check that the database holds a log of this format and is fit for it; `create` makes one where there is none.

    Raises:
        UnknownLogFormat: there is no log (and `create` is False), or one of another format.
        DatabaseNotReady: the database lacks what the dialect needs.
    """
    with engine.connect() as connection:
        if create:
            make(connection, dialect, ids)
        try:
            found = connection.exec_driver_sql("SELECT format FROM head WHERE id = 1").scalar()
        except exc.DBAPIError as error:
            raise UnknownLogFormat(f"the database holds no event log: {error.orig}") from error
        if found != FORMAT:
            raise UnknownLogFormat(f"the log has format {found}, this program knows {FORMAT}")
        if missing := dialect.shortcomings(connection):
            raise DatabaseNotReady(missing)


def make(connection: Connection, dialect: Dialect, ids: Callable[[], str]) -> bool:
    """Create the tables, and the first row of the head, if they are missing; return whether the row was missing."""
    if _has_head(connection):
        return False
    connection.rollback()
    dialect.create_lock(connection)
    metadata.create_all(connection)
    new = not _has_head(connection)
    if new:
        time = dialect.time
        connection.exec_driver_sql(
            dialect.sql(
                "INSERT INTO head (id, format, epoch, position, hash, recorded_at)"  # noqa: S608 a constant
                f" VALUES (1, ?, ?, 0, ?, {time.bound})"
            ),
            (FORMAT, ids(), GENESIS, time.store(0)),
        )
    connection.commit()
    return new


def _has_head(connection: Connection) -> bool:
    if not inspect(connection).has_table("head"):
        return False
    return bool(connection.exec_driver_sql("SELECT COUNT(*) FROM head WHERE id = 1").scalar_one())


def options_sql(url: str) -> str:
    """Return the statements with which an administrator sets the database's options; empty if there are none."""
    return "".join(f"{statement};\n" for statement in dialect_for(url).database_options)


def schema_sql(url: str) -> str:
    """Return the statements that make the tables at a URL, without a connection or a driver."""
    dialect = make_url(url).get_dialect()()
    statements = []
    for table in metadata.sorted_tables:
        statements.append(CreateTable(table).compile(dialect=dialect))
        statements += [CreateIndex(index).compile(dialect=dialect) for index in table.indexes]
    return "".join(f"{tidy(str(statement))};\n\n" for statement in statements).rstrip("\n") + "\n"


def tidy(statement: str) -> str:
    """Return a statement without SQLAlchemy's blank lines, tabs and trailing spaces."""
    lines = (line.replace("\t", "    ").rstrip() for line in statement.splitlines())
    return "\n".join(line for line in lines if line)
