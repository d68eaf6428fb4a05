"""Traces: a tracer provider for the process, so that requests get spans and the log their `traceparent`.

Nothing is sent anywhere unless an endpoint or an exporter is given; contexts travel all the same.
"""

from __future__ import annotations

import atexit
import logging
import threading
from collections.abc import Sequence
from urllib.parse import urlsplit

import structlog
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased

from libs.version import VERSION

EXPORT_SECONDS_MAX = 2.0
EXPORT_EVERY_MILLISECONDS = 1_000
SPANS_WAITING_MAX = 4_096
"""Spans beyond this number are dropped."""
END_SECONDS_MAX = 3.0
_NOISY = ("opentelemetry.exporter.otlp", "opentelemetry.sdk._shared_internal", "opentelemetry.sdk.trace.export")

log = structlog.get_logger("resedge.telemetry")


class Shielded(SpanExporter):
    """An exporter that logs a failure once, not with every batch, and does not delay the end of a process."""

    def __init__(self, exporter: SpanExporter, destination: str) -> None:
        self._exporter = exporter
        self._destination = destination
        self._failing = False
        self._ending = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans; those that cannot be sent are lost."""
        if self._ending and self._failing:
            return SpanExportResult.FAILURE
        result = self._exporter.export(spans)
        failing = result is not SpanExportResult.SUCCESS
        if failing and not self._failing:
            log.warning("traces cannot be sent, and are dropped", collector=self._destination)
        elif self._failing and not failing:
            log.info("traces are sent again", collector=self._destination)
        self._failing = failing
        return result

    def end(self) -> None:
        """Retry at most once."""
        self._ending = True

    def shutdown(self) -> None:
        """Release the connection."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send the exporter's own buffer."""
        return self._exporter.force_flush(timeout_millis)


def set_up_telemetry(
    service: str, exporter: SpanExporter | None = None, *, endpoint: str = "", instance: str = ""
) -> TracerProvider:
    """Install the process's tracer provider, once, and return it.

    `endpoint` is where an OpenTelemetry collector takes OTLP over gRPC, `http://host:4317` or `https://…`; what was not
    sent yet goes there when the process ends, within `END_SECONDS_MAX`.

    Raises:
        ValueError: the endpoint is not such an address.
    """
    attributes = {"service.name": f"resedge-{service}", "service.namespace": "resedge", "service.version": VERSION}
    if instance:
        attributes["service.instance.id"] = instance
    exporter = exporter or (_otlp(endpoint) if endpoint else None)
    # Without an exporter only requests that the caller traces get spans: unread spans cost time.
    sampler = ParentBased(ALWAYS_ON if exporter else ALWAYS_OFF)
    provider = TracerProvider(sampler, Resource.create(attributes), shutdown_on_exit=False)
    if exporter is not None:
        shielded = Shielded(exporter, endpoint)
        provider.add_span_processor(
            BatchSpanProcessor(
                shielded, max_queue_size=SPANS_WAITING_MAX, schedule_delay_millis=EXPORT_EVERY_MILLISECONDS
            )
        )
        atexit.register(end_telemetry, provider, shielded)
    trace.set_tracer_provider(provider)
    return provider


def end_telemetry(provider: TracerProvider, shielded: Shielded) -> None:
    """Send the remaining spans, for at most `END_SECONDS_MAX`."""
    shielded.end()
    # A collector that does not answer must not keep the process from ending.
    ending = threading.Thread(target=provider.shutdown, name="telemetry-end", daemon=True)
    ending.start()
    ending.join(END_SECONDS_MAX)


def _otlp(endpoint: str) -> SpanExporter:
    address = urlsplit(endpoint)
    if address.scheme not in {"http", "https"} or not address.hostname:
        raise ValueError(f"RESEDGE_OTLP_ENDPOINT must be http://HOST:PORT or https://HOST:PORT, not {endpoint!r}")
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (  # noqa: PLC0415 - only who exports loads gRPC
        OTLPSpanExporter,
    )

    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return OTLPSpanExporter(endpoint, insecure=address.scheme == "http", timeout=EXPORT_SECONDS_MAX)
