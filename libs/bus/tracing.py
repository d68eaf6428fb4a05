"""Traces across the log: an event carries the trace context of its command, and its consumers continue that trace.

A batch is one span, however many events it holds: in the trace of its first event, linked to the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from libs.contracts import Recorded

LINKS_MAX = 16

_tracer = trace.get_tracer("resedge.bus")
_propagator = TraceContextTextMapPropagator()


def context_of(traceparent: str | None) -> Context:
    """Return the context that a `traceparent` names; an empty one if it is missing or unreadable."""
    return _propagator.extract({} if traceparent is None else {"traceparent": traceparent}, Context())


def traceparent_of(span: Span) -> str | None:
    """Return the `traceparent` of a span; empty if no traces are kept."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier, trace.set_span_in_context(span, Context()))
    return carrier.get("traceparent")


def links_to(traceparents: Sequence[str]) -> list[Link]:
    """Return links to other traces, a bounded number of them."""
    contexts = (trace.get_current_span(context_of(each)).get_span_context() for each in traceparents[:LINKS_MAX])
    return [Link(context) for context in contexts if context.is_valid]


@contextmanager
def batch_span(consumer: str, batch: Sequence[Recorded]) -> Iterator[None]:
    """Run a consumer's work on a batch in its own span."""
    if not batch:
        yield
        return
    traces = list(dict.fromkeys(each.traceparent for each in batch if each.traceparent))
    attributes: dict[str, str | int] = {
        "messaging.batch.message_count": len(batch),
        "messaging.consumer.group.name": consumer,
        "resedge.position.first": batch[0].position,
        "resedge.position.last": batch[-1].position,
    }
    parent = context_of(traces[0] if traces else None)
    with _tracer.start_as_current_span(
        f"{consumer} process", parent, SpanKind.CONSUMER, attributes, links_to(traces[1:])
    ):
        yield
