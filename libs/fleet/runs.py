"""Runs of a sign-off whose content is larger than an event: the large part is in blobs of the log.

A run whose blobs are lost approves nothing: it counts as expired.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace

import msgspec

from libs.contracts import ApprovalRequested, encode
from libs.contracts.instants import UNIX_EPOCH

_INLINE_BYTES_MAX = 160 * 1024
"""The largest content that is kept in the event; its bound leaves room for all other fields."""
CHUNK_BYTES = 2 * 1024 * 1024


class _Content(msgspec.Struct, frozen=True):
    """The fields that grow with the configurations, the fleet and the people behind a change."""

    items: dict[str, str]
    parts: dict[str, bytes]
    requesters: list[str]
    publishers: list[str]


def within_bounds(run: ApprovalRequested) -> tuple[ApprovalRequested, Mapping[str, bytes]]:
    """Return the event of a run, and its blobs."""
    if len(encode(run)) <= _INLINE_BYTES_MAX:
        return run, {}
    body = msgspec.json.encode(_Content(run.items, run.parts, run.requesters, run.publishers))
    chunks = [body[start : start + CHUNK_BYTES] for start in range(0, len(body), CHUNK_BYTES)]
    blobs = {hashlib.sha256(chunk).hexdigest(): chunk for chunk in chunks}
    names = [hashlib.sha256(chunk).hexdigest() for chunk in chunks]
    return replace(run, items={}, parts={}, requesters=[], publishers=[], content=names), blobs


def whole_run(run: ApprovalRequested, blob: Callable[[str], bytes | None]) -> ApprovalRequested:
    """Return a run with its content; one whose content is lost cannot be voted on, and approves nothing."""
    if not run.content:
        return run
    chunks = [chunk for name in run.content if (chunk := blob(name)) is not None]
    if len(chunks) < len(run.content):
        return replace(run, expires_at=UNIX_EPOCH)
    content = msgspec.json.decode(b"".join(chunks), type=_Content)
    return replace(
        run,
        items=content.items,
        parts=content.parts,
        requesters=content.requesters,
        publishers=content.publishers,
        content=[],
    )
