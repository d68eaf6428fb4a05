"""A broker and a database server for all drills of a run; each drill has a log, topics and views of its own.

A drill may kill either; whatever one left behind, the next one finds both running.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.drills import SEED
from tests.support.kafka import Broker, kafka
from tests.support.postgres import Cluster, cluster
from tests.support.system import System

DRILL_SECONDS_MAX = 1_200


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Repeat each drill for the seeds FIRST:END that `scripts/drills` gives."""
    if seeds := os.environ.get("RESEDGE_DRILL_SEEDS"):
        first, _, end = seeds.partition(":")
        metafunc.parametrize("_seed", range(int(first), int(end)), indirect=True, ids="seed{}".format)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give a drill its own limit: it starts up to nine processes, and waits for what its faults delay."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(DRILL_SECONDS_MAX))


@pytest.fixture(autouse=True)
def _seed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if hasattr(request, "param"):
        monkeypatch.setenv(SEED, str(request.param))


@pytest.fixture(scope="session")
def _kafka() -> Iterator[Broker]:
    with kafka() as running:
        yield running


@pytest.fixture
def broker(_kafka: Broker) -> Broker:
    _kafka.ensure_running()
    return _kafka


@pytest.fixture(scope="session")
def _postgres() -> Iterator[Cluster]:
    with cluster() as running:
        yield running


@pytest.fixture
def postgres(_postgres: Cluster) -> Cluster:
    _postgres.ensure_running()
    return _postgres


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
