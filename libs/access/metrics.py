"""Figures of signing in, for Prometheus."""

from __future__ import annotations

from prometheus_client import Counter

AUTHENTICATION_FAILURES = Counter(
    "resedge_authentication_failures_total", "Requests whose token was not accepted, by reason", ("reason",)
)


SIGNING_KEY_FETCHES = Counter(
    "resedge_signing_key_fetches_total", "Fetches of the identity provider's keys: ok, or failed", ("outcome",)
)
