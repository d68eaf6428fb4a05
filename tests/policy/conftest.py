"""The server of the flow tests with no more services than these tests ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from services.catalog.app import build as catalog
from services.grouping.app import build as grouping
from services.inventory.app import build as inventory
from services.policy.app import build as policy
from tests.flow.conftest import running, store
from tests.policy.policy_words import LOTTERY, POS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.flow.conftest import Server


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with running(tmp_path / "data", (inventory, grouping, catalog, policy)) as made:
        yield made


@pytest.fixture
async def fleet(server: Server) -> Server:
    """Three stores in two states, a namespace and an application on all of them."""
    for name, state in (("tx-1", "tx"), ("tx-2", "tx"), ("ut-1", "ut")):
        assert (await server.declare(store(name, state=state))).status_code == 201
    await server.settled()
    answer = await server.client.post("/v1/documents", json={"documents": [POS, LOTTERY]})
    assert answer.status_code == 200, answer.text
    await server.settled()
    return server
