"""The composition root of audit."""

from __future__ import annotations

from libs.runtime.service import Ports, Service
from services.audit.api import audit_router
from services.audit.projections import AuditTrail
from services.audit.reading import Tail


def build(ports: Ports) -> Service:
    """Return audit: its routes over the log, the trail that it keeps, and the tail that followers hang on."""
    tail = Tail(ports.log)
    trail = AuditTrail(ports.log, ports.engine)
    router = audit_router(ports.log, tail, trail, ports.positions)
    return Service(
        name="audit",
        router=router,
        consumers=[trail],
        drain=tail.end,
        start=tail.start,
        stop=tail.stop,
    )
