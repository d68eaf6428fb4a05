"""All reads of the log, on connections of their own that never wait for the appender.

Positions have no gaps, so a page is a range of positions, and a short page means that it is the last.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, exc

from libs.contracts import Event, Recorded, decode
from libs.contracts.envelope import Undecodable, UnknownEventType
from libs.eventlog.dialects import Dialect
from libs.eventlog.dialects.port import BULK_ROWS_MIN
from libs.eventlog.envelope import Envelope, decode_envelope, from_microseconds, to_microseconds
from libs.eventlog.idempotency import earlier_outcomes
from libs.eventlog.model import GENESIS, AlreadyAppended, Head, LogUnavailable, StoredEvent, UnknownLogFormat

_STORED = ("envelope", "data", "hash")


class LogReader:
    """Reads one log; safe for use by any thread."""

    def __init__(self, engine: Engine, dialect: Dialect) -> None:
        """Take an engine of the dialect's `reader` kind."""
        self._engine = engine
        self._dialect = dialect
        sql, self._time = dialect.sql, dialect.time
        self._stream_page = sql(
            "SELECT envelope, data, hash FROM events WHERE stream = ? AND version > ? AND version <= ? ORDER BY version"
        )

    def query(self, statement: str, parameters: tuple[Any, ...] = ()) -> Sequence[Any]:
        """Return all rows of one statement in the driver's parameter style."""
        with self._connected() as connection:
            return connection.exec_driver_sql(statement, parameters).fetchall()

    def _events(self, columns: tuple[str, ...], after: int, until: int) -> Sequence[Any]:
        """Return columns of the events in (after, until], in the order of their positions."""
        bulk = self._dialect.bulk
        with self._connected() as connection:
            if bulk is not None and until - after >= BULK_ROWS_MIN:
                return bulk.select(connection.connection.cursor(), columns, after, until)
            page = _page_sql(self._dialect, columns)
            return connection.exec_driver_sql(page, (after, until)).fetchall()

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except exc.DBAPIError as error:
            passing = isinstance(error, exc.OperationalError | exc.InterfaceError)
            if not passing and (error.orig is None or self._dialect.refuses(error.orig)):
                raise
            raise LogUnavailable(f"the event log's database does not answer ({error.orig})") from error
        except self._dialect.failures as error:  # an exception of the driver that SQLAlchemy does not wrap
            if self._dialect.refuses(error):
                raise
            raise LogUnavailable(f"the event log's database does not answer ({error})") from error

    def read(self, after: int, limit: int) -> list[StoredEvent]:
        """Return up to `limit` events after a position."""
        return [_stored(*row) for row in self._events(_STORED, after, after + limit)]

    def recorded(self, after: int, limit: int, *, tolerant: bool = False) -> list[Recorded]:
        """Return up to `limit` events after a position, decoded; faster than through `read`."""
        understand = decode_or_not if tolerant else decode
        rows = self._events(_STORED, after, after + limit)
        return [recorded_of(envelope, data, hash_, understand) for envelope, data, hash_ in rows]

    def read_raw(self, after: int, limit: int) -> list[tuple[bytes, bytes, bytes]]:
        """Return the stored bytes (envelope, data, hash) of up to `limit` events after a position."""
        rows = self._events(_STORED, after, after + limit)
        return [(bytes(envelope), bytes(data), bytes(hash_)) for envelope, data, hash_ in rows]

    def read_stream(self, stream: str, after_version: int, limit: int) -> list[StoredEvent]:
        """Return up to `limit` events of one stream after a version."""
        return [_stored(*row) for row in self.query(self._stream_page, (stream, after_version, after_version + limit))]

    def head(self) -> Head:
        """Return the log's end."""
        rows = self.query(f"SELECT epoch, position, hash, {self._time.selected} FROM head WHERE id = 1")  # noqa: S608 constant
        if not rows:
            raise UnknownLogFormat("the head row is gone")
        epoch, position, hash_, recorded_at = rows[0]
        return Head(epoch, position, bytes(hash_), from_microseconds(self._time.load(recorded_at)))

    def continues(self, position: int) -> bool:
        """Tell whether the event after a position belongs to the same submission as the one there."""
        said = [decode_envelope(envelope) for (envelope,) in self._events(("envelope",), position - 1, position + 1)]
        marks = [each.key or each.submission for each in said if each.position >= position]
        return len(marks) == 2 and marks[0] is not None and marks[0] == marks[1]

    def category_head(self, category: str) -> int:
        """Return the position of a category's last event; 0 without one."""
        sql = self._dialect.sql("SELECT position FROM category_heads WHERE category = ?")
        rows = self.query(sql, (category,))
        return int(rows[0][0]) if rows else 0

    def category_heads(self) -> dict[str, int]:
        """Return the position of each category's last event."""
        return {str(category): int(at) for category, at in self.query("SELECT category, position FROM category_heads")}

    def hash_at(self, position: int) -> bytes:
        """Return the chain hash after a position.

        Raises:
            LookupError: the log does not reach that far.
        """
        if position == 0:
            return GENESIS
        rows = self.query(self._dialect.sql("SELECT hash FROM events WHERE position = ?"), (position,))
        if not rows:
            raise LookupError(f"the log has no position {position}")
        return bytes(rows[0][0])

    def position_at(self, time: datetime) -> int:
        """Return the last position recorded at or before `time`; 0 if there is none."""
        sql = self._dialect.sql(f"SELECT {self._time.selected} FROM events WHERE position = ?")  # noqa: S608 constant
        wanted = to_microseconds(time)
        with self._connected() as connection:
            low, high = 0, int(connection.exec_driver_sql("SELECT position FROM head WHERE id = 1").scalar_one())
            while low < high:  # recorded_at never decreases
                middle = (low + high + 1) // 2
                if self._time.load(connection.exec_driver_sql(sql, (middle,)).scalar_one()) <= wanted:
                    low = middle
                else:
                    high = middle - 1
        return low

    def blob(self, digest: str) -> bytes:
        """Return a blob's bytes.

        Raises:
            LookupError: the log does not hold this blob, or its bytes are damaged.
        """
        body = self.stored_blob(digest)
        if hashlib.sha256(body).hexdigest() != digest:
            raise LookupError(f"the bytes of blob {digest} are damaged")
        return body

    def stored_blob(self, digest: str) -> bytes:
        """Return the bytes that are stored under a blob's name, unchecked.

        Raises:
            LookupError: the log holds no such blob.
        """
        rows = self.query(self._dialect.sql("SELECT bytes FROM blobs WHERE digest = ?"), (digest,))
        if not rows:
            raise LookupError(f"the log has no blob {digest}")
        return bytes(rows[0][0])

    def outcome_of(self, key: str) -> AlreadyAppended | None:
        """Return the answer to the submission with this idempotency key."""
        with self._connected() as connection:
            return earlier_outcomes(self._dialect, connection.connection.cursor(), [key]).get(key)

    def rows(self, after: int, until: int, page: int = 1_000) -> Iterator[Any]:
        """Yield every column of the events in (after, until], a page at a time."""
        columns = ("position", "stream", "version", "type", "category", self._time.selected, "envelope", "data", "hash")
        while after < until:
            for *told, recorded_at, envelope, data, hash_ in self._events(columns, after, min(after + page, until)):
                yield (*told, self._time.load(recorded_at), envelope, data, hash_)
            after += page


def _page_sql(dialect: Dialect, columns: tuple[str, ...]) -> str:
    return dialect.sql(
        f"SELECT {', '.join(columns)} FROM events WHERE position > ? AND position <= ? ORDER BY position"  # noqa: S608 constants
    )


def _stored(envelope: bytes, data: bytes, hash_: bytes) -> StoredEvent:
    said = decode_envelope(envelope)
    return StoredEvent(
        said.position,
        said.epoch,
        said.stream,
        said.version,
        said.type,
        said.time,
        said.actor,
        bytes(data),
        bytes(hash_),
        said.key,
        said.correlation,
        said.causation,
        said.traceparent,
        said.blobs,
    )


def decode_or_not(name: str, data: bytes) -> Event:
    """Return the event, or an `Undecodable` that says why it cannot be decoded."""
    try:
        return decode(name, data)
    except (UnknownEventType, msgspec.MsgspecError) as error:
        return Undecodable(name, f"{type(error).__name__}: {error}")


def recorded_of(
    envelope: bytes, data: bytes, hash_: bytes, understand: Callable[[str, bytes], Event] = decode
) -> Recorded:
    """Return an event of the log from its stored bytes."""
    said = decode_envelope(envelope)
    return recorded_from(said, understand(said.type, data), bytes(hash_))


def recorded_from(said: Envelope, event: Event, hash_: bytes) -> Recorded:
    """Return an event of the log from its envelope."""
    return Recorded(
        said.position,
        said.epoch,
        said.stream,
        said.version,
        said.type,
        said.time,
        said.actor,
        event,
        hash_,
        said.correlation,
        said.causation,
        said.traceparent,
    )
