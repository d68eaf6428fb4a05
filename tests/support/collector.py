"""A small OpenTelemetry collector: takes spans by OTLP over gRPC, as real exporters send them, and keeps them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)

WAIT_SECONDS_MAX = 90.0


@dataclass(frozen=True)
class Span:
    """A span as it was received; ids in hex, `parent` empty for a root."""

    service: str
    instance: str
    name: str
    trace: str
    id: str
    parent: str


class Collector(TraceServiceServicer):
    """Keeps the spans that it is sent; `endpoint` is where to send them."""

    def __init__(self) -> None:
        self.endpoint = ""
        self._spans: list[Span] = []
        self._received = threading.Condition()

    def Export(  # noqa: N802 - the protocol's name
        self, request: ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> ExportTraceServiceResponse:
        """Take spans."""
        del context
        with self._received:
            for resource in request.resource_spans:
                said = {each.key: each.value.string_value for each in resource.resource.attributes}
                for scope in resource.scope_spans:
                    self._spans += [
                        Span(
                            said.get("service.name", ""),
                            said.get("service.instance.id", ""),
                            span.name,
                            span.trace_id.hex(),
                            span.span_id.hex(),
                            span.parent_span_id.hex(),
                        )
                        for span in scope.spans
                    ]
            self._received.notify_all()
        return ExportTraceServiceResponse()

    def of(self, trace: str) -> list[Span]:
        """Return what came of a trace so far."""
        with self._received:
            return [span for span in self._spans if span.trace == trace]

    def wait_for(self, trace: str, *names: str, seconds: float = WAIT_SECONDS_MAX) -> dict[str, Span]:
        """Wait until spans of these names have come of a trace; return its spans by name, the first of each."""

        def found() -> dict[str, Span]:
            return {span.name: span for span in reversed(self._spans) if span.trace == trace}

        with self._received:
            came = self._received.wait_for(lambda: set(names) <= found().keys(), seconds)
            assert came, f"of trace {trace} only {sorted(found())} came, not {sorted(set(names) - found().keys())}"
            return found()


@contextmanager
def collecting() -> Iterator[Collector]:
    """Listen on a free port of the loopback until the block ends."""
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(2, thread_name_prefix="collector"))
    add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]  # generated
    collector.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield collector
    finally:
        server.stop(grace=0.2).wait()
