"""Every projection and every model ends the same, whatever the feed does: duplicates, holes, disorder, restarts."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from libs.bus import view_engine
from libs.commands.documents import DocumentsView, documents
from libs.commands.kinds import DeclaredKind
from libs.eventlog import EventLog
from libs.fleet import FleetModel
from libs.fleet.snapshots import dump_fleet
from services.catalog.api import APPLICATION, CONFIGURATION, NAMESPACE
from services.catalog.choosing import CHOICES
from services.grouping.api import GROUP
from services.inventory.api import STORE
from services.rendering.consumer import Rendering
from services.rendering.settings import RenderingSettings
from tests.support.admitting import run
from tests.support.feeds import in_chaos, in_order
from tests.support.postgres import Cluster, cluster

KINDS: dict[str, list[DeclaredKind[Any, Any]]] = {
    "inventory": [STORE],
    "grouping": [GROUP],
    "catalog": [NAMESPACE, APPLICATION, CONFIGURATION, CHOICES],
}


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of a server that has lived: stores, an application, two releases, two commits."""
    import asyncio  # noqa: PLC0415 - a fixture outside the tests' event loop

    data_dir = tmp_path_factory.mktemp("lived") / "data"
    for what in ("begin", "move"):
        asyncio.run(run(data_dir, what))
    return data_dir


@pytest.fixture
def log(lived: Path, tmp_path: Path) -> Iterator[EventLog]:
    shutil.copytree(lived, tmp_path / "data")
    opened = EventLog.open(f"sqlite:///{tmp_path / 'data' / 'log.db'}", clock=lambda: datetime.now(UTC))
    yield opened
    opened.close()


async def rows_of(view: DocumentsView) -> list[tuple[Any, ...]]:
    async with view.engine.connect() as connection:
        found = await connection.execute(select(documents).order_by(documents.c.kind, documents.c.name))
        return [tuple(row) for row in found]


@pytest.fixture(scope="module")
def postgres() -> Iterator[Cluster]:
    with cluster() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path / 'chaotic'}.db"
    server: Cluster = request.getfixturevalue("postgres")
    return server.new_views()


@pytest.mark.parametrize("service", sorted(KINDS))
@pytest.mark.parametrize("seed", range(3))
async def test_a_service_s_documents_survive_chaos(
    service: str, seed: int, log: EventLog, url: str, tmp_path: Path
) -> None:
    orderly, chaotic = view_engine(f"sqlite+aiosqlite:///{tmp_path / 'orderly'}.db"), view_engine(url)
    expected = await rows_of(await in_order(log, DocumentsView(service, log, orderly, KINDS[service])))

    view = await in_chaos(log, lambda: DocumentsView(service, log, chaotic, KINDS[service]), seed)

    assert await rows_of(view) == expected
    assert expected or service == "grouping"
    for engine in (orderly, chaotic):
        await engine.dispose()


@pytest.mark.parametrize("seed", range(5))
async def test_the_fleet_survives_chaos_and_snapshots(seed: int, log: EventLog) -> None:
    kept: list[bytes] = []

    def make() -> FleetModel:
        model = FleetModel(log)
        if kept:
            assert model.restore(kept[-1])
        return model

    half = make()
    await half.handle(log.read_recorded(0, log.head().position // 2))
    kept.append(half.snapshot())
    orderly = await in_order(log, FleetModel(log))

    model = await in_chaos(log, make, seed)

    assert dump_fleet(model.fleet) == dump_fleet(orderly.fleet)


@pytest.mark.parametrize("seed", range(3))
async def test_rendering_survives_chaos(seed: int, log: EventLog, tmp_path: Path) -> None:
    """It folds whatever comes and ends at the commit that the log recorded; it decides nothing by itself here."""
    rendering: list[Rendering] = []

    def make() -> Rendering:
        rendering.append(
            Rendering(log, tmp_path / "data", RenderingSettings(), lambda: datetime.now(UTC), lambda: 0.0, "test")
        )
        return rendering[-1]

    last = await in_chaos(log, make, seed)

    model = last.model
    assert model.parent
    assert model.size == 20
    assert model.placements.admitted_count() == 20
    before = log.head().position
    await last.begin()
    await last.reconciler.settled(before)
    await last.end()
    assert log.head().position == before
