"""Steady running: what travels by Kafka, what does not, and what stops when the relay stops."""

from __future__ import annotations

from typing import Any

from tests.support.system import SERVICES, System
from tests.support.waiting import until


def store(name: str, **labels: str) -> dict[str, Any]:
    return {"kind": "Store", "metadata": {"name": name, "labels": labels}, "spec": {"timezone": "America/Chicago"}}


def test_a_command_reaches_views_and_git_by_kafka_alone(system: System) -> None:
    system.start()
    system.settle()
    system.connected(*SERVICES)
    before = {service: reads(system, service) for service in SERVICES}

    for number in range(20):
        answer = system.change("PUT", f"/v1/stores/tx-{number}", json=store(f"tx-{number}", size="large"))
        assert answer.status_code == 201, answer.text
        read = system.http(
            "GET", f"/v1/stores/tx-{number}", headers={"Resedge-Position": answer.headers["Resedge-Position"]}
        )
        assert read.status_code == 200, read.text
    system.settle()

    after = {service: reads(system, service) for service in before}
    assert after["relay"].pop("relay") > before["relay"].pop("relay", 0)
    assert after == before, "nobody else has read the log"
    system.check()


def test_with_the_relay_stopped_views_stop_and_commands_go_on(system: System) -> None:
    system.start("relay", "inventory")
    first = system.change("PUT", "/v1/stores/one", json=store("one"))
    system.settle()
    system.stop("relay")

    second = system.change("PUT", "/v1/stores/two", json=store("two"))
    late = system.http("GET", "/v1/stores/two", headers={"Resedge-Position": second.headers["Resedge-Position"]})
    seen = system.http("GET", "/v1/stores/one", headers={"Resedge-Position": first.headers["Resedge-Position"]})

    assert second.status_code == 201
    assert late.status_code == 504
    assert late.json()["code"] == "position-timeout"
    assert seen.status_code == 200
    system.restart("relay")
    until(lambda: system.http("GET", "/v1/stores/two").status_code == 200, what="the view goes on")
    system.check()


def reads(system: System, service: str) -> dict[str, float]:
    """Return how many events a service has read from the log, by reason."""
    start = 'resedge_log_events_read_total{why="'
    figures = system.metrics(service)
    return {name[len(start) : -2]: count for name, count in figures.items() if name.startswith(start) and count}
