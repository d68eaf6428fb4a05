"""The composition root of the relay."""

from __future__ import annotations

from fastapi import APIRouter

from libs.runtime.service import Ports, Service
from services.relay.outbox import Publishing
from services.relay.settings import RelaySettings


def build(ports: Ports) -> Service:
    """Return the relay: its outbox, where there is a Kafka to publish on."""
    settings = RelaySettings()
    publishing = Publishing(ports, settings.lease_seconds) if ports.kafka is not None else None
    return Service(
        name="relay",
        router=APIRouter(),
        start=publishing.begin if publishing else None,
        stop=publishing.end if publishing else None,
        checks=[publishing.ready] if publishing else [],
    )
