"""Figures of decisions and appends, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace
from prometheus_client import Counter, Histogram

from libs.bus.metrics import QUEUE_DEPTH

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_EVENTS = (1, 2, 5, 10, 20, 50, 100, 256, 1_000, 10_000, 100_000)


APPEND_SECONDS = Histogram(
    "resedge_append_seconds", "How long an append to the log took, waiting for its turn included", buckets=_SECONDS
)


APPEND_BATCH_EVENTS = Histogram(
    "resedge_append_batch_events", "Events that were appended in one transaction", buckets=_EVENTS
)


APPEND_BATCH_SECONDS = Histogram("resedge_append_batch_seconds", "How long such a transaction took", buckets=_SECONDS)


DECISIONS_AGAIN = Counter("resedge_decisions_again_total", "Decisions made again because what they read had changed")


_tracer = trace.get_tracer("resedge.log")


@contextmanager
def appending(events: int) -> Iterator[None]:
    """Measure an append, and give it its span in the trace of the request."""
    with (
        _tracer.start_as_current_span("log append", attributes={"resedge.events": events}),
        QUEUE_DEPTH.labels("appender").track_inprogress(),
        APPEND_SECONDS.time(),
    ):
        yield


def note_batch(events: int, submissions: int, seconds: float) -> None:
    """Measure a commit of the log (`EventLog.on_batch`); called in the appender's thread."""
    del submissions
    APPEND_BATCH_EVENTS.observe(events)
    APPEND_BATCH_SECONDS.observe(seconds)
