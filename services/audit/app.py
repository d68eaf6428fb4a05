"""The composition root of audit."""

from __future__ import annotations

from libs.runtime.service import Ports, Service
from services.audit.api import audit_router
from services.audit.reading import Tail


def build(ports: Ports) -> Service:
    """Return audit: its routes over the log, and the tail that followers hang on."""
    tail = Tail(ports.log)
    router = audit_router(ports.log, tail)
    return Service(name="audit", router=router, drain=tail.end, start=tail.start, stop=tail.stop)
