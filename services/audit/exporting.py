"""Events as JSON Lines that anybody can verify, with the exact bytes that the chain covers.

A line contains everything that its hash is computed from, in one spelling only (ASCII, no spaces, the keys in this
order), so that no byte of it can change unnoticed.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import replace

from libs.eventlog import GENESIS, EventLog
from services.audit.projections import Asked, AuditTrail

_PAGE_EVENTS = 200
"""Events in memory at once: 50 MiB if each were as large as the log takes."""

Raw = tuple[bytes, bytes, bytes]
"""Envelope, data and hash of an event, as stored."""

_TOLD = ("position", "epoch", "stream", "version", "type", "time", "actor")


def line(raw: Raw, previous: bytes) -> bytes:
    """Return the line of one event; its keys are those of the envelope."""
    envelope, data, hash_ = raw
    said = json.loads(envelope)
    told = {
        **{name: said[name] for name in _TOLD},
        "envelope": envelope.decode("utf-8", "surrogateescape"),
        "data": data.decode("utf-8", "surrogateescape"),
        "previous": previous.hex(),
        "hash": bytes(hash_).hex(),
    }
    return json.dumps(told, separators=(",", ":")).encode("ascii") + b"\n"


async def whole_lines(log: EventLog, after: int, through: int) -> AsyncGenerator[bytes]:
    """Yield the lines of every event in (after, through], a page of them at a time."""
    previous = await asyncio.to_thread(log.hash_at, after)
    while after < through:
        page = await asyncio.to_thread(log.read_raw, after, min(_PAGE_EVENTS, through - after))
        if not page:
            raise LookupError(f"the log has no position {after + 1}")
        lines = await asyncio.to_thread(_chained, page, previous)
        yield lines
        after, previous = after + len(page), bytes(page[-1][2])


async def chosen(log: EventLog, trail: AuditTrail, asked: Asked, after: int, through: int) -> AsyncGenerator[bytes]:
    """Yield the lines of the events in (after, through] that are asked for."""
    while after < through:
        among = replace(asked, after=after, before=through + 1, since=None, until=None)
        positions = await trail.positions(among, _PAGE_EVENTS)
        if not positions:
            return
        yield await asyncio.to_thread(_picked, log, positions)
        after = positions[-1]


def _chained(page: Sequence[Raw], previous: bytes) -> bytes:
    lines = []
    for raw in page:
        lines.append(line(raw, previous))
        previous = bytes(raw[2])
    return b"".join(lines)


def _picked(log: EventLog, positions: Sequence[int]) -> bytes:
    return b"".join(_run(log, first, last) for first, last in runs(positions))


def _run(log: EventLog, first: int, last: int) -> bytes:
    if first == 1:
        return _chained(log.read_raw(0, last), GENESIS)
    before, *page = log.read_raw(first - 2, last - first + 2)
    return _chained(page, bytes(before[2]))


def runs(positions: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield ascending positions as (first, last) of each run without a gap."""
    first = last = positions[0]
    for each in positions[1:]:
        if each != last + 1:
            yield first, last
            first = each
        last = each
    yield first, last
