"""Which faults of a database pass by themselves, so that the step is retried, and which would come again.

A fault of the environment (connection, lock, restart, permission) passes, since somebody repairs it; a fault of the
data does not, however often the step is retried.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import exc

from libs.eventlog import LogUnavailable

_PASSING = (exc.OperationalError, exc.InterfaceError, exc.TimeoutError, LogUnavailable, OSError)
_PASSING_CLASSES = frozenset({"08", "25", "28", "3D", "3F", "40", "53", "55", "57", "58"})
"""SQLSTATE classes: connection, transaction state, authorization, no such database or schema, rolled back (deadlock,
serialization), out of resources, object in use, operator's intervention, system error."""
_PASSING_STATES = frozenset({"42501", "42P01"})
"""Permission denied, no such table: somebody is at work on the database. SQLite calls both operational."""


def passing(error: BaseException) -> bool:
    """Tell whether a step that failed with this error may succeed next time, without a change here."""
    if isinstance(error, exc.DBAPIError):
        if error.connection_invalidated:
            return True
        for cause in _causes(error):
            if isinstance(cause, ValueError):  # asyncpg raises InterfaceError for a value of the wrong type
                return False
            if state := getattr(cause, "sqlstate", None):
                return state[:2] in _PASSING_CLASSES or state in _PASSING_STATES
    return isinstance(error, _PASSING)


def _causes(error: exc.DBAPIError) -> Iterator[BaseException]:
    cause: BaseException | None = error.orig
    while cause is not None:
        yield cause
        cause = cause.__cause__
