"""The whole fleet is made once: it takes a second or two."""

from typing import Any

import pytest

from cli.demo.catalog import documents
from cli.demo.fleet import Fleet, make_fleet


@pytest.fixture(scope="session")
def fleet() -> Fleet:
    return make_fleet(60_000)


@pytest.fixture(scope="session")
def declared(fleet: Fleet) -> list[dict[str, Any]]:
    return documents(fleet)
