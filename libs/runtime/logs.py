"""Logs on stderr: JSON lines, or readable lines on a terminal.

structlog and the standard library's loggers use the same format, so that every line has it.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog
from opentelemetry import trace
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, Processor, WrappedLogger

_TRACEBACKS = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))
"""Without the frames' variables: a token or a password may be among them."""
QUIET_LOGGERS = ("uvicorn.access", "aiosqlite", "asyncio", "aiokafka")


def _with_trace(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event["trace_id"] = f"{context.trace_id:032x}"
        event["span_id"] = f"{context.span_id:016x}"
    return event


def _from(service: str, instance: str) -> Processor:
    said = {key: value for key, value in (("service", service), ("instance", instance)) if value}

    def add(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
        return {**said, **event}

    return add


def set_up_logs(level: str = "INFO", *, service: str = "", instance: str = "") -> None:
    """Send all logs of the process to stderr; a line of JSON says which `service` and `instance` wrote it."""
    terminal = sys.stderr.isatty()
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _with_trace,
    ]
    if not terminal:
        shared.append(_from(service, instance))
    last: list[Any] = (
        [structlog.dev.ConsoleRenderer()] if terminal else [_TRACEBACKS, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[remove, *last]))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
