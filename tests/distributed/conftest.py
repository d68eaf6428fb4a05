"""A broker and a database server for all drills of a file; each drill has a log, topics and views of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.kafka import Broker, kafka
from tests.support.postgres import Cluster, cluster
from tests.support.system import System


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with kafka() as running:
        yield running


@pytest.fixture(scope="module")
def postgres() -> Iterator[Cluster]:
    with cluster() as running:
        yield running


@pytest.fixture
def make_system(broker: Broker, postgres: Cluster, tmp_path: Path) -> Iterator[Callable[..., System]]:
    made: list[System] = []

    def make(**environment: Any) -> System:
        made.append(System(broker, postgres, tmp_path / f"system{len(made)}", environment))
        return made[-1]

    yield make
    for system in made:
        system.__exit__()


@pytest.fixture
def system(make_system: Callable[..., System]) -> System:
    return make_system()
