"""What can be asked of the log, and how an event and a verification are told.

The one rule: nothing is changed here, and an event is shown with its exact data and its chain hash, so that anybody
can compute the chain again.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from libs.eventlog import StoredEvent, Verification


def shown(event: StoredEvent) -> dict[str, Any]:
    """Return an event as the API shows it."""
    return {
        "position": event.position,
        "epoch": event.epoch,
        "stream": event.stream,
        "version": event.version,
        "type": event.type,
        "time": event.recorded_at.isoformat().replace("+00:00", "Z"),
        "actor": event.actor,
        "data": json.loads(event.data),
        "hash": event.hash.hex(),
        "correlationid": event.correlation_id,
        "causationid": event.causation_id,
        "traceparent": event.traceparent,
    }


def verdict(found: Verification) -> dict[str, Any]:
    """Return a verification as the API answers it."""
    if found.problem is None:
        detail = f"{found.events} events up to position {found.position} hang together"
    else:
        detail = f"position {found.problem.position}: {found.problem.what}"
    return {"ok": found.ok, "checks": [{"check": "chain", "ok": found.ok, "detail": detail}]}
