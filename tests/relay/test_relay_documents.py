"""Documents that the relay takes for services of their own: what it does when one of them cannot be asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.relay.app import build as relay
from tests.flow.conftest import Server, running, store

SOURCE = {
    "kind": "Source",
    "metadata": {"name": "erp"},
    "spec": {"source": "urn:erp", "serviceAccount": "erp", "types": ["dev.resedge.inbox.StoreOpened.v1"]},
}
NOBODY = "http://127.0.0.1:9"


@pytest.fixture
async def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    """A relay of its own, whose edge does not answer."""
    monkeypatch.setenv("RESEDGE_RELAY_API_URL", NOBODY)
    async with running(tmp_path / "data", [relay]) as server:
        yield server


async def apply(server: Server, *documents: Any) -> Any:
    return await server.client.post("/v1/documents", json={"documents": list(documents)})


async def test_a_service_that_cannot_be_asked_leaves_nothing_declared(alone: Server) -> None:
    answer = await apply(alone, SOURCE, store("tx-1"))

    assert (answer.status_code, answer.json()["code"]) == (503, "api-unreachable")
    assert "inventory" in answer.json()["detail"]
    assert answer.headers["Retry-After"]
    assert alone.embedded.log.head().position == 0


async def test_what_it_decides_itself_needs_nobody_else(alone: Server) -> None:
    answer = await apply(alone, SOURCE)

    assert (answer.status_code, answer.json()["results"][0]["result"]) == (200, "created")


async def test_without_an_edge_only_its_own_kinds_are_known(tmp_path: Path) -> None:
    async with running(tmp_path / "data", [relay]) as server:
        answer = await apply(server, SOURCE, store("tx-1"))

        assert (answer.status_code, answer.json()["document"]) == (422, 1)
