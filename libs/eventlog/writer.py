"""One append transaction: take the head lock, check against the committed state, insert, move the head.

The one rule: everything that decides an outcome is read under the head lock. A transaction whose commit was interrupted
is recognised later, again under the head lock, by the chain hash that it would have left.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.pool import PoolProxiedConnection

from libs.contracts import category_of
from libs.contracts.crash import crash_point
from libs.eventlog.commit import Entry, LogCommit
from libs.eventlog.dialects import PARAMETERS_MAX, Cursor, Dialect
from libs.eventlog.dialects.port import BULK_ROWS_MIN, EventRow
from libs.eventlog.envelope import Envelope, chain, encode_envelope, from_microseconds, to_microseconds
from libs.eventlog.idempotency import earlier_outcomes
from libs.eventlog.model import (
    AlreadyAppended,
    Appended,
    Clock,
    Expired,
    FencedOut,
    GuardConflict,
    IdempotencyConflict,
    Outcome,
    UnknownLogFormat,
    VersionConflict,
)
from libs.eventlog.prepare import Prepared

_ROWS_PER_INSERT = 2_000


@dataclass(slots=True)
class _Tail:
    """The log's end while a transaction extends it; `categories` are the heads of all categories.

    `recorded_at` is the time of the transaction, `last_at` that of the event at `position`; `remembered` says that
    answers without events were kept.
    """

    epoch: str
    position: int
    hash: bytes
    recorded_at: int
    categories: dict[str, int] = field(default_factory=dict)
    last_at: int = 0
    remembered: bool = False

    def copy(self) -> _Tail:
        return _Tail(self.epoch, self.position, self.hash, self.last_at, dict(self.categories), self.last_at)


@dataclass(slots=True)
class _Facts:
    """The state against which a batch is decided; updated with each of its submissions."""

    versions: dict[str, int]
    leases: dict[str, int]
    keys: dict[str, AlreadyAppended]
    blobs: set[str]


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A transaction that may have been committed: if so, the log has `hash` at `position`."""

    outcomes: list[Outcome]
    position: int
    hash: bytes


class Writer:
    """Appends batches on one connection; used by one thread."""

    def __init__(self, engine: Engine, dialect: Dialect, clock: Clock) -> None:
        """Take an engine of the dialect's `writer` kind."""
        self._engine = engine
        self._dialect = dialect
        self._clock = clock
        self._connection: PoolProxiedConnection | None = None
        self._cursor: Any = None
        self._known: _Tail | None = None
        self._attempt: _Attempt | None = None
        self.position = 0
        """The log's last position after the last transaction with a known outcome, for listeners."""
        self.followed = False
        """Whether somebody asks for `commit`."""
        self.commit: LogCommit | None = None
        """The events that the last `write` appended; None if an earlier attempt had committed them already."""
        self._entries: list[Entry] | None = None
        sql, self._time = dialect.sql, dialect.time
        self._select_head = sql(f"SELECT epoch, position, hash, {self._time.selected} FROM head WHERE id = 1")  # noqa: S608 constant
        self._update_head = sql(
            f"UPDATE head SET epoch = ?, position = ?, hash = ?, recorded_at = {self._time.bound} WHERE id = 1"  # noqa: S608 constant
        )
        self._select_hash = sql("SELECT hash FROM events WHERE position = ?")
        self._update_category = sql("UPDATE category_heads SET position = ? WHERE category = ?")
        self._insert_category = sql("INSERT INTO category_heads (position, category) VALUES (?, ?)")
        self._insert_blob = sql("INSERT INTO blobs (digest, bytes) VALUES (?, ?)")
        self._insert_submission = sql(
            "INSERT INTO submissions (idempotency_key, content_digest, first_position, last_position, answer)"
            " VALUES (?, ?, ?, ?, ?)"
        )

    def write(self, batch: Sequence[Prepared]) -> list[Outcome]:
        """Append the acceptable submissions of a batch in one transaction, and return an outcome for each.

        Raises what the database raises; the batch may then be written again (the same, or after `forget`), and what was
        committed by the failed attempt is found and not repeated.
        """
        connection, cursor = self._open()
        crash_point("eventlog.before-lock")
        self._dialect.lock_head(cursor)
        tail = self._tail(cursor)
        crash_point("eventlog.after-lock")
        if self._attempt is not None and (outcomes := self._committed(cursor, self._attempt)) is not None:
            connection.rollback()
            self.position = tail.position
            return outcomes
        tail.recorded_at = max(tail.recorded_at, to_microseconds(self._clock()))
        before, heads, chained = tail.position, dict(tail.categories), tail.hash
        self.commit, self._entries = None, [] if self.followed else None
        outcomes = self._take(cursor, batch, tail, self._facts(cursor, batch))
        if tail.position == before:
            self._end_without_events(connection, tail)
            self.position = before
            return outcomes
        self._move_head(cursor, tail, heads)
        self._attempt = _Attempt(outcomes, tail.position, tail.hash)
        crash_point("eventlog.before-commit")
        connection.commit()
        crash_point("eventlog.after-commit")
        # Only once it is durable: after a failed commit the log would not have this position.
        self._attempt = None
        self._known, self.position = tail, tail.position
        self.commit, self._entries = None if self._entries is None else LogCommit(chained, self._entries), None
        return outcomes

    @staticmethod
    def _end_without_events(connection: PoolProxiedConnection, tail: _Tail) -> None:
        if not tail.remembered:
            connection.rollback()
            return
        # If this commit is interrupted, its remembered answer is found by its key.
        crash_point("eventlog.before-commit")
        connection.commit()
        crash_point("eventlog.after-commit")

    def forget(self) -> None:
        """Drop the connection, in any state."""
        connection, cursor = self._connection, self._cursor
        self._connection = self._cursor = self._known = None
        if connection is None:
            return
        for give_up in (cursor.close, connection.rollback, connection.invalidate):
            with contextlib.suppress(
                Exception
            ):  # it may be broken already: only the resources that it still holds matter
                give_up()

    @property
    def unknown(self) -> bool:
        """Whether a transaction may have been committed that nobody has been told of."""
        return self._attempt is not None

    def settle(self) -> None:
        """Stop looking for the transaction whose outcome is unknown: its callers have been told."""
        self._attempt = None

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            self._connection.close()
        self._connection = self._cursor = None

    def _open(self) -> tuple[PoolProxiedConnection, Cursor]:
        if self._connection is None:
            self._connection = self._engine.raw_connection()
            self._cursor = self._dialect.cursor(self._connection)
        return self._connection, self._cursor

    def _committed(self, cursor: Cursor, attempt: _Attempt) -> list[Outcome] | None:
        cursor.execute(self._select_hash, (attempt.position,))
        row = cursor.fetchone()
        self._attempt = None
        return attempt.outcomes if row is not None and bytes(row[0]) == attempt.hash else None

    def _tail(self, cursor: Cursor) -> _Tail:
        cursor.execute(self._select_head)
        row = cursor.fetchone()
        if row is None:
            raise UnknownLogFormat("the head row is gone")
        epoch, position, hash_, stored_at = row
        known = self._known
        if known is not None and known.position == position and known.hash == hash_ and known.epoch == epoch:
            return known.copy()  # nobody else has appended since, so the category heads are as we left them
        cursor.execute("SELECT category, position FROM category_heads")
        heads = {str(name): int(at) for name, at in cursor.fetchall()}
        at = self._time.load(stored_at)
        return _Tail(epoch, position, bytes(hash_), at, heads, at)

    def _facts(self, cursor: Cursor, batch: Sequence[Prepared]) -> _Facts:
        streams: dict[str, None] = {}
        keys: list[str] = []
        leases: dict[str, None] = {}
        digests: dict[str, None] = {}
        for prepared in batch:
            submission = prepared.submission
            streams.update(dict.fromkeys(prepared.streams))
            streams.update(dict.fromkeys(submission.expected))
            if submission.key is not None:
                keys.append(submission.key)
            if submission.lease is not None:
                leases[submission.lease[0]] = None
            digests.update(dict.fromkeys(submission.blobs))
        facts = _Facts({}, {}, {}, set())
        for some in _chunks(list(streams)):
            facts.versions.update((stream, version or 0) for stream, version in self._versions(cursor, some))
        for some in _chunks(keys):
            facts.keys.update(earlier_outcomes(self._dialect, cursor, some))
        for some in _chunks(list(leases)):
            cursor.execute(self._in("SELECT name, epoch FROM leases WHERE name IN", len(some)), some)
            facts.leases.update((name, epoch) for name, epoch in cursor.fetchall())
        for some in _chunks(list(digests)):
            cursor.execute(self._in("SELECT digest FROM blobs WHERE digest IN", len(some)), some)
            facts.blobs.update(digest for (digest,) in cursor.fetchall())
        return facts

    def _versions(self, cursor: Cursor, streams: Sequence[str]) -> Sequence[Any]:
        bulk = self._dialect.bulk
        if bulk is not None and len(streams) >= BULK_ROWS_MIN:
            return bulk.versions(cursor, streams)
        cursor.execute(self._dialect.sql(self._dialect.versions_sql(len(streams))), streams)
        return cursor.fetchall()

    def _insert(self, cursor: Cursor, rows: Sequence[EventRow]) -> None:
        bulk = self._dialect.bulk
        insert = self._dialect.insert_events if bulk is None or len(rows) < BULK_ROWS_MIN else bulk.insert
        insert(cursor, rows)

    def _in(self, select: str, count: int) -> str:
        return self._dialect.sql(f"{select} ({', '.join(['?'] * count)})")

    def _take(self, cursor: Cursor, batch: Sequence[Prepared], tail: _Tail, facts: _Facts) -> list[Outcome]:
        outcomes: list[Outcome] = []
        rows: list[EventRow] = []
        for prepared in batch:
            refusal = _refusal(prepared, tail, facts)
            take = self._append if prepared.submission.events else self._remember
            outcomes.append(refusal or take(cursor, prepared, tail, facts, rows))
        if rows:
            self._insert(cursor, rows)
        return outcomes

    def _append(self, cursor: Cursor, prepared: Prepared, tail: _Tail, facts: _Facts, rows: list[EventRow]) -> Appended:
        submission = prepared.submission
        for digest, data in submission.blobs.items():
            if digest not in facts.blobs:
                cursor.execute(self._insert_blob, (digest, data))
                facts.blobs.add(digest)
        if prepared.new_epoch is not None:
            tail.epoch = prepared.new_epoch
        first = tail.position + 1
        time = from_microseconds(tail.recorded_at)
        versions, categories, hash_, position = facts.versions, tail.categories, tail.hash, tail.position
        blobs, entries = tuple(submission.blobs), self._entries
        for event in submission.events:
            position += 1
            stream = event.stream
            category = category_of(stream)
            versions[stream] = version = versions[stream] + 1
            said = Envelope(
                position,
                tail.epoch,
                stream,
                version,
                event.type,
                time,
                submission.actor,
                submission.key,
                prepared.token,
                submission.correlation_id,
                submission.causation_id,
                submission.traceparent,
                blobs,
            )
            blobs = ()
            envelope = encode_envelope(said)
            hash_ = chain(hash_, envelope, event.data)
            if entries is not None:
                entries.append(Entry(said, event, hash_))
            categories[category] = position
            rows.append(
                (position, stream, version, event.type, category, tail.recorded_at, envelope, event.data, hash_)
            )
            if len(rows) >= _ROWS_PER_INSERT:
                self._insert(cursor, rows)
                rows.clear()
        tail.hash, tail.position, tail.last_at = hash_, position, tail.recorded_at
        appended = Appended(first, position, time, {stream: versions[stream] for stream in prepared.streams})
        self._keep_outcome(cursor, prepared, appended, facts)
        return appended

    def _remember(self, cursor: Cursor, prepared: Prepared, tail: _Tail, facts: _Facts, _rows: object) -> Appended:
        appended = Appended(tail.position + 1, tail.position, from_microseconds(tail.last_at), {})
        self._keep_outcome(cursor, prepared, appended, facts)
        tail.remembered = True
        return appended

    def _keep_outcome(self, cursor: Cursor, prepared: Prepared, appended: Appended, facts: _Facts) -> None:
        key, answer, digest = prepared.submission.key, prepared.submission.answer, prepared.content_digest
        if key is None:
            return
        cursor.execute(self._insert_submission, (key, digest, appended.first, appended.last, answer))
        facts.keys[key] = AlreadyAppended(
            appended.first, appended.last, appended.recorded_at, appended.versions, answer, digest
        )

    def _move_head(self, cursor: Cursor, tail: _Tail, before: Mapping[str, int]) -> None:
        """Write the log's new end; `before` are the heads of categories that the database holds."""
        crash_point("eventlog.after-insert")
        for category, position in tail.categories.items():
            if before.get(category) != position:
                cursor.execute(self._update_category, (position, category))
                if cursor.rowcount == 0:
                    cursor.execute(self._insert_category, (position, category))
        cursor.execute(self._update_head, (tail.epoch, tail.position, tail.hash, self._time.store(tail.recorded_at)))


def _refusal(prepared: Prepared, tail: _Tail, facts: _Facts) -> Outcome | None:
    submission = prepared.submission
    if submission.key is not None and (earlier := facts.keys.get(submission.key)) is not None:
        same = earlier.content_digest == prepared.content_digest
        return earlier if same else IdempotencyConflict(submission.key)
    if submission.lease is not None:
        name, epoch = submission.lease
        if (now := facts.leases.get(name, 0)) != epoch:
            return FencedOut(name, now)
    if submission.expires_at is not None and tail.recorded_at >= to_microseconds(submission.expires_at):
        return Expired(from_microseconds(tail.recorded_at))
    if submission.guard is not None:
        if submission.guard.position > tail.position:  # the decision read events from before a backup was restored
            return GuardConflict("", tail.position)
        for category in submission.guard.categories:
            if (at := tail.categories.get(category, 0)) > submission.guard.position:
                return GuardConflict(category, at)
    return _version_conflict(submission.expected, facts.versions)


def _version_conflict(expected: Mapping[str, int], versions: Mapping[str, int]) -> VersionConflict | None:
    for stream, version in expected.items():
        if versions[stream] != version:
            return VersionConflict(stream, version, versions[stream])
    return None


def _chunks(values: list[str]) -> Iterable[list[str]]:
    return (values[start : start + PARAMETERS_MAX] for start in range(0, len(values), PARAMETERS_MAX))
