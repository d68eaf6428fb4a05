"""The metrics for Prometheus; never with a label per store (60,000 series)."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


REFUSALS = Counter("resedge_refusals_total", "Commands that were refused, by the refusal's code", ("code",))
READY = Gauge("resedge_ready", "1 where a readiness check of this process is met", ("check",))
REQUEST_SECONDS = Histogram(
    "resedge_http_request_seconds",
    "How long requests took, by route template",
    ("method", "route", "status"),
    buckets=_SECONDS,
)
CONNECTIONS = Gauge("resedge_http_connections", "Connections that clients have open to this process")
CONNECTIONS_ENDED = Counter(
    "resedge_http_connections_ended_total", "Connections that were ended because of their client, by reason", ("why",)
)


def exposition() -> tuple[bytes, str]:
    """Return all figures in Prometheus' text format, and its media type."""
    return generate_latest(REGISTRY), CONTENT_TYPE_LATEST
