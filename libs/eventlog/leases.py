"""Leases: which process may act as a named writer, by the database's clock.

The one rule: a lease's fencing epoch only grows, and it changes under the head lock, so that after `acquire` no append
of the former holder can still enter the log.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from sqlalchemy import Engine, exc
from sqlalchemy.pool import PoolProxiedConnection

from libs.eventlog.dialects import Cursor, Dialect
from libs.eventlog.model import Lease, LogUnavailable


class Leases:
    """The lease table of one log; safe for use by any thread."""

    def __init__(self, engine: Engine, dialect: Dialect) -> None:
        """Take an engine of the dialect's `writer` kind."""
        self._engine = engine
        self._dialect = dialect

    def acquire(self, name: str, holder: str, ttl_seconds: float) -> Lease | None:
        """Take the lease if it is free, expired or this holder's own; its fencing epoch grows each time."""
        clock = self._dialect.clock_sql
        with self._transaction(lock=True) as (connection, cursor):
            cursor.execute(
                self._dialect.sql(
                    "UPDATE leases SET holder = ?, epoch = epoch + 1,"  # noqa: S608 the clock is a constant
                    f" expires_at = {clock} + ? WHERE name = ? AND (holder = ? OR expires_at <= {clock})"
                ),
                (holder, _milliseconds(ttl_seconds), name, holder),
            )
            taken = cursor.rowcount == 1
            cursor.execute(self._dialect.sql("SELECT epoch FROM leases WHERE name = ?"), (name,))
            row = cursor.fetchone()
            if row is None:
                cursor.execute(
                    self._dialect.sql(
                        "INSERT INTO leases (name, holder, epoch, expires_at)"  # noqa: S608 the clock is a constant
                        f" VALUES (?, ?, 1, {clock} + ?)"
                    ),
                    (name, holder, _milliseconds(ttl_seconds)),
                )
                row, taken = (1,), True
            connection.commit()
            return Lease(name, holder, int(row[0])) if taken else None

    def renew(self, lease: Lease, ttl_seconds: float) -> bool:
        """Renew a lease that nobody took in the meantime, expired or not; False: it is lost."""
        return self._change(
            f"expires_at = {self._dialect.clock_sql} + ?", (_milliseconds(ttl_seconds),), lease, lock=False
        )

    def release(self, lease: Lease) -> bool:
        """Release a lease and fence its epoch out. False: it was lost before."""
        return self._change("expires_at = 0, epoch = epoch + 1", (), lease, lock=True)

    def _change(self, assignment: str, values: tuple[object, ...], lease: Lease, *, lock: bool) -> bool:
        with self._transaction(lock=lock) as (connection, cursor):
            cursor.execute(
                self._dialect.sql(
                    f"UPDATE leases SET {assignment} WHERE name = ? AND holder = ? AND epoch = ?"  # noqa: S608 constants
                ),
                (*values, lease.name, lease.holder, lease.epoch),
            )
            changed = cursor.rowcount == 1
            connection.commit()
            return changed

    def _connect(self) -> PoolProxiedConnection:
        try:
            return self._engine.raw_connection()
        except exc.DBAPIError as error:
            raise LogUnavailable(f"the event log's database does not answer ({error.orig})") from error
        except self._dialect.failures as error:  # `raw_connection` lets through what the driver raises
            raise LogUnavailable(f"the event log's database does not answer ({error})") from error

    @contextlib.contextmanager
    def _transaction(self, *, lock: bool) -> Iterator[tuple[PoolProxiedConnection, Cursor]]:
        connection = self._connect()
        try:
            cursor = connection.cursor()
            if lock:
                self._dialect.lock_head(cursor)
            yield connection, cursor
            connection.rollback()
        except self._dialect.failures as error:
            with contextlib.suppress(Exception):  # its state is unknown, so it does not go back into the pool
                connection.invalidate()
                self._dialect.renew(error)
            raise LogUnavailable(f"the event log's database does not answer ({error})") from error
        finally:
            connection.close()


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
