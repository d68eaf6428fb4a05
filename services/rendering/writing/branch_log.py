"""The events that rendering appends, as the one renderer that holds the branch's lease."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from libs.bus.faults import passing
from libs.eventlog import Appended, FencedOut, NewEvent, Submission
from libs.gittree import RefLocked
from libs.gittree.workers import WorkerDied
from services.rendering.observing import UNKNOWN, Cause

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from libs.eventlog import EventLog, Lease, Outcome
    from services.rendering.model import Model

ACTOR = "resedge/rendering"
LEASE_LOST = "the branch's lease was lost to another renderer, and this one is on standby"


class WritingFailed(OSError):  # noqa: N818 - it states the fact
    """A decision could not be written now; it is retried, and nothing is folded before that."""


def may_pass(error: Exception) -> bool:
    """Whether executing a decision may succeed next time, without a restart."""
    return isinstance(error, WorkerDied | RefLocked | RuntimeError) or passing(error)


class BranchLog:
    """The log as a renderer appends to it under its `lease`; `stopped` says why it writes nothing (empty: it does)."""

    def __init__(self, model: Model, events: EventLog) -> None:
        self.events = events
        self.lease: Lease | None = None
        self.stopped = ""
        self._model = model

    @property
    def stream(self) -> str:
        """The stream of the branch itself."""
        return f"branch-{self._model.branch}"

    @property
    def leads(self) -> bool:
        """Whether the lease was not lost, as far as this process knows."""
        return self.stopped != LEASE_LOST

    def open(self, lease: Lease) -> None:
        """Start with empty state under a lease."""
        self.lease, self.stopped = lease, ""

    def lose_lease(self) -> None:
        """Stop: somebody else may write now."""
        self.stopped = LEASE_LOST

    def go_on(self) -> None:
        """Somebody has restored writing: go on, unless another renderer writes."""
        if self.stopped != LEASE_LOST:
            self.stopped = ""

    async def append(
        self, events: Sequence[object], stream: str, cause: Cause = UNKNOWN, blobs: Mapping[str, bytes] | None = None
    ) -> Appended:
        """Append events to one stream.

        Raises:
            WritingFailed: another renderer holds the lease.
            RuntimeError: the log did not append them.
        """
        outcome = await self.submit([(stream, each) for each in events], cause, blobs=blobs or {})
        if isinstance(outcome, FencedOut):  # the branch may by now have commits of another renderer
            raise WritingFailed(self.stopped)
        if not isinstance(outcome, Appended):
            raise RuntimeError(f"the log did not take {type(events[0]).__name__}: {outcome}")  # noqa: TRY004 - no type is wrong: the log refused
        return outcome

    async def submit(self, said: Sequence[tuple[str, object]], cause: Cause, **conditions: Any) -> Outcome:
        """Append (stream, event) pairs under the lease and return the log's answer; a lost lease stops writing."""
        outcome = await self.events.append_async(_submission_of(said, cause, self.lease, **conditions))
        match outcome:
            case FencedOut():
                self.lose_lease()
            case Appended(versions=versions) if self.stream in versions:
                self._model.branch_version = max(self._model.branch_version, versions[self.stream])
        return outcome


def _submission_of(
    said: Sequence[tuple[str, object]], cause: Cause, lease: Lease | None, **conditions: Any
) -> Submission:
    """Return (stream, event) pairs as the log takes them from the renderer that holds a lease."""
    return Submission(
        [NewEvent.of(stream, each) for stream, each in said],
        ACTOR,
        causation_id=cause.id,
        traceparent=cause.traceparent,
        lease=None if lease is None else (lease.name, lease.epoch),
        **conditions,
    )
