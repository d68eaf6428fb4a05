"""The contract between feeds (the log's tail, Kafka) and consumers.

Events may come twice, late, or with holes between them. A consumer drops what it has, fills a hole from the log, and
stops, with a reason, when the log is not the one that it has read. A position that was announced but is not in the log
stops no consumer: the log is asked again, and decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from libs.bus.metrics import LOG_EVENTS_READ
from libs.contracts import Recorded
from libs.eventlog import GENESIS, Head


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a consumer is: it has applied everything up to `position`, whose event has this epoch and chain hash."""

    epoch: str
    position: int
    hash: bytes

    @classmethod
    def after(cls, event: Recorded) -> Checkpoint:
        """Return the checkpoint of a consumer that has applied `event`."""
        return cls(event.epoch, event.position, event.hash)


START = Checkpoint("", 0, GENESIS)
"""The checkpoint before the first event."""


class ConsumerStopped(RuntimeError):  # noqa: N818 - it states the fact
    """A consumer cannot continue; the others do. `reason` is a sentence for the operator."""

    def __init__(self, consumer: str, reason: str) -> None:
        super().__init__(f"{consumer} stopped: {reason}")
        self.consumer = consumer
        self.reason = reason


class EventCannotBeApplied(ConsumerStopped):
    """A consumer cannot apply its next event: a dead letter, until somebody decides what to do."""

    def __init__(self, consumer: str, recorded: Recorded, why: str) -> None:
        super().__init__(consumer, f"{recorded.type} at position {recorded.position} cannot be applied: {why}")
        self.recorded = recorded


class Consumer(Protocol):
    """Something that applies events in log order, each exactly once in effect."""

    @property
    def name(self) -> str:
        """The name under which its progress is kept and shown."""

    @property
    def checkpoint(self) -> Checkpoint:
        """How far it is; valid after `start`."""

    async def start(self) -> Checkpoint | None:
        """Prepare and return the checkpoint; None: it has applied nothing yet."""

    async def skip(self, recorded: Recorded) -> None:
        """Pass over the event that follows the checkpoint, without applying it."""

    async def handle(self, batch: Sequence[Recorded]) -> None:
        """Apply the new events of a batch.

        Raises:
            ConsumerStopped: it cannot go on with this log or this event.
        """


class LogSource(Protocol):
    """The part of the event log that consumers and feeds read."""

    def read_recorded(self, after: int, limit: int = ..., *, tolerant: bool = ...) -> list[Recorded]:
        """Return up to `limit` events after a position; if `tolerant`, an `Undecodable` for each unreadable one."""


def check_head(consumer: str, checkpoint: Checkpoint, head: Head) -> None:
    """Compare the log's end with a consumer's checkpoint, which must not be after it.

    Raises:
        ConsumerStopped: they differ: this is not the log that the consumer has read.
    """
    at = checkpoint.position
    if head.position < at:
        raise ConsumerStopped(consumer, f"the log ends at position {head.position}, before {at}, which it has applied")
    if head.position == at and at and (head.epoch, head.hash) != (checkpoint.epoch, checkpoint.hash):
        raise _other_event(consumer, checkpoint, head.epoch)


def _other_event(consumer: str, checkpoint: Checkpoint, epoch: str) -> ConsumerStopped:
    return ConsumerStopped(
        consumer,
        f"the log holds another event at position {checkpoint.position} (epoch {epoch}) than the one it has applied"
        f" (epoch {checkpoint.epoch}): rebuild it from this log",
    )


@dataclass(frozen=True, slots=True)
class Page:
    """Consecutive events of the log, and the last event before them (None at the beginning of the log)."""

    before: Recorded | None
    events: Sequence[Recorded]

    def check(self, consumer: str, checkpoint: Checkpoint) -> None:
        """Compare the event before the page with the consumer's checkpoint.

        Raises:
            ConsumerStopped: they differ: this is not the log that the consumer has read; or the page has a gap.
        """
        if self.events and self.events[-1].position != checkpoint.position + len(self.events):
            raise ConsumerStopped(consumer, f"the log has a gap after position {checkpoint.position}: verify it")
        if checkpoint.position == 0:
            return
        before = self.before
        if before is None or before.position != checkpoint.position:
            raise ConsumerStopped(consumer, f"the log ends before position {checkpoint.position}, which it has applied")
        if before.hash != checkpoint.hash or before.epoch != checkpoint.epoch:
            raise _other_event(consumer, checkpoint, before.epoch)


def read_page(log: LogSource, after: int, limit: int, why: str) -> Page:
    """Read a page with the event before it; `why` is the reason in the metric of events read (see libs.bus.metrics)."""
    if after == 0:
        events, before = log.read_recorded(0, limit, tolerant=True), None
    else:
        found = log.read_recorded(after - 1, limit + 1, tolerant=True)
        before, events = found[0] if found else None, found[1:]
    LOG_EVENTS_READ.labels(why).inc(len(events))
    return Page(before, events)
