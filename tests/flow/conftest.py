"""The embedded server in this process, as tests talk to it: over HTTP, with a token, on a data directory of their own.

The vocabulary for all flow tests: `server.declare(document)`, `server.get(path)`, `server.settled()`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from httpx2 import ASGITransport, AsyncClient, Response

from cli.embedded import SERVICES
from libs.runtime.embedded import Embedded
from libs.runtime.service import Build
from services.rendering.app import build as rendering

PLURALS = {
    "Store": "stores",
    "Group": "groups",
    "Namespace": "namespaces",
    "Application": "applications",
    "Configuration": "configurations",
    "Calendar": "calendars",
    "Freeze": "freezes",
    "PlacementPolicy": "placementpolicies",
    "SignOff": "signoffs",
    "Role": "roles",
    "RoleBinding": "rolebindings",
}


def client_of(embedded: Embedded, token: str | None) -> AsyncClient:
    """Return a client without a network: it reads no certificates, which takes longer than most tests' requests."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    transport = ASGITransport(embedded.app, raise_app_exceptions=False)
    return AsyncClient(
        transport=transport, base_url="http://resedge.test", headers=headers, timeout=30, verify=False, trust_env=False
    )


class Server:
    """The running composition and a client with an administrator's token."""

    def __init__(self, embedded: Embedded, client: AsyncClient, token: str) -> None:
        self.embedded = embedded
        self.client = client
        self.token = token

    def client_for(self, token: str | None) -> AsyncClient:
        return client_of(self.embedded, token)

    async def settled(self) -> int:
        """Wait until every consumer has seen everything that was appended."""
        return await self.embedded.settled()

    async def declare(self, document: dict[str, Any], **query: Any) -> Response:
        """PUT a document at its place."""
        metadata = document["metadata"]
        name = metadata["path"].lstrip("/") if "path" in metadata else metadata["name"]
        return await self.client.put(f"/v1/{PLURALS[document['kind']]}/{name}", json=document, params=query)

    async def get(self, path: str, **query: Any) -> Any:
        """GET what must be there, having seen all of our own writes."""
        response = await self.client.get(path, params={"position": await self.settled(), **query})
        assert response.status_code == 200, response.text
        return response.json()


def store(name: str, **labels: Any) -> dict[str, Any]:
    """Return a store document with one cluster of its name."""
    return {
        "apiVersion": "resedge.dev/v1",
        "kind": "Store",
        "metadata": {"name": name, "labels": labels},
        "spec": {"timezone": "America/Chicago"},
    }


@asynccontextmanager
async def running(data_dir: Path, services: Sequence[Build], **options: Any) -> AsyncIterator[Server]:
    """Run services embedded, with an administrator's token; `options` are `Embedded`'s."""
    embedded = Embedded(data_dir, services, **options)
    token = embedded.tokens.issue("admin", frozenset({"admin"}))
    async with embedded.running(), client_of(embedded, token) as client:
        yield Server(embedded, client, token)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """Every service that `resedge up` runs."""
    async with running(tmp_path / "data", SERVICES) as made:
        yield made


@pytest.fixture
async def quiet_server(tmp_path: Path) -> AsyncIterator[Server]:
    """Every service but the one that appends of its own accord, so that positions are those of the test's commands."""
    async with running(tmp_path / "data", [build for build in SERVICES if build is not rendering]) as made:
        yield made
