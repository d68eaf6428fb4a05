"""What one transaction appended, for who follows the log in the process that did it.

The one rule: it gives exactly what reading the log gives. An event that would not come back from its bytes as it is
is decoded from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from libs.contracts import Recorded
from libs.contracts.faithful import faithful
from libs.eventlog.envelope import Envelope
from libs.eventlog.model import NewEvent
from libs.eventlog.reader import decode_or_not, recorded_from


@dataclass(frozen=True, slots=True)
class Entry:
    """One event as it was appended; `hash` is the chain hash after it."""

    envelope: Envelope
    new: NewEvent
    hash: bytes

    def recorded(self) -> Recorded:
        """Return what reading the event gives, with an `Undecodable` where it cannot be read."""
        event = self.new.event
        if event is None or not faithful(event):
            event = decode_or_not(self.new.type, self.new.data)
        return recorded_from(self.envelope, event, self.hash)


@dataclass(frozen=True, slots=True)
class Commit:
    """Consecutive events; `before` is the chain hash that they were appended after."""

    before: bytes
    entries: Sequence[Entry]
