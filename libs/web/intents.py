"""The intent of an HTTP request: author, idempotency key, preconditions, and whether it is a dry run."""

from __future__ import annotations

import hashlib
from typing import Any

from fastapi import Request
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from libs.access.principals import Principal
from libs.commands.intents import RELAYED_SCOPE, Intent, actor_scope, assumed_events
from libs.contracts.problems import invalid
from libs.web.auth import by_of
from libs.web.positions import wanted_position

IDEMPOTENCY_KEY_CHARACTERS_MAX = 255
REASON_CHARACTERS_MAX = 1_000
POSITION_PARAMETERS = frozenset({"position"})


EVENT_DIGEST = "Resedge-Event-Digest"
"""From the relay only: the digest of an external event, which the idempotency key stands for instead of the request."""


CAUSATION = "Resedge-Causation"
"""From the relay only: which external event the facts follow from."""


_propagator = TraceContextTextMapPropagator()


def flag(request: Request, name: str) -> bool:
    """Return a query parameter that is `true` or `false` (default).

    Raises:
        Problem: 422, it is neither.
    """
    text = request.query_params.get(name, "false").lower()
    if text not in {"true", "false", "1", "0", ""}:
        raise invalid(f"{name} must be true or false", pointer=f"?{name}")
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
        assume=assumed_events(assume),
        if_match=request.headers.get("if-match"),
        if_none_match=request.headers.get("if-none-match"),
        position=wanted_position(request),
        request_id=getattr(request.state, "request_id", None),
        traceparent=carrier.get("traceparent"),
        causation=request.headers.get(CAUSATION) if relayed else None,
        reason=_reason(request) if request.method == "DELETE" else "",
        reach=flag(request, "reach"),
        remembers_unchanged=not relayed,
    )


def _reason(request: Request) -> str:
    text = request.query_params.get("reason", "").strip()
    if len(text) > REASON_CHARACTERS_MAX or not text.isprintable():
        raise invalid(f"a reason is one line of at most {REASON_CHARACTERS_MAX:,} characters", pointer="?reason")
    return text


def _key(request: Request, scope: str) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not key or len(key) > IDEMPOTENCY_KEY_CHARACTERS_MAX or not (key.isascii() and key.isprintable()):
        raise invalid(
            f"an Idempotency-Key is 1 to {IDEMPOTENCY_KEY_CHARACTERS_MAX} printable ASCII characters",
            pointer="Idempotency-Key",
        )
    return f"{scope}:{key}"


def _digest(request: Request, body: bytes) -> str:
    query = sorted((key, value) for key, value in request.query_params.multi_items() if key not in POSITION_PARAMETERS)
    digest = hashlib.sha256(repr((request.method, request.url.path, query)).encode("utf-8", "surrogatepass"))
    digest.update(body)
    return digest.hexdigest()
