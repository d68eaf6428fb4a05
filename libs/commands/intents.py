"""What a request asks for besides its document: author, idempotency key, preconditions, and whether it is a dry run.

An idempotency key belongs to its actor, and covers method, path, query and body together; the relay's covers the
external event that it executes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from libs.access.judging import Asking
from libs.contracts import Event, decode
from libs.contracts.envelope import UnknownEventType
from libs.contracts.people import PLAIN
from libs.contracts.problems import Problem, invalid
from libs.fleet.bitmaps import unpacked

ASSUMED_EVENTS_MAX = 10_000
ASSUMED_CLUSTERS_MAX = 1 << 22
"""A bound that no fleet reaches, removed clusters included."""
RELAYED_SCOPE = "@relay"
"""The scope of the relay's idempotency keys; no actor can have this name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent(Asking):
    """The author, idempotency key and preconditions of a request.

    `key` is already scoped to the actor; the decision must have seen at least `position`. `reason` is why something is
    removed.
    """

    key: str | None = None
    digest: str = ""
    dry_run: bool = False
    assume: Sequence[tuple[str, Event]] = ()
    if_match: str | None = None
    if_none_match: str | None = None
    position: int = 0
    request_id: str | None = None
    traceparent: str | None = None
    causation: str | None = None
    reason: str = ""
    reach: bool = False
    """Whether the answer says which clusters the change reaches, and what was there before."""
    remembers_unchanged: bool = True
    """Whether the log keeps that a keyed request changed nothing; the relay keeps that itself, under the same key."""

    def check_version(self, version: int, *, exists: bool) -> None:
        """Check the stream's version against If-Match and If-None-Match.

        Raises:
            Problem: 412.
        """
        if self.if_match is not None and not (exists and _matches(self.if_match, version)):
            raise _precondition(f"If-Match is {self.if_match[:80]}", version, exists=exists)
        if self.if_none_match is not None and exists and _matches(self.if_none_match, version):
            raise _precondition(f"If-None-Match is {self.if_none_match[:80]}", version, exists=exists)


def etag(version: int) -> str:
    """Return the entity tag of a stream's version."""
    return f'"{version}"'


def _matches(condition: str, version: int) -> bool:
    return condition.strip() == "*" or etag(version) in [part.strip() for part in condition.split(",")]


def _precondition(asked: str, version: int, *, exists: bool) -> Problem:
    found = f"the version is {etag(version)}" if exists else "it does not exist"
    return Problem(
        412,
        "precondition-failed",
        "The precondition does not hold.",
        f"{asked}, but {found}",
        fix="read it again, then try again",
        extra={"version": version},
    )


def relayed_key(key: str) -> str:
    """Return the log's key for a submission that the relay made, or requested, under `key`."""
    return f"{RELAYED_SCOPE}:{key}"


def actor_scope(name: str) -> str:
    """Return the prefix of an actor's keys, so that no two pairs of name and key are the same.

    A name of one plain word is its own prefix; others may contain a colon, or a dash, which ends a category.
    """
    return name if PLAIN.fullmatch(name) else f"~{hashlib.sha256(name.encode()).hexdigest()}"


def assumed_events(assume: Any) -> list[tuple[str, Event]]:
    """Return the events that a dry run assumes besides the log's, as another dry run returned them.

    Raises:
        Problem: 422, they are not such events.
    """
    if assume is None:
        return []
    if not isinstance(assume, list) or len(assume) > ASSUMED_EVENTS_MAX:
        raise invalid(f"assume must be a list of at most {ASSUMED_EVENTS_MAX} events", pointer="/assume")
    events = []
    for index, each in enumerate(assume):
        try:
            event = decode(each["type"], msgspec.json.encode(each["data"]))
            _check_clusters(event)
            events.append((str(each["stream"]), event))
        except (KeyError, TypeError, ValueError, UnknownEventType, msgspec.MsgspecError):
            raise invalid(
                "not an event that a dry run returned: {stream, type, data}", pointer=f"/assume/{index}"
            ) from None
    return events


def _check_clusters(event: Event) -> None:
    """Refuse a set of clusters that no dry run returned: unpacked, a few bytes can be billions of them.

    Raises:
        ValueError: it is not a set, or names clusters beyond any fleet.
    """
    packed = getattr(event, "clusters", b"")
    clusters = unpacked(packed) if isinstance(packed, bytes) else None
    if clusters and clusters.max() >= ASSUMED_CLUSTERS_MAX:
        raise ValueError(clusters.max())
