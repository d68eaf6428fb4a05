"""An event as people read it: whole, and as who did what, when, why.

Nothing is changed here; an event is shown with its exact data and its chain hash, so that anybody can compute the chain
again. The sentence of each type is in its definition in `libs/contracts`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from libs.contracts import Recorded, meaning_of
from libs.contracts.instants import ALL_YEARS, instant_text, read_instant
from libs.contracts.meaning import Subject, counted
from libs.contracts.refusals import Invalid

if TYPE_CHECKING:
    from libs.contracts import Event
    from libs.eventlog import StoredEvent, Verification

_REASON_CHARACTERS_MAX = 4_000
SENTENCE_CHARACTERS_MAX = 1_000
_NAME_CHARACTERS_MAX = 512
OTHERS_MAX = 1_000

_KINDS = {"choices": "application", "hold": "branch", "log": "log", "use": "override"}


@dataclass(frozen=True, slots=True)
class _Told:
    """An event in plain words: what it did to its subject, why, and what else it mentions."""

    subject: Subject
    sentence: str
    reason: str = ""
    others: tuple[Subject, ...] = ()


def tell_event(recorded: Recorded) -> _Told:
    """Return an event in plain words; its texts are cut to what a view keeps, and hold no NUL."""
    subject = subject_of(recorded.stream)
    event = recorded.event
    meaning = meaning_of(event)
    return _Told(
        subject,
        _text(meaning.said(event), SENTENCE_CHARACTERS_MAX),
        _text(_reason(event), _REASON_CHARACTERS_MAX),
        tuple(meaning.mentioned(event)[:OTHERS_MAX]),
    )


def subject_of(stream: str) -> Subject:
    """Return the subject of a stream: `choices-pos-api` is about the application."""
    category, _, name = stream.partition("-")
    return _KINDS.get(category, category), _text(name, _NAME_CHARACTERS_MAX)


def _text(text: str, characters_max: int) -> str:
    """Return text that every database takes; cut where it is long."""
    kept = text[:characters_max].replace("\0", "\N{REPLACEMENT CHARACTER}")
    return kept if kept.isascii() else kept.encode("utf-8", "replace").decode()


def _reason(event: Event) -> str:
    reason = getattr(event, "reason", "") or getattr(event, "cause", "")
    reasons = getattr(event, "reasons", None)
    return str(reason) if reason or not reasons else "; ".join(map(str, reasons))


def read_time(text: str, pointer: str | None = None) -> datetime:
    """Return an instant in UTC, written as RFC 3339 with its offset.

    Raises:
        Invalid: it is not an instant; the message says what to write.
    """
    try:
        return read_instant(text, pointer, ALL_YEARS)
    except Invalid as unreadable:
        fix = "write date, time and offset: 2026-11-24T06:00:00Z or 2026-11-24T06:00:00-06:00 (+ is %2B in a URL)"
        raise Invalid(unreadable.detail, pointer=pointer, fix=fix) from None


def event_as_json(event: StoredEvent) -> dict[str, Any]:
    """Return an event as the API shows it."""
    return {
        "position": event.position,
        "epoch": event.epoch,
        "stream": event.stream,
        "version": event.version,
        "type": event.type,
        "time": instant_text(event.recorded_at),
        "actor": event.actor,
        "data": json.loads(event.data),
        "hash": event.hash.hex(),
        "correlationid": event.correlation_id,
        "causationid": event.causation_id,
        "traceparent": event.traceparent,
    }


def verdict(found: Verification) -> dict[str, Any]:
    """Return a verification as the API answers it."""
    if found.problem is None:
        detail = f"Hash chain intact: {counted(found.events, 'event')} up to position {found.position}"
    else:
        detail = f"position {found.problem.position}: {found.problem.what}"
    return {"ok": found.ok, "checks": [{"check": "chain", "ok": found.ok, "detail": detail}]}
