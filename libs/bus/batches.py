"""A batch of messages from Kafka, shared by the consumers of a process until each has taken its events.

The one rule: an event is handed to a consumer only if it follows, by its chain hash, from the last one applied.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from libs.bus.contract import Checkpoint
from libs.bus.messages import Linked
from libs.contracts import Recorded


@dataclass(slots=True)
class Batch:
    """The events of one batch from Kafka, by position, kept until all members have taken theirs."""

    found: Mapping[int, Sequence[Linked]]
    last: int
    waiting: set[str]
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def run_after(self, checkpoint: Checkpoint) -> list[Recorded]:
        """Return the events that follow a checkpoint without a hole, each by its chain hash."""
        run: list[Recorded] = []
        position, hash_ = checkpoint.position + 1, checkpoint.hash
        while (next_ := self._after(position, hash_)) is not None:
            run.append(next_)
            position, hash_ = position + 1, next_.hash
        return run

    def _after(self, position: int, hash_: bytes) -> Recorded | None:
        for linked in self.found.get(position, ()):
            if linked.previous == hash_:
                return linked.recorded
        return None

    def differs(self, checkpoint: Checkpoint) -> bool:
        """Tell whether the batch has another event at the position of a checkpoint."""
        return any(each.recorded.hash != checkpoint.hash for each in self.found.get(checkpoint.position, ()))

    def finished_by(self, name: str) -> None:
        """Stop waiting for a member; the batch is done when none is left."""
        self.waiting.discard(name)
        if not self.waiting:
            self.done.set()
