"""Figures of signing in, for Prometheus."""

from __future__ import annotations

from prometheus_client import Counter

AUTHENTICATION_FAILURES = Counter(
    "resedge_authentication_failures_total", "Requests whose token was not accepted, by why", ("reason",)
)


SIGNING_KEY_FETCHES = Counter(
    "resedge_signing_key_fetches_total", "Looks at the identity provider's keys: ok, or failed", ("outcome",)
)
