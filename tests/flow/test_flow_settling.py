"""With the settings of the product: who moves a store in two requests loses nothing, and who waits, waits for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from cli.embedded import SERVICES
from tests.flow.conftest import Server, running
from tests.support.journeys import ask, begin, choose, declare, settled

SETTLE_SECONDS = 3.0


def group(path: str, *clusters: str) -> dict[str, Any]:
    return {"kind": "Group", "metadata": {"path": path}, "spec": {"clusters": list(clusters)}}


@pytest.fixture
async def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    monkeypatch.setenv("RESEDGE_RENDERING_REMOVALS_SETTLE_SECONDS", str(SETTLE_SECONDS))
    async with running(tmp_path / "data", SERVICES) as made:
        yield made


async def placed(server: Server, cluster: str) -> str | None:
    answer = await ask(server, "GET", f"/v1/clusters/{cluster}/why", params={"application": "pos-api"})
    version: str | None = answer["admitted"]
    return version


async def test_a_store_that_moves_between_groups_keeps_what_runs(server: Server) -> None:
    await begin(server, stores=4)
    await declare(server, group("/geo/a", "store-00", "store-01", "store-02"), group("/geo/b"))
    await choose(server, "1.0.0", "/g/geo/a or /g/geo/b")
    before = await settled(server)

    await declare(server, group("/geo/a", "store-01", "store-02"))
    blocked = await ask(server, "GET", "/v1/blocked")
    await declare(server, group("/geo/b", "store-00"))
    after = await settled(server)

    assert before == after
    assert await placed(server, "store-00") == "1.0.0"
    assert all(item["gate"] == "settled" for item in blocked["items"])


async def test_a_deleted_store_is_emptied_after_a_while_and_listed_until_its_grace_ends(server: Server) -> None:
    await begin(server, stores=4)
    before = await settled(server)
    await ask(server, "DELETE", "/v1/stores/store-03")
    late = await server.client.get("/v1/rendering:settled", params={"timeout_seconds": 0.5})
    assert (late.status_code, "1 removal must be wanted for a while first" in late.json()["detail"]) == (504, True)
    assert await settled(server) != before
    (item,) = (await ask(server, "GET", "/v1/retired-clusters"))["items"]
    assert (item["name"], item["placements"]) == ("store-03", 0)

    await ask(server, "DELETE", "/v1/retired-clusters/store-03", json={"reason": "it burned down"})
    await settled(server)
    assert (await ask(server, "GET", "/v1/retired-clusters"))["items"] == []
    gone = await server.client.delete("/v1/retired-clusters/store-03")
    assert gone.status_code == 404
