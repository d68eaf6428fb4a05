"""What one transaction appended, for who follows the log in the process that did it.

The one rule: it gives exactly what reading the log gives. Where events would not come back from their bytes as they
are, they are decoded from them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import NoneType

from libs.contracts import Event, Recorded
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


@dataclass(frozen=True, slots=True)
class Commit:
    """Consecutive events; `before` is the chain hash that they were appended after."""

    before: bytes
    entries: Sequence[Entry]


def recorded(entries: Sequence[Entry]) -> list[Recorded]:
    """Return what reading the events gives, with an `Undecodable` where that cannot be."""
    classes: dict[type, list[Event]] = {}
    for each in entries:
        classes.setdefault(type(each.new.event), []).append(each.new.event)
    handed = {cls for cls, events in classes.items() if cls is not NoneType and faithful(events)}
    return [
        recorded_from(
            each.envelope,
            each.new.event if type(each.new.event) in handed else decode_or_not(each.new.type, each.new.data),
            each.hash,
        )
        for each in entries
    ]
