"""Why a disk, or a database on it, refuses writes: in words for the person who has to repair it.

The fault ends once somebody has repaired the disk, without a restart.
"""

from __future__ import annotations

import errno
import gc
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext

from libs.eventlog.dialects.sqlserver_errors import numbers


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong with the disk, and what to do about it."""

    what: str
    fix: str


FULL = Trouble("its disk is full", "free space on that disk (no restart is needed)")
READ_ONLY = Trouble("its disk is read-only", "make that disk writable again (no restart is needed)")
FAILING = Trouble(
    "its disk answers with input/output errors",
    "check that the disk is there, writable and not full (no restart is needed)",
)

_BY_ERRNO = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
    errno.EROFS: READ_ONLY,
    errno.EIO: FAILING,
}
_BY_SQLITE = {
    sqlite3.SQLITE_FULL: FULL,
    sqlite3.SQLITE_READONLY: READ_ONLY,
    sqlite3.SQLITE_IOERR: FAILING,
    sqlite3.SQLITE_CANTOPEN: FAILING,
}
_BY_SQLSTATE = {"53100": FULL, "25006": READ_ONLY, "58030": FAILING}
"""PostgreSQL's disk_full, read_only_sql_transaction and io_error."""
_BY_NUMBER = {1101: FULL, 1105: FULL, 9002: FULL, 3906: READ_ONLY}
"""SQL Server's: no space in a filegroup, the transaction log is full, the database is read-only."""
_PRIMARY = 0xFF
"""SQLite's extended result codes keep the primary one in their lowest byte."""


def trouble_of(error: BaseException) -> Trouble | None:
    """Return the disk fault in an error or its causes; None if there is none."""
    for cause in _causes(error):
        if found := _said(cause):
            return found
    return None


def sqlite_trouble(error: BaseException) -> Trouble | None:
    """Return the disk fault in an error of SQLite itself."""
    code = getattr(error, "sqlite_errorcode", None)
    return _BY_SQLITE.get(code & _PRIMARY) if isinstance(code, int) else None


def renew_connections(engine: Engine) -> None:
    """Let an engine on SQLite open new connections after an error of the disk (see `spoils`)."""
    spoilt = False

    @event.listens_for(engine, "handle_error")
    def _renew(context: ExceptionContext) -> None:
        nonlocal spoilt
        if spoils(context.original_exception):
            context.is_disconnect = spoilt = True
            engine.pool.dispose()  # idle connections; those in use are not reused after their return

    @event.listens_for(engine, "do_connect")
    def _tidy(*_connecting: object) -> None:
        nonlocal spoilt
        if spoilt:
            # SQLite leaves a file open until its last statement is freed; tracebacks keep those that failed.
            gc.collect()
            spoilt = False


def spoils(error: BaseException) -> bool:
    """Tell whether an error makes every open SQLite connection of this process unfit to write.

    A connection that was opened on a read-only disk stays read-only, and so do later ones while it is open: connections
    to one file share its state.
    """
    return sqlite_trouble(error) not in (None, FULL)


def _said(error: BaseException) -> Trouble | None:
    if isinstance(error, sqlite3.Error):
        return sqlite_trouble(error)
    if isinstance(error, OSError) and error.errno in _BY_ERRNO:
        return _BY_ERRNO[error.errno]
    detail = error.args[0] if error.args else None
    state = getattr(error, "sqlstate", None) or (detail.get("C") if isinstance(detail, dict) else None)
    if isinstance(state, str) and state in _BY_SQLSTATE:
        return _BY_SQLSTATE[state]
    return next((_BY_NUMBER[number] for number in numbers(error) if number in _BY_NUMBER), None)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, the original error that SQLAlchemy wraps, and the causes of both."""
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        cause = waiting.pop(0)
        if cause is None or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        orig = getattr(cause, "orig", None)
        waiting += [orig if isinstance(orig, BaseException) else None, cause.__cause__]
