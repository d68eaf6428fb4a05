"""What tests of the audit speak of: a log with odd things in it, and exports of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pyroaring import BitMap

from libs.contracts import (
    AdmissionDecided,
    AdmissionWritten,
    ApplicationDeclared,
    ClusterSpec,
    GroupDeclared,
    ReleaseChoice,
    ReleaseChoicesSet,
    RemovalsConfirmed,
    StoreDeclared,
    StoreRemoved,
    encode,
    type_name,
)
from libs.eventlog import EventLog, NewEvent, Submission
from libs.fleet import packed

START = datetime(2026, 11, 24, tzinfo=UTC)
ODD = 'a "quoted" \\ reason\nwith ünïcode \N{LINE SEPARATOR} and \0'

HISTORY: list[tuple[str, str, Any]] = [
    ("ada", "store-tx-1", StoreDeclared("tx-1", "UTC", clusters=[ClusterSpec("tx-1"), ClusterSpec("tx-1-kitchen")])),
    ("ada", "store-tx-2", StoreDeclared("tx-2", "UTC", clusters=[ClusterSpec("tx-2")])),
    ("bob", "group-/geo/us", GroupDeclared("/geo/us", stores=["tx-1"], clusters=["tx-2"])),
    ("bob", "application-pos-api", ApplicationDeclared("pos-api", "pos")),
    (
        "bob",
        "choices-pos-api",
        ReleaseChoicesSet("pos-api", [ReleaseChoice("/c/*", "1.0.0"), ReleaseChoice("/c/tx-1", "1.1.0")]),
    ),
    (
        "resedge/rendering",
        "branch-main",
        AdmissionDecided(
            "main", "d1", "", 5, "", 1, 1, {"pos/pos-api": packed(BitMap(range(60_000)))}, reasons=["A (1)", "B (2)"]
        ),
    ),
    ("resedge/rendering", "branch-main", AdmissionWritten("main", "d1", "c" * 40, "e" * 40, 60_000)),
    ("ünï ☃", "branch-main", RemovalsConfirmed("main", "ab12", ODD)),
    ("ada", "store-tx-2", StoreRemoved("tx-2")),
]
"""Who, where, what; the n-th is recorded n minutes after START."""


class Clock:
    """A minute later with every event."""

    def __init__(self) -> None:
        self.minutes = 0

    def __call__(self) -> datetime:
        return START + timedelta(minutes=self.minutes)


@contextmanager
def log_at(path: Path, history: list[tuple[str, str, Any]] = HISTORY) -> Iterator[EventLog]:
    """A log of that history."""
    clock = Clock()
    log = EventLog.open(f"sqlite:///{path}", clock=clock, ids=lambda: "epoch-1")
    try:
        for actor, stream, event in history:
            clock.minutes += 1
            submission = Submission([NewEvent(stream, type_name(event), encode(event))], actor, correlation_id="c-1")
            log.append(submission)
        yield log
    finally:
        log.close()


def spelled(told: dict[str, Any]) -> bytes:
    """A line as an export spells it."""
    return json.dumps(told, separators=(",", ":")).encode() + b"\n"


def rehashed(told: dict[str, Any]) -> dict[str, Any]:
    """A line whose hash fits again, as who forges one would make it."""
    parts = [bytes.fromhex(told["previous"])]
    for text in (told["envelope"], told["data"]):
        parts += [len(text.encode()).to_bytes(8, "big"), text.encode()]
    return told | {"hash": hashlib.sha256(b"".join(parts)).hexdigest()}
