"""The whole fleet is made once: it takes a second or two."""

from typing import Any

import pytest

from cli.demo.catalog import demo_documents
from cli.demo.fleet import DemoFleet, make_fleet


@pytest.fixture(scope="session")
def fleet() -> DemoFleet:
    return make_fleet(60_000)


@pytest.fixture(scope="session")
def declared(fleet: DemoFleet) -> list[dict[str, Any]]:
    return demo_documents(fleet)
