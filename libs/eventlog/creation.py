"""Making the tables of a log, and telling whether a database is fit to hold one.

The one rule: whoever creates holds the dialect's creation lock, so that processes that start together make one log.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, Engine, exc, inspect, make_url
from sqlalchemy.schema import CreateIndex, CreateTable

from libs.eventlog.dialects import Dialect
from libs.eventlog.model import GENESIS, DatabaseNotReady, UnknownLogFormat
from libs.eventlog.schema import FORMAT, metadata


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
    """Make the tables, and the first row of the head, where they are missing; return whether the row was."""
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
