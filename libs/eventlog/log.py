"""The event log: append, read, verify. The source of truth of the whole system (DESIGN rules 1 and 2).

The one rule: an append takes the head row's lock before it decides anything, so that commit order is position order,
without gaps, on every database.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import datetime
from typing import Self

from libs.contracts import Recorded
from libs.eventlog.appender import Appender, WaitingAsync, WaitingSubmission
from libs.eventlog.commit import LogCommit
from libs.eventlog.creation import ensure, new_epoch
from libs.eventlog.dialects import Dialect, dialect_for
from libs.eventlog.events import EpochStarted
from libs.eventlog.leases import Leases
from libs.eventlog.model import (
    AlreadyAppended,
    Clock,
    Head,
    Lease,
    NewEvent,
    Outcome,
    StoredEvent,
    Submission,
    Verification,
)
from libs.eventlog.prepare import Prepared, prepare
from libs.eventlog.reader import LogReader
from libs.eventlog.verification import verify_chain
from libs.eventlog.writer import Writer

LEASE_TTL_SECONDS = 15.0


class EventLog:
    """One log, as one process uses it; every method is safe in any thread."""

    def __init__(self, dialect: Dialect, clock: Clock, ids: Callable[[], str], *, read_only: bool = False) -> None:
        """Use `open` instead; this needs a database that already holds a log."""
        self._dialect = dialect
        self._ids = ids
        self._instance = ids()
        self._numbers = itertools.count(1)
        self._write_engine = dialect.reader() if read_only else dialect.writer()
        self._read_engine = dialect.reader()
        self._reader = LogReader(self._read_engine, dialect)
        self._leases = Leases(self._write_engine, dialect)
        self._appender = Appender(Writer(self._write_engine, dialect, clock), dialect)

    @classmethod
    def open(cls, url: str, *, clock: Clock, create: bool = True, ids: Callable[[], str] = new_epoch) -> Self:
        """Open the log at a SQLAlchemy URL (`sqlite:///FILE`, `postgresql://…`, `mssql+pyodbc://…`).

        `clock` gives recorded times, `ids` names epochs and this process's submissions; `create` makes the tables if
        there are none. `sqlite://` is temporary.

        Raises:
            UnknownLogFormat: there is no log (and `create` is False), or one of another format.
            DatabaseNotReady: an administrator must set the database up first (`resedge admin init-log`).
            DriverMissing: the database's driver is not installed.
        """
        return cls._opened(dialect_for(url), url, clock, ids, create=create)

    @classmethod
    def read_only(cls, url: str, *, clock: Clock) -> Self:
        """Open an existing log, on connections that can only read.

        Raises:
            UnknownLogFormat: there is no log, or one of another format.
        """
        dialect = dialect_for(url)
        engine = dialect.reader()
        try:
            ensure(engine, dialect, new_epoch, create=False)
        finally:
            engine.dispose()
        opened = cls(dialect, clock, new_epoch, read_only=True)
        opened.url = url
        return opened

    @classmethod
    def _opened(cls, dialect: Dialect, url: str, clock: Clock, ids: Callable[[], str], *, create: bool) -> Self:
        engine = dialect.writer()
        try:
            ensure(engine, dialect, ids, create=create)
        finally:
            engine.dispose()
        opened = cls(dialect, clock, ids)
        opened.url = url
        return opened

    url = ""
    """The URL, for child processes that open the same log. It may hold a password: never show it."""

    @property
    def embedded(self) -> bool:
        """Whether reading a few events takes microseconds, not a round trip to a server."""
        return self._dialect.name == "sqlite"

    def append(self, submission: Submission) -> Outcome:
        """Append and wait until it is durable or refused.

        Raises:
            InvalidSubmission: a bound is broken; nothing was appended.
            LogUnavailable: the database is gone; whether it was appended is unknown.
            LogClosed: this log was closed.
        """
        return self._appender.append(WaitingSubmission(self._prepare(submission)))

    async def append_async(self, submission: Submission) -> Outcome:
        """Append without blocking the event loop; events of a cancelled caller may still be appended."""
        job = WaitingAsync(self._prepare(submission))
        self._appender.submit(job)
        return await job.future

    def _prepare(self, submission: Submission) -> Prepared:
        return prepare(submission, f"{self._instance}/{next(self._numbers)}")

    def read(self, after: int, limit: int = 1_000) -> list[StoredEvent]:
        """Return up to `limit` events after a position; fewer mean that the log ends there."""
        return self._reader.read(after, limit)

    def read_recorded(self, after: int, limit: int = 1_000, *, tolerant: bool = False) -> list[Recorded]:
        """Return the events of `read`, decoded; if `tolerant`, with an `Undecodable` for each that cannot be.

        Raises:
            UnknownEventType: this version of the code has no class for an event's type.
            msgspec.DecodeError: the data does not fit that class.
        """
        return self._reader.recorded(after, limit, tolerant=tolerant)

    def read_raw(self, after: int, limit: int = 1_000) -> list[tuple[bytes, bytes, bytes]]:
        """Return the exact bytes (envelope, data, hash) that the log keeps of up to `limit` events after a position."""
        return self._reader.read_raw(after, limit)

    def read_stream(self, stream: str, after_version: int = 0, limit: int = 100_000) -> list[StoredEvent]:
        """Return up to `limit` events of one stream after a version."""
        return self._reader.read_stream(stream, after_version, limit)

    def head(self) -> Head:
        """Return the log's end."""
        return self._reader.head()

    def continues(self, position: int) -> bool:
        """Tell whether the next event belongs to the same submission as the one at a position."""
        return self._reader.continues(position)

    def category_head(self, category: str) -> int:
        """Return the position of a category's last event; 0 without one."""
        return self._reader.category_head(category)

    def hash_at(self, position: int) -> bytes:
        """Return the chain hash after a position (0: the genesis hash).

        Raises:
            LookupError: the log does not reach that far.
        """
        return self._reader.hash_at(position)

    def position_at(self, time: datetime) -> int:
        """Return the last position recorded at or before `time`; 0 if there is none."""
        return self._reader.position_at(time)

    def blob(self, digest: str) -> bytes:
        """Return the bytes of the blob with this hex SHA-256.

        Raises:
            LookupError: the log holds no such blob.
        """
        return self._reader.blob(digest)

    def outcome_of(self, key: str) -> AlreadyAppended | None:
        """Return the answer to the submission with this idempotency key, if it was appended."""
        return self._reader.outcome_of(key)

    def verify(self, after: int = 0, until: int | None = None) -> Verification:
        """Recompute the chain in (after, until] from the stored bytes and compare everything that depends on it."""
        return verify_chain(self._reader, after, until)

    def acquire_lease(self, name: str, holder: str, ttl_seconds: float = LEASE_TTL_SECONDS) -> Lease | None:
        """Take a lease that is free, expired or this holder's own; None: somebody else holds it."""
        return self._leases.acquire(name, holder, ttl_seconds)

    def renew_lease(self, lease: Lease, ttl_seconds: float = LEASE_TTL_SECONDS) -> bool:
        """Renew a lease; False: it is lost."""
        return self._leases.renew(lease, ttl_seconds)

    def release_lease(self, lease: Lease) -> bool:
        """Release a lease and fence its epoch out; False: it was lost before."""
        return self._leases.release(lease)

    def new_epoch(self, actor: str, reason: str) -> str:
        """Begin a new epoch of the log, as an event in it, and return its name."""
        epoch = self._ids()
        event = EpochStarted(epoch, self.head().epoch, reason)
        submission = Submission([NewEvent.of("log-epochs", event)], actor)
        prepared = self._prepare(submission)
        self._appender.append(WaitingSubmission(Prepared(submission, prepared.streams, "", prepared.token, epoch)))
        return epoch

    def on_append(self, callback: Callable[[int], None]) -> Callable[[], None]:
        """Call `callback` with the new last position after each commit of this process, from the thread that made it.

        Returns what ends that. Appends of other processes are not seen.
        """
        return self._appender.listen(callback)

    def on_commit(self, callback: Callable[[LogCommit], None]) -> Callable[[], None]:
        """Call `callback` with the events of each commit of this process, before its callers and `on_append`.

        It is called from the thread that appends: it must be quick. Returns what ends that.
        """
        return self._appender.follow(callback)

    def on_batch(self, callback: Callable[[int, int, float], None]) -> Callable[[], None]:
        """Call `callback` with (events, submissions, seconds) after each commit of this process, before its callers.

        Events and submissions are those that the transaction took; seconds run from before its first statement, with
        every attempt. It is called from the thread that appends: it must be quick. Returns what ends that.
        """
        return self._appender.measure(callback)

    def close(self) -> None:
        """Append the waiting submissions, then close the database."""
        self._appender.close()
        self._read_engine.dispose()
        self._write_engine.dispose()
        self._dialect.close()
