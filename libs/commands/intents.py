"""What a request asks besides its document: who, how often, on top of what, and whether only to try.

The one rule: an idempotency key belongs to its actor, and stands for method, path, query and body together; the
relay's stands for the external event that it carries out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from fastapi import Request
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from libs.commands.positions import wanted_position
from libs.contracts import By, Event, decode
from libs.contracts.envelope import UnknownEventType
from libs.contracts.people import PLAIN
from libs.fleet.bitmaps import unpacked
from libs.web.auth import Principal, by_of
from libs.web.problems import Problem, invalid

KEY_CHARACTERS_MAX = 255
ASSUMED_EVENTS_MAX = 10_000
ASSUMED_CLUSTERS_MAX = 1 << 22
"""No fleet has had so many clusters, gone ones included."""
POSITION_PARAMETERS = frozenset({"position"})
EVENT_DIGEST = "Resedge-Event-Digest"
"""From the relay only: the digest of an external event, which the idempotency key stands for instead of the request."""
CAUSATION = "Resedge-Causation"
"""From the relay only: which external event the facts follow from."""
RELAYED_SCOPE = "@relay"
"""The scope of the relay's idempotency keys; no actor can be called so."""

_propagator = TraceContextTextMapPropagator()


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """`key` is scoped to the actor already; `position` is what the decision must have seen at least.

    `author` is in whose name it is, `sender` whose rights count: the relay's, where it carries out what a source
    may say. `verb` and `kind` are what the route, or the document, asks for; `by` is who, as events keep it.
    """

    actor: str
    author: Principal
    sender: Principal
    verb: str
    kind: str
    by: By
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
    remembers_unchanged: bool = True
    """Whether the log keeps that a keyed request changed nothing; the relay keeps that itself, under the same key."""

    def check_version(self, version: int, *, exists: bool) -> None:
        """Hold the stream's version against If-Match and If-None-Match.

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
        "It is not as the request expects.",
        f"{asked}, but {found}",
        fix="read it again and decide anew",
        extra={"version": version},
    )


def flag(request: Request, name: str) -> bool:
    """Return a query parameter that is `true` or `false` (default).

    Raises:
        Problem: 422, it is neither.
    """
    text = request.query_params.get(name, "false").lower()
    if text not in {"true", "false", "1", "0", ""}:
        raise invalid(f"{name} is true or false", pointer=f"?{name}")
    return text in {"true", "1"}


def intent_of(request: Request, body: bytes, *, assume: Any = None) -> Intent:
    """Return the intent of a request that `requires(…)` let through; `assume` as its body holds it.

    Raises:
        Problem: 422 for an idempotency key, a position or assumed events that cannot be read.
    """
    principal: Principal = request.state.principal
    relayed = request.state.sender is not principal
    dry_run = flag(request, "dry_run")
    if assume is not None and not dry_run:
        raise invalid("events can only be assumed in a dry run", pointer="/assume", fix="add ?dry_run=true")
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    return Intent(
        actor=principal.name,
        author=principal,
        sender=request.state.sender,
        verb=request.state.rule.verb,
        kind=request.state.rule.kind,
        by=by_of(request),
        key=_key(request, RELAYED_SCOPE if relayed else actor_scope(principal.name)),
        digest=(request.headers.get(EVENT_DIGEST) if relayed else None) or _digest(request, body),
        dry_run=dry_run,
        assume=_assumed(assume),
        if_match=request.headers.get("if-match"),
        if_none_match=request.headers.get("if-none-match"),
        position=wanted_position(request),
        request_id=getattr(request.state, "request_id", None),
        traceparent=carrier.get("traceparent"),
        causation=request.headers.get(CAUSATION) if relayed else None,
        remembers_unchanged=not relayed,
    )


def relayed_key(key: str) -> str:
    """Return the key under which the log knows a submission that the relay made, or had made, under `key`."""
    return f"{RELAYED_SCOPE}:{key}"


def actor_scope(name: str) -> str:
    """Return what an actor's keys begin with: nobody's name and key together are another one's.

    A name of one plain word is its own; others may hold a colon, or a dash that the log takes for a category's end.
    """
    return name if PLAIN.fullmatch(name) else f"~{hashlib.sha256(name.encode()).hexdigest()}"


def _key(request: Request, scope: str) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not key or len(key) > KEY_CHARACTERS_MAX or not (key.isascii() and key.isprintable()):
        raise invalid(
            f"an Idempotency-Key is 1 to {KEY_CHARACTERS_MAX} printable ASCII characters", pointer="Idempotency-Key"
        )
    return f"{scope}:{key}"


def _digest(request: Request, body: bytes) -> str:
    query = sorted((key, value) for key, value in request.query_params.multi_items() if key not in POSITION_PARAMETERS)
    digest = hashlib.sha256(repr((request.method, request.url.path, query)).encode("utf-8", "surrogatepass"))
    digest.update(body)
    return digest.hexdigest()


def _assumed(assume: Any) -> list[tuple[str, Event]]:
    if assume is None:
        return []
    if not isinstance(assume, list) or len(assume) > ASSUMED_EVENTS_MAX:
        raise invalid(f"assume is a list of at most {ASSUMED_EVENTS_MAX} events", pointer="/assume")
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
        ValueError: it is none, or names clusters beyond any fleet.
    """
    packed = getattr(event, "clusters", b"")
    clusters = unpacked(packed) if isinstance(packed, bytes) else None
    if clusters and clusters.max() >= ASSUMED_CLUSTERS_MAX:
        raise ValueError(clusters.max())
