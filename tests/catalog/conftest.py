"""The server of the flow tests with no more services than these tests ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from httpx2 import AsyncClient

from libs.runtime.embedded import Embedded
from services.catalog.app import build as catalog
from services.grouping.app import build as grouping
from services.inventory.app import build as inventory
from tests.flow.conftest import Server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    embedded = Embedded(tmp_path / "data", (inventory, grouping, catalog))
    token = embedded.tokens.issue("admin", frozenset({"admin"}))
    async with embedded.running():
        made = Server(embedded, AsyncClient(), token)
        async with made.client_for(token) as client:
            made.client = client
            yield made
