"""A freeze is in force from the instant it is acknowledged, whatever Kafka does and whichever window opens."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from libs.contracts import AdmissionDecided
from tests.support.journeys import MANIFEST, store
from tests.support.kafka import Broker
from tests.support.system import System
from tests.support.waiting import until

LEAD_SECONDS = 25.0
"""What the acknowledged freeze and a dead broker take on a slow machine, before the window opens."""
PAST_SECONDS = 6.0
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def named(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": name}, "spec": spec}


def ok(system: System, method: str, path: str, **options: Any) -> None:
    answer = system.change(method, path, **options)
    assert answer.status_code < 300, f"{method} {path}: {answer.text}"


def admissions(system: System) -> int:
    log = system.log()
    try:
        return sum(isinstance(each.event, AdmissionDecided) for each in log.read_recorded(0))
    finally:
        log.close()


def rendered(system: System) -> Any:
    """Return where rendering stands."""
    return system.http("GET", "/v1/rendering").json()


def next_minute(lead: float) -> datetime:
    """Return the next full minute that is at least `lead` seconds away."""
    at = datetime.now(UTC) + timedelta(seconds=lead)
    return at.replace(second=0, microsecond=0) + timedelta(minutes=1)


def test_a_freeze_acknowledged_while_kafka_is_down_holds_when_a_window_opens(system: System, broker: Broker) -> None:
    system.start("relay", "inventory", "catalog", "policy", "rendering")
    for number in range(3):
        document = store(f"store-{number}")
        document["spec"]["timezone"] = "UTC"
        ok(system, "PUT", f"/v1/stores/store-{number}", json=document)
    ok(system, "PUT", "/v1/namespaces/pos", json=named("Namespace", "pos", expression="/c/*"))
    ok(system, "PUT", "/v1/applications/pos-api", json=named("Application", "pos-api", namespace="pos"))
    for version in ("1.0.0", "2.0.0"):
        ok(system, "PUT", f"/v1/applications/pos-api/releases/{version}", json={"manifests": MANIFEST})
    ok(system, "PUT", "/v1/applications/pos-api/release-choices", json={"choices": [choice("1.0.0")]})
    until(lambda: rendered(system)["placements"] == 3, what="everything is admitted")

    opens = next_minute(LEAD_SECONDS)
    window = {"days": DAYS, "from": f"{opens:%H:%M}", "to": f"{opens - timedelta(minutes=2):%H:%M}"}
    ok(system, "PUT", "/v1/calendars/soon", json=named("Calendar", "soon", clusters="/c/*", windows=[window]))
    ok(system, "PUT", "/v1/applications/pos-api/release-choices", json={"choices": [choice("2.0.0")]})
    until(lambda: rendered(system)["pending"] == 3, what="the change waits for its window")
    before = admissions(system)

    broker.kill()
    try:
        freeze = named(
            "Freeze", "now", clusters="/c/*", reason="recall", owner="operations",
            **{"from": "2026-01-01T00:00:00Z", "until": "2126-01-01T00:00:00Z"},
        )  # fmt: skip
        ok(system, "PUT", "/v1/freezes/now", json=freeze)
        assert datetime.now(UTC) < opens, "the freeze was acknowledged before the window opened"
        # Nothing is admitted while the window opens, which services of their own read off the machine's clock.
        time.sleep(max(0.0, (opens - datetime.now(UTC)).total_seconds()) + PAST_SECONDS)
        assert admissions(system) == before, "something was admitted after the freeze was acknowledged"
    finally:
        broker.start()
    system.settle()
    assert admissions(system) == before
    assert rendered(system)["pending"] == 3

    ok(system, "DELETE", "/v1/freezes/now")
    until(lambda: rendered(system)["pending"] == 0, what="the window is open and nothing is frozen")
    assert admissions(system) > before
    system.check()


def choice(version: str) -> dict[str, str]:
    return {"expression": "/c/*", "version": version}
