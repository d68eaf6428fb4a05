"""The figures that Prometheus collects; never a label per store (60,000 series)."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, Counter, Histogram, generate_latest

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

APPEND_SECONDS = Histogram("resedge_append_seconds", "How long an append to the log took", buckets=_SECONDS)
DECISIONS_AGAIN = Counter("resedge_decisions_again_total", "Decisions made again because what they read had changed")
REQUEST_SECONDS = Histogram(
    "resedge_http_request_seconds",
    "How long requests took, by route template",
    ("method", "route", "status"),
    buckets=_SECONDS,
)


def exposition() -> tuple[bytes, str]:
    """Return all figures in Prometheus' text format, and its media type."""
    return generate_latest(REGISTRY), CONTENT_TYPE_LATEST
