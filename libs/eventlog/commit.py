"""The events of one transaction, for followers of the log in the process that appended them.

The one rule: followers get exactly what reading the log would give them. Events that would not decode to equal objects
are decoded from their bytes.
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
class LogCommit:
    """Consecutive events; `before` is the chain hash that they were appended after."""

    before: bytes
    entries: Sequence[Entry]


def recorded(entries: Sequence[Entry]) -> list[Recorded]:
    """Return the events as if read from the log, with an `Undecodable` for each that cannot be decoded."""
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
