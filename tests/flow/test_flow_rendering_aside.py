"""A release whose body the log lost, in the running composition: the others go on, and every answer names the one."""

from __future__ import annotations

import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from cli.embedded import SERVICES
from libs.contracts import ReleasePublished
from services.rendering.target import aside
from tests.flow.conftest import Server, running
from tests.support.journeys import MANIFEST, ask, begin, choose, declare, publish, settled
from tests.support.waiting import eventually


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again soon: the tests need not wait for it."""
    monkeypatch.setattr(aside, "RETRY", timedelta(seconds=0.05))


def template_of(server: Server, version: str) -> str:
    events = [each.event for each in server.embedded.log.read_recorded(0)]
    return next(each.template for each in events if isinstance(each, ReleasePublished) and each.version == version)


def written(database: Path, statement: str, *values: Any) -> list[Any]:
    with sqlite3.connect(database) as connection:
        return connection.execute(statement, values).fetchall()


async def version_of(server: Server, name: str) -> str | None:
    why = await ask(server, "GET", "/v1/clusters/store-00/why", params={"application": name})
    version: str | None = why["admitted"]
    return version


async def begin_two(server: Server) -> None:
    await begin(server)
    await declare(
        server,
        {"kind": "Namespace", "metadata": {"name": "menu"}, "spec": {"expression": "/c/*"}},
        {"kind": "Application", "metadata": {"name": "board"}, "spec": {"namespace": "menu"}},
    )
    manifests = MANIFEST.replace("name: pos-api", "name: board")
    await ask(server, "PUT", "/v1/applications/board/releases/1.0.0", json={"manifests": manifests})


@pytest.mark.parametrize("damage", ["lost", "damaged"])
async def test_a_lost_body_is_set_aside_told_and_rendered_when_it_is_back(damage: str, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    async with running(data_dir, SERVICES) as server:
        await begin_two(server)
        await publish(server, "2.0.0", f"{MANIFEST}  more: x\n")
        (database,) = [each for each in data_dir.glob("*.db") if holds_blobs(each)]
        digest = template_of(server, "2.0.0")
        ((body,),) = written(database, "SELECT bytes FROM blobs WHERE digest = ?", digest)
        if damage == "lost":
            written(database, "DELETE FROM blobs WHERE digest = ?", digest)
        else:
            written(database, "UPDATE blobs SET bytes = ? WHERE digest = ?", b"{}", digest)
        await choose(server, "2.0.0")
        await ask(server, "POST", "/v1/applications/board/release-choices:set", json={"version": "1.0.0"})
        await settled(server)

        assert (await version_of(server, "pos-api"), await version_of(server, "board")) == ("1.0.0", "1.0.0")
        refusals = (await ask(server, "GET", "/v1/refusals"))["items"]
        assert [(each["application"], each["code"], each["count"]) for each in refusals] == [
            ("pos-api", "set-aside", 3)
        ]
        status = await ask(server, "GET", "/v1/rendering")
        assert (status["stopped"], status["trouble"], status["refused"]) == (None, None, 3)
        figures = (await server.client.get("/metrics")).text
        assert 'resedge_placements_refused{code="set-aside"} 3.0' in figures

        if damage == "lost":
            written(database, "INSERT INTO blobs (digest, bytes) VALUES (?, ?)", digest, body)
        else:
            written(database, "UPDATE blobs SET bytes = ? WHERE digest = ?", body, digest)

        async def repaired() -> bool:
            return await version_of(server, "pos-api") == "2.0.0"

        await eventually(repaired)
        assert not (await ask(server, "GET", "/v1/refusals"))["items"]


def holds_blobs(path: Path) -> bool:
    return bool(written(path, "SELECT 1 FROM sqlite_master WHERE name = 'blobs'"))
