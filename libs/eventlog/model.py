"""The types of the log: submissions, events, and the outcomes of an append.

A submission is appended whole or not at all, and its outcome is a value; exceptions are only for what no caller can
decide about (bad sizes, a database that does not answer).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from libs.contracts import Event, Recorded, decode, encode, type_name
from libs.contracts.names import escape
from libs.eventlog.dialects.port import Shortcoming

Clock = Callable[[], datetime]
"""Returns the present as an aware datetime; injected (DESIGN rule 18)."""

GENESIS = bytes(32)
"""The chain hash before the first event."""

EVENT_BYTES_MAX = 256 * 1024
BLOB_BYTES_MAX = 4 * 1024 * 1024
ANSWER_BYTES_MAX = 256 * 1024
SUBMISSION_EVENTS_MAX = 200_000
NAME_BYTES_MAX = 512
"""Bounds streams, idempotency keys and lease names, so that they fit an index key of every dialect."""


class InvalidSubmission(ValueError):  # noqa: N818 - it states the fact
    """A submission breaks a bound of the log; nothing was appended."""


class EventTooLarge(InvalidSubmission):
    """One event is larger than the log allows; nothing was appended.

    `pointer` (RFC 6901) names the member of its data that takes the most room, which is `member_bytes` of `size_bytes`.
    """

    def __init__(self, stream: str, data: bytes) -> None:
        """Take the event."""
        self.stream, self.size_bytes = stream, len(data)
        try:
            self.pointer, self.member_bytes = largest_member(msgspec.json.decode(data))
        except msgspec.DecodeError:
            self.pointer, self.member_bytes = "", len(data)
        super().__init__(
            f"an event of stream {stream!r} has {self.size_bytes:,} bytes, over {EVENT_BYTES_MAX:,}; "
            f"{self.member_bytes:,} of them are in {self.pointer or 'its data'}: put its body into a blob or split it"
        )


class LogUnavailable(RuntimeError):  # noqa: N818 - it states the fact
    """The log's database did not answer. Whether a submission was taken is unknown: retry it with the same key."""


class LogClosed(RuntimeError):  # noqa: N818 - it states the fact
    """The log was closed in this process; the submission was not appended."""


class UnknownLogFormat(RuntimeError):  # noqa: N818 - it states the fact
    """The database holds no event log, or one that another version of this program wrote."""


class DatabaseNotReady(RuntimeError):  # noqa: N818 - it states the fact
    """The database is not set up for a log."""

    def __init__(self, shortcomings: Sequence[Shortcoming]) -> None:
        """Take what is missing."""
        self.shortcomings = tuple(shortcomings)
        told = "; ".join(each.what for each in shortcomings)
        statements = "; ".join(each.statement for each in shortcomings if each.statement)
        fix = f". Run `resedge admin init-log --database-options`, or: {statements}" if statements else ""
        super().__init__(f"the database is not ready for an event log: {told}{fix}")


def largest_member(document: object) -> tuple[str, int]:
    """Return the pointer of the member that takes most of a JSON document, and its bytes as JSON."""
    pointer, size = "", len(msgspec.json.encode(document))
    while isinstance(document, dict | list):
        members = document.items() if isinstance(document, dict) else enumerate(document)
        sizes = [(len(msgspec.json.encode(each)), str(name), each) for name, each in members]
        largest, name, inside = max(sizes, key=lambda each: each[0], default=(0, "", None))
        if pointer and 2 * largest <= size:
            break  # no single member is the reason
        pointer, size, document = f"{pointer}/{escape(name)}", largest, inside
    return pointer, size


@dataclass(frozen=True, slots=True)
class NewEvent:
    """A fact to append: `data` are the exact bytes that the log keeps (`libs.contracts.encode`).

    `event` is the object that they encode, if it is at hand. Followers of the log in this process get it, so it must
    not be changed.
    """

    stream: str
    type: str
    data: bytes
    event: Event | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of(cls, stream: str, event: Event) -> NewEvent:
        """Return an event as it is appended to a stream."""
        return cls(stream, type_name(event), encode(event), event)


@dataclass(frozen=True, slots=True)
class Guard:
    """A decision that read these categories as of `position`; a later event of theirs refuses the append."""

    categories: tuple[str, ...]
    position: int


@dataclass(frozen=True, slots=True)
class Submission:
    """Events that are appended together, and the conditions for that.

    `expected` maps a stream to the version that must be its last (0: it has no event yet); a stream without an entry is
    unchecked. `blobs` maps hex SHA-256 to the bytes that the events name. `key` makes the append idempotent: the same
    key with the same `content_digest` (default: a digest of the events) returns the first outcome together with
    `answer`. `lease` is (lease name, fencing epoch): another epoch refuses the append. A submission that would be
    recorded at or after `expires_at` is refused. Without events, nothing is appended but the answer is remembered under
    `key`, which must then be there together with `content_digest`.
    """

    events: Sequence[NewEvent]
    actor: str
    expected: Mapping[str, int] = field(default_factory=dict)
    guard: Guard | None = None
    blobs: Mapping[str, bytes] = field(default_factory=dict)
    key: str | None = None
    content_digest: str = ""
    answer: bytes = b""
    correlation_id: str | None = None
    causation_id: str | None = None
    traceparent: str | None = None
    lease: tuple[str, int] | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Appended:
    """The events are at positions `first` to `last`; `versions` holds the new last version of each stream.

    Without events `last` is where the log ended when the answer was remembered, `first` the position after it, and
    `recorded_at` the time of the event at `last`.
    """

    first: int
    last: int
    recorded_at: datetime
    versions: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class AlreadyAppended:
    """The same key with the same content was appended before, with this outcome and answer (see `Appended`)."""

    first: int
    last: int
    recorded_at: datetime
    versions: Mapping[str, int]
    answer: bytes
    content_digest: str = ""


@dataclass(frozen=True, slots=True)
class IdempotencyConflict:
    """The key was used before with other content."""

    key: str


@dataclass(frozen=True, slots=True)
class VersionConflict:
    """The stream's last version is `actual`."""

    stream: str
    expected: int
    actual: int


@dataclass(frozen=True, slots=True)
class GuardConflict:
    """The category's last event is at `position`, after the guard's.

    Without a category the log itself ends there, before the guard's position: it was restored from a backup.
    """

    category: str
    position: int


@dataclass(frozen=True, slots=True)
class FencedOut:
    """The lease has moved on: `epoch` is its fencing epoch now (0: there is no such lease)."""

    lease: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Expired:
    """It would be recorded at `recorded_at`, which is not before the submission's `expires_at`."""

    recorded_at: datetime


Outcome = Appended | AlreadyAppended | IdempotencyConflict | VersionConflict | GuardConflict | FencedOut | Expired


@dataclass(frozen=True, slots=True)
class Head:
    """The log's end: position 0 and the genesis hash while it is empty (`recorded_at` is then the Unix epoch)."""

    epoch: str
    position: int
    hash: bytes
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to act as `name` until it expires by the database's clock; `epoch` only grows from holder to holder."""

    name: str
    holder: str
    epoch: int


@dataclass(frozen=True, slots=True)
class ChainProblem:
    """The first position at which the log is inconsistent, and what is wrong there."""

    position: int
    what: str


@dataclass(frozen=True, slots=True)
class Verification:
    """The result of `verify`: `events` checked, up to `position`; `problem` is None if they are consistent."""

    ok: bool
    events: int
    position: int
    problem: ChainProblem | None


class StoredEvent(msgspec.Struct, frozen=True):
    """An event as it was stored; a frozen struct, since a million of them are made when a process starts.

    `hash` is the chain hash after this event, `blobs` the hex digests of the blobs that came with it.
    """

    position: int
    epoch: str
    stream: str
    version: int
    type: str
    recorded_at: datetime
    actor: str
    data: bytes
    hash: bytes
    key: str | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    traceparent: str | None = None
    blobs: tuple[str, ...] = ()

    def decoded(self) -> Recorded:
        """Return the event as its class.

        Raises:
            UnknownEventType: this version of the code has no class for its type.
        """
        return Recorded(
            self.position,
            self.epoch,
            self.stream,
            self.version,
            self.type,
            self.recorded_at,
            self.actor,
            decode(self.type, self.data),
            self.hash,
            self.correlation_id,
            self.causation_id,
            self.traceparent,
        )
