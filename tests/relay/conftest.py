"""The relay beside the services that its commands go to, and a system outside that is registered with it.

The vocabulary for the relay's tests: `outside.send(event("StoreOpened", …))`, `outside.register(…)`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from httpx2 import AsyncClient, Response

from libs.eventlog import StoredEvent
from services.catalog.app import build as catalog
from services.grouping.app import build as grouping
from services.inventory.app import build as inventory
from services.relay.app import build as relay
from tests.flow.conftest import Server, running

SOURCE = "https://stores.example.com/registry"
ACCOUNT = "store-registry"
TYPES = [
    f"dev.resedge.inbox.{name}.v1"
    for name in ("StoreOpened", "StoreChanged", "StoreClosed", "LabelsChanged", "ReleasePublished")
]
STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
_ids = iter(range(1_000_000))


def event(name: str, data: Any, **attributes: Any) -> dict[str, Any]:
    """Return a structured event of one of our types, with an id of its own."""
    kind = name if "." in name else f"dev.resedge.inbox.{name}.v1"
    said = {"specversion": "1.0", "id": f"e-{next(_ids)}", "source": SOURCE, "type": kind, "data": data}
    return said | attributes


def source(name: str = "registry", **spec: Any) -> dict[str, Any]:
    """Return a Source document."""
    usual = {"source": SOURCE, "serviceAccount": ACCOUNT, "types": TYPES}
    return {"apiVersion": "resedge.dev/v1", "kind": "Source", "metadata": {"name": name}, "spec": usual | spec}


def public_key(key: Ed25519PrivateKey) -> str:
    return base64.b64encode(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()


@dataclass
class Outside:
    """A system outside with its service account's token, and an administrator to look at what came of it."""

    server: Server
    sender: AsyncClient
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def admin(self) -> AsyncClient:
        return self.server.client

    async def register(self, **spec: Any) -> Response:
        document = source(**spec)
        response = await self.admin.put(f"/v1/sources/{document['metadata']['name']}", json=document)
        assert response.status_code in {200, 201}, response.text
        return response

    async def send(self, said: Any, kind: str = STRUCTURED) -> Response:
        return await self.sender.post("/v1/events", content=json.dumps(said), headers={"Content-Type": kind})

    async def get(self, path: str, **query: Any) -> Any:
        return await self.server.get(path, **query)

    async def letters(self, **query: Any) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await self.get("/v1/dead-letters", **query))["items"]
        return items

    async def inbox(self, **query: Any) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await self.get("/v1/inbox", **query))["items"]
        return items

    async def decide(self, letter: str, verb: str, reason: str = "it is right now") -> Response:
        return await self.admin.post(f"/v1/dead-letters/{letter}:{verb}", json={"reason": reason})

    def facts(self) -> list[StoredEvent]:
        return self.server.embedded.log.read(0)


@pytest.fixture
async def outside(tmp_path: Path) -> AsyncIterator[Outside]:
    async with running(tmp_path / "data", (inventory, grouping, catalog, relay)) as server:
        token = server.embedded.tokens.issue(ACCOUNT, frozenset({"source"}))
        async with server.client_for(token) as sender:
            yield Outside(server, sender)
