"""One trace across processes: from the request at one service, by the log and Kafka, to another one's Git commit."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.collector import collecting
from tests.support.system import System

TRACE = "7bf92f3577b34da6a3ce929d0e0e4799"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
STORE = {"kind": "Store", "metadata": {"name": "tx-1"}, "spec": {"timezone": "America/Chicago"}}
NAMES = (
    "PUT /v1/stores/{name:path}",
    "log append",
    "inventory.documents process",
    "rendering process",
    "rendering decide",
    "rendering commit",
)


def test_a_trace_leads_from_the_request_to_the_commit_of_another_process(make_system: Callable[..., System]) -> None:
    with collecting() as collector:
        system = make_system(RESEDGE_OTLP_ENDPOINT=collector.endpoint)
        system.start("relay", "inventory", "rendering")
        system.settle()
        answer = system.change("PUT", "/v1/stores/tx-1", json=STORE, headers={"traceparent": TRACEPARENT})
        assert answer.status_code == 201, answer.text
        system.settle()
        spans = collector.wait_for(TRACE, *NAMES)

        request, decision, commit = (spans[name] for name in (NAMES[0], NAMES[4], NAMES[5]))
        assert request.parent == "00f067aa0ba902b7"
        assert spans["log append"].parent == request.id
        assert spans["inventory.documents process"].parent == request.id
        assert spans["rendering process"].parent == request.id
        assert decision.parent == request.id
        assert commit.parent == decision.id
        assert {(request.service, request.instance), (commit.service, commit.instance)} == {
            ("resedge-inventory", "inventory-a"),
            ("resedge-rendering", "rendering-a"),
        }
        system.check()
