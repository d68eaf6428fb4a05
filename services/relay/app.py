"""The composition root of the relay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from httpx2 import AsyncClient, Limits

from libs.runtime.service import Ports, Service
from services.relay.outbox import Publishing
from services.relay.receiving import Receiving
from services.relay.settings import RelaySettings

if TYPE_CHECKING:
    from libs.runtime.elsewhere import Api

CONNECTIONS_MAX = 20


def build(ports: Ports) -> Service:
    """Return the relay: the inbox, and its outbox where there is a Kafka to publish on."""
    settings = RelaySettings()
    publishing = Publishing(ports, settings.lease_seconds) if ports.kafka is not None else None
    api = api_of(ports, settings)
    receiving = Receiving(ports, api)

    async def begin() -> None:
        if publishing is not None:
            await publishing.begin()
        await receiving.begin()

    async def end() -> None:
        await receiving.end()
        if publishing is not None:
            await publishing.end()

    return Service(
        name="relay",
        router=receiving.router,
        consumers=receiving.consumers,
        kinds=receiving.kinds,
        commands=receiving.commands,
        elsewhere=api if settings.api_url else None,
        start=begin,
        stop=end,
        checks=[*([publishing.ready] if publishing else []), *receiving.checks],
    )


def api_of(ports: Ports, settings: RelaySettings) -> Api:
    """Return what reaches the services: the edge with the relay's token, or this very process where no edge is set."""
    if not settings.api_url:
        return ports.api

    def edge() -> AsyncClient:
        return AsyncClient(
            base_url=settings.api_url,
            headers={"Authorization": f"Bearer {settings.token}"},
            limits=Limits(max_connections=CONNECTIONS_MAX),
            trust_env=False,
        )

    return edge
