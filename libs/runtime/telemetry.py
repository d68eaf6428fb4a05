"""Traces: a tracer provider for the process, so that requests get spans and the log their `traceparent`.

The one rule: nothing is sent anywhere unless an exporter is given; contexts travel all the same.
"""

from __future__ import annotations

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter


def set_up_telemetry(service: str, exporter: SpanExporter | None = None) -> TracerProvider:
    """Install the process's tracer provider, once, and return it."""
    provider = TracerProvider(resource=Resource.create({"service.name": f"resedge-{service}"}))
    if exporter is not None:
        provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return provider
