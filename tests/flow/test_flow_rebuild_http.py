"""Rebuilds over HTTP, and a whole server whose views lie in PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from httpx2 import AsyncClient

from cli.embedded import SERVICES
from libs.bus import ViewConsumer
from libs.bus.alone import alone
from libs.bus.rebuild import rebuild, view_problems
from libs.bus.storage import checkpoints
from libs.runtime.embedded import Embedded
from libs.runtime.views_setup import set_up_views
from libs.runtime.wiring import Wiring
from tests.flow.conftest import Server
from tests.flow.conftest import store as document
from tests.support.children import child
from tests.support.postgres import Cluster, cluster
from tests.support.waiting import eventually

ROOT = Path(__file__).parents[2]


async def settled_rebuild(server: Server, name: str) -> dict[str, Any]:
    async def told() -> dict[str, Any]:
        found: dict[str, Any] = await server.get(f"/v1/projections/{name}")
        return found if found["state"] != "building" else {}

    settled: dict[str, Any] = await eventually(told)
    return settled


async def until_ready(server: Server, status: int) -> None:
    async def answers() -> bool:
        return (await server.client.get("/readyz")).status_code == status

    await eventually(answers, what=f"/readyz answers {status}")


async def test_a_rebuild_over_http_is_begun_and_told_of_until_it_is_live(quiet_server: Server) -> None:
    for number in range(30):
        assert (await quiet_server.declare(document(f"tx-{number}"))).status_code == 201
    client = quiet_server.client

    answer = await client.post("/v1/projections/inventory.documents:rebuild")

    assert answer.status_code == 202, answer.text
    assert answer.headers["Location"] == "/v1/projections/inventory.documents"
    assert answer.json()["generation"] == 1
    told = await settled_rebuild(quiet_server, "inventory.documents")
    assert told == {
        "projection": "inventory.documents",
        "state": "live",
        "generation": 1,
        "position": 30,
        "building": None,
        "head": 30,
        "detail": "",
    }
    listed = (await client.get("/v1/projections")).json()["items"]
    assert [each["projection"] for each in listed] == sorted(each["projection"] for each in listed)
    assert {"inventory.documents", "grouping.documents", "catalog.documents"} <= {each["projection"] for each in listed}
    assert len((await quiet_server.get("/v1/stores", limit=100))["items"]) == 30


async def test_an_unknown_projection_is_not_found_with_the_nearest(quiet_server: Server) -> None:
    for answer in (
        await quiet_server.client.post("/v1/projections/inventory.document:rebuild"),
        await quiet_server.client.get("/v1/projections/inventory.document"),
    ):
        assert answer.status_code == 404
        assert answer.json()["nearest"] == "inventory.documents"


async def test_a_second_rebuild_over_http_is_refused(quiet_server: Server) -> None:
    view = next(
        each
        for service in quiet_server.embedded.services
        for each in service.consumers
        if isinstance(each, ViewConsumer) and each.name == "inventory.documents"
    )
    async with alone(view.engine, view.name):
        answer = await quiet_server.client.post("/v1/projections/inventory.documents:rebuild")

    assert answer.status_code == 409
    assert answer.json()["code"] == "rebuild-running"


async def test_only_an_administrator_rebuilds(quiet_server: Server) -> None:
    token = quiet_server.embedded.tokens.issue("eve", frozenset({"viewer"}))
    async with quiet_server.client_for(token) as client:
        assert (await client.get("/v1/projections")).status_code == 200
        assert (await client.post("/v1/projections/inventory.documents:rebuild")).status_code == 403


async def test_a_view_that_has_stopped_goes_on_once_it_is_rebuilt(quiet_server: Server) -> None:
    """Here its checkpoint row is gone, which nobody but a rebuild can put right."""
    assert (await quiet_server.declare(document("tx-1"))).status_code == 201
    await quiet_server.settled()
    view = quiet_server.embedded.services[0].consumers[0]
    assert isinstance(view, ViewConsumer)
    async with view.engine.begin() as connection:
        await connection.execute(checkpoints.delete())
    await quiet_server.declare(document("tx-2"))
    await until_ready(quiet_server, 503)

    assert (await quiet_server.client.post(f"/v1/projections/{view.name}:rebuild")).status_code == 202

    await until_ready(quiet_server, 200)
    assert (await quiet_server.declare(document("tx-3"))).status_code == 201
    assert len((await quiet_server.get("/v1/stores"))["items"]) == 3
    assert await view_problems(view, quiet_server.embedded.log) == []


async def test_every_view_of_a_server_that_has_lived_equals_its_fold_before_and_after(server: Server) -> None:
    for number in range(10):
        await server.declare(document(f"tx-{number}"))
    await server.client.delete("/v1/stores/tx-3")
    await server.settled()
    views = [each for service in server.embedded.services for each in service.consumers]
    for view in views:
        if isinstance(view, ViewConsumer):
            assert await view_problems(view, server.embedded.log) == []
            await rebuild(view, server.embedded.log)
            assert await view_problems(view, server.embedded.log) == []


@pytest.fixture(scope="module")
def postgres() -> Iterator[Cluster]:
    with cluster() as running:
        yield running


@pytest.fixture
async def on_postgres(postgres: Cluster, tmp_path: Path) -> AsyncIterator[Server]:
    """Every service that `resedge up` runs, each with its own role on PostgreSQL."""
    names = [build.__module__.split(".")[1] for build in SERVICES]
    await set_up_views(postgres.admin_url(), dict.fromkeys(names, "secret"))
    url = f"postgresql+asyncpg://resedge_{{service}}:secret@127.0.0.1:{postgres.port}/postgres"
    embedded = Embedded(tmp_path / "data", SERVICES, wiring=Wiring(views_url=url))
    token = embedded.tokens.issue("admin", frozenset({"admin"}))
    async with embedded.running():
        made = Server(embedded, AsyncClient(), token)
        async with made.client_for(token) as client:
            made.client = client
            yield made


async def test_a_server_on_postgresql_answers_503_at_worst_while_it_is_restarted(
    on_postgres: Server, postgres: Cluster
) -> None:
    answers: set[int] = set()
    for number in range(20):
        assert (await on_postgres.declare(document(f"tx-{number}"))).status_code == 201
    await on_postgres.settled()
    restarting = asyncio.create_task(asyncio.to_thread(postgres.restart))
    number, left = 20, 30
    while left:
        answers.add((await on_postgres.client.get("/v1/stores", params={"limit": 5})).status_code)
        answers.add((await on_postgres.declare(document(f"tx-{number}"))).status_code)
        number += 1
        left -= restarting.done()
        await asyncio.sleep(0.01)  # a steady load, not a flood
    await restarting

    assert answers <= {200, 201, 503}
    await until_ready(on_postgres, 200)
    assert (await on_postgres.declare(document("tx-last"))).status_code == 201
    await on_postgres.settled()
    for service in on_postgres.embedded.services:
        for view in service.consumers:
            if isinstance(view, ViewConsumer):
                assert await view_problems(view, on_postgres.embedded.log) == []
                await rebuild(view, on_postgres.embedded.log)
                assert await view_problems(view, on_postgres.embedded.log) == []


def test_what_the_page_says_is_what_the_command_says(tmp_path: Path) -> None:
    """The first block of docs/how-to/rebuild-a-view.md, on a server that has just been started."""
    page = (ROOT / "docs/how-to/rebuild-a-view.md").read_text()
    said = page.partition("```console\n")[2].partition("```")[0]
    environment = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    environment |= {"XDG_CONFIG_HOME": str(tmp_path / "config"), "XDG_STATE_HOME": str(tmp_path / "state")}
    resedge = [sys.executable, "-m", "cli"]
    command = [*resedge, "up", "--port", "0", "--data-dir", "data"]
    with child(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE) as up:
        assert up.stdout is not None
        assert up.stdout.readline().startswith(b"resedge is up at")
        shown = ""
        for line in said.splitlines():
            if line.startswith("$ .venv/bin/resedge "):
                words = [*resedge, *line.split()[2:]]
                ran = subprocess.run(
                    words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True, timeout=60
                )
                shown += f"{line}\n{ran.stdout}"
        assert shown == said
        up.terminate()
        assert up.wait(timeout=20) == 0
