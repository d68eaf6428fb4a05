"""What a disk lacks is told alike, whatever says so: an errno, SQLite, PostgreSQL, SQL Server, wrapped or not."""

from __future__ import annotations

import errno
import sqlite3

import pytest
from sqlalchemy import exc

from libs.bus.faults import passing
from libs.commands.problems import problem_of
from libs.eventlog import LogUnavailable, trouble_of


def sqlite_error(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("said by SQLite")
    error.sqlite_errorcode = code
    return error


class PgError(Exception):
    """What pg8000 raises: a dictionary of the server's fields."""


class AsyncpgError(Exception):
    """What asyncpg raises: the state is an attribute."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__("said by the server")
        self.sqlstate = sqlstate


class OdbcError(Exception):
    """What pyodbc raises: a state and a message that holds the number."""


FULL, READ_ONLY, FAILING = "its disk is full", "its disk is read-only", "its disk answers with input/output errors"
SAID: list[tuple[BaseException, str]] = [
    (OSError(errno.ENOSPC, "No space left on device"), FULL),
    (OSError(errno.EDQUOT, "Quota exceeded"), FULL),
    (OSError(errno.EROFS, "Read-only file system"), READ_ONLY),
    (OSError(errno.EIO, "Input/output error"), FAILING),
    (sqlite_error(sqlite3.SQLITE_FULL), FULL),
    (sqlite_error(sqlite3.SQLITE_READONLY), READ_ONLY),
    (sqlite_error(sqlite3.SQLITE_READONLY_DBMOVED), READ_ONLY),
    (sqlite_error(sqlite3.SQLITE_IOERR_WRITE), FAILING),
    (sqlite_error(sqlite3.SQLITE_IOERR_FSYNC), FAILING),
    (sqlite_error(sqlite3.SQLITE_IOERR_SHMSIZE), FAILING),
    (sqlite_error(sqlite3.SQLITE_CANTOPEN), FAILING),
    (PgError({"S": "ERROR", "C": "53100", "M": "could not extend file"}), FULL),
    (PgError({"S": "ERROR", "C": "25006", "M": "cannot execute INSERT in a read-only transaction"}), READ_ONLY),
    (PgError({"S": "ERROR", "C": "58030", "M": "could not fsync"}), FAILING),
    (AsyncpgError("53100"), FULL),
    (OdbcError("42000", "[42000] [Microsoft] Could not allocate space (1105) (SQLExecDirectW)"), FULL),
    (OdbcError("42000", "[42000] [Microsoft] The transaction log is full (9002) (SQLExecDirectW)"), FULL),
    (OdbcError("HY000", "[HY000] [Microsoft] The database is read-only (3906) (SQLExecDirectW)"), READ_ONLY),
]
NOTHING: list[BaseException] = [
    ValueError("No space left on device"),
    FileNotFoundError(errno.ENOENT, "No such file"),
    ConnectionResetError("cut"),
    sqlite_error(sqlite3.SQLITE_BUSY),
    sqlite_error(sqlite3.SQLITE_CONSTRAINT),
    PgError({"C": "23505"}),
    OdbcError("23000", "[23000] duplicate key (1105) x (2627) (SQLExecDirectW)"),
]


def wrapped(error: BaseException) -> list[Exception]:
    """Return what callers get of it: the driver's error as it is, by SQLAlchemy, and by the log."""
    away = LogUnavailable("the event log's database does not answer")
    away.__cause__ = error
    return [exc.OperationalError("INSERT", {}, error), away]


@pytest.mark.parametrize(("error", "what"), SAID, ids=[f"{type(error).__name__} {error}" for error, _ in SAID])
def test_what_a_disk_lacks_is_told_alike(error: BaseException, what: str) -> None:
    for each in (error, *wrapped(error)):
        trouble = trouble_of(each)
        assert trouble is not None
        assert trouble.what == what
    for each in wrapped(error):
        trouble, problem = trouble_of(each), problem_of(each)
        assert passing(each)
        assert problem is not None
        assert problem.status == 503
        assert problem.detail.endswith(f"cannot be used now: {what}")
        assert trouble is not None
        assert str(problem.fix).startswith(trouble.fix)


@pytest.mark.parametrize("error", NOTHING, ids=[f"{type(error).__name__} {error}" for error in NOTHING])
def test_what_says_nothing_of_a_disk_is_not_taken_for_it(error: BaseException) -> None:
    assert all(trouble_of(each) is None for each in (error, *wrapped(error)))


def test_a_disk_that_refuses_a_handler_is_a_503_and_a_missing_file_a_defect() -> None:
    refused = problem_of(OSError(errno.ENOSPC, "No space left on device", "/data/tokens.json"))

    assert refused is not None
    assert (refused.status, "/data" in refused.detail) == (503, False)
    assert problem_of(FileNotFoundError(errno.ENOENT, "No such file")) is None


def test_a_cause_that_is_its_own_cause_is_followed_once() -> None:
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one

    assert trouble_of(one) is None
