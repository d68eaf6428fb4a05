"""One trace leads from a request to the commit that it caused, through the log; figures and log lines tell of it."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from libs.runtime.logs import set_up_logs
from tests.flow.conftest import Server
from tests.support.journeys import begin, choose, publish, settled

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE}-b7ad6b7169203331-01"


@pytest.fixture(scope="module")
def kept() -> Iterator[InMemorySpanExporter]:
    """Keep every span of this process; a process has one provider for good, so that others may have installed it."""
    exporter = InMemorySpanExporter()
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = TracerProvider()
        trace.set_tracer_provider(provider)
    processor = SimpleSpanProcessor(exporter)
    provider.add_span_processor(processor)
    yield exporter
    processor.shutdown()


def spans_of(exporter: InMemorySpanExporter, trace_id: str) -> dict[str, ReadableSpan]:
    """Return the first span of each name in a trace."""
    found = reversed(exporter.get_finished_spans())
    return {span.name: span for span in found if f"{span.context.trace_id:032x}" == trace_id}


def parent_of(span: ReadableSpan) -> str:
    assert span.parent is not None
    return f"{span.parent.span_id:016x}"


def id_of(span: ReadableSpan) -> str:
    return f"{span.context.span_id:016x}"


async def choose_traced(server: Server, version: str) -> None:
    body = {"version": version, "expression": None}
    path = "/v1/applications/pos-api/release-choices:set"
    answer = await server.client.post(path, json=body, headers={"traceparent": TRACEPARENT})
    assert answer.status_code < 300, answer.text


async def test_one_trace_leads_from_the_request_to_the_commit(server: Server, kept: InMemorySpanExporter) -> None:
    await begin(server)
    await publish(server, "2.0.0", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\n")
    kept.clear()
    await choose_traced(server, "2.0.0")
    commit = await settled(server)

    spans = spans_of(kept, TRACE)
    servers = [span for span in kept.get_finished_spans() if span.kind is SpanKind.SERVER]
    assert len(servers) == 2, "each request has one span: the choice, and the wait"
    request = spans["POST /v1/applications/{application}/release-choices:set"]
    assert parent_of(request) == "b7ad6b7169203331"
    assert parent_of(spans["log append"]) == id_of(request)
    assert parent_of(spans["rendering process"]) == id_of(request)
    assert parent_of(spans["catalog.documents process"]) == id_of(request)
    assert parent_of(spans["rendering decide"]) == id_of(request)
    assert parent_of(spans["rendering commit"]) == id_of(spans["rendering decide"])
    assert spans["rendering commit"].attributes is not None
    assert spans["rendering commit"].attributes["resedge.commit"] == commit


async def test_the_log_says_which_fact_caused_a_decision_and_which_decision_a_commit(
    server: Server, kept: InMemorySpanExporter
) -> None:
    kept.clear()
    await begin(server)
    await publish(server, "2.0.0", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\n")
    await choose_traced(server, "2.0.0")
    await settled(server)

    *_, chosen, decided, written = (await server.get("/v1/events", limit=1000))["items"]
    assert [each["type"].split(".")[3] for each in (decided, written)] == ["AdmissionDecided", "AdmissionWritten"]
    assert decided["causationid"] == f"{chosen['stream']}/{chosen['version']}"
    assert written["causationid"] == f"{decided['stream']}/{decided['version']}"
    assert {each["traceparent"].split("-")[1] for each in (chosen, decided, written)} == {TRACE}


async def test_a_batch_is_one_span_linked_to_the_other_traces(server: Server, kept: InMemorySpanExporter) -> None:
    rows = "name,timezone\n" + "".join(f"s-{i},UTC\n" for i in range(300))
    kept.clear()
    await server.client.post("/v1/stores:import", content=rows, headers={"Content-Type": "text/csv"})
    await server.settled()

    batches = [span for span in kept.get_finished_spans() if span.name == "inventory.documents process"]
    counts = [span.attributes["messaging.batch.message_count"] for span in batches if span.attributes is not None]
    assert sum(int(str(count)) for count in counts) >= 300
    assert len(batches) < 10


async def test_the_figures_are_fed(server: Server) -> None:
    await begin(server)
    await choose(server, "1.0.0")
    await server.client.post("/v1/applications/pos-api/release-choices:set", json={"version": "9", "expression": None})
    await settled(server)
    lines = (await server.client.get("/metrics")).text.splitlines()
    figures = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}

    assert figures["resedge_commits_total"] >= 1
    assert figures["resedge_commit_files_total"] >= 3
    assert figures["resedge_commit_seconds_count"] >= 1
    assert figures["resedge_append_seconds_count"] >= 5
    assert figures["resedge_append_batch_events_count"] >= 5
    assert figures["resedge_append_batch_seconds_count"] >= 5
    assert figures['resedge_refusals_total{code="unknown-reference"}'] >= 1
    assert figures['resedge_queue_depth{queue="appender"}'] == 0
    assert figures["resedge_placements_pending"] == 0
    assert figures["resedge_branch_stopped"] == 0
    assert figures['resedge_ready{check="rendering"}'] == 1
    assert figures['resedge_ready{check="consumers"}'] == 1


async def test_refused_placements_are_counted_by_code(server: Server) -> None:
    await begin(server)
    await publish(
        server, "3.0.0", 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {a: "${edge.config.b}"}'
    )
    await choose(server, "3.0.0")
    await settled(server)
    text = (await server.client.get("/metrics")).text

    assert 'resedge_placements_refused{code="unresolved-placeholder"} 3.0' in text


def test_each_line_says_who_wrote_it_and_in_which_trace(
    kept: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.clear()
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    before, root = structlog.get_config(), logging.getLogger()
    handlers, level = root.handlers, root.level
    set_up_logs(service="catalog", instance="catalog-7")
    try:
        with trace.get_tracer("test").start_as_current_span("something") as span:
            structlog.get_logger("ours").warning("said", number=3)
            logging.getLogger("theirs").warning("said too")
    finally:
        structlog.configure(**before)
        root.handlers, root.level = handlers, level

    context = span.get_span_context()
    for line in map(json.loads, written.getvalue().splitlines()):
        assert (line["service"], line["instance"]) == ("catalog", "catalog-7")
        assert (line["trace_id"], line["span_id"]) == (f"{context.trace_id:032x}", f"{context.span_id:016x}")
        assert {"event", "level", "logger", "timestamp"} <= line.keys()
    assert len(written.getvalue().splitlines()) == 2
