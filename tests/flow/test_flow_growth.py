"""A fleet that grows after its first admission, on a whole server: verified, replayed, and started again each way."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

from cli.embedded import SERVICES
from cli.replaying import log_place_of, opened_log, rebuilt_branch
from tests.flow.conftest import Server, running
from tests.support.journeys import application, ask, choose, declare, publish, settled

SIZES = (70, 500)
"""Stores that come at once: past the 64th cluster, past many growths."""


async def load(server: Server, prefix: str, count: int) -> None:
    content = "".join(["name,timezone\n", *(f"{prefix}-{number},America/Chicago\n" for number in range(count))])
    answer = await server.client.post("/v1/stores:import", content=content, headers={"Content-Type": "text/csv"})
    assert answer.status_code == 200, answer.text


async def verified(server: Server) -> None:
    """Verify every commit in a process of its own, as `resedge verify --all` asks for."""
    answer: dict[str, Any] = await ask(server, "POST", "/v1/rendering:verify", params={"all": "true"})
    assert [each for each in answer["checks"] if not each["ok"]] == []
    assert answer["ok"]


def replayed(data_dir: Path, to: Path) -> str:
    """Replay the branch as of the log's head, and return its commit."""
    with opened_log(f"sqlite:///{data_dir / 'log.db'}") as log:
        return rebuilt_branch(log, log_place_of(log, str(log.head().position)), to).commit


async def begins_again(data_dir: Path, commit: str) -> None:
    """Start the server, and hold that it is ready, has settled, and left the branch where it was."""
    async with running(data_dir, SERVICES) as server:
        assert await settled(server) == commit
        await server.settled()
        ready = await server.client.get("/readyz")
        assert ready.status_code == 200, ready.text
        status = await ask(server, "GET", "/v1/rendering")
        assert status["commit"] == commit


@pytest.mark.parametrize("count", SIZES)
async def test_stores_that_nothing_selects_come_after_the_first_admission(tmp_path: Path, count: int) -> None:
    data_dir = tmp_path / "data"
    async with running(data_dir, SERVICES) as server:
        await load(server, "a", 1)
        namespace = {"kind": "Namespace", "metadata": {"name": "pos"}, "spec": {"expression": "/c/a-0"}}
        await declare(server, namespace, application())
        await publish(server, "1.0.0")
        await choose(server, "1.0.0")
        first = await settled(server)
        await verified(server)

        await load(server, "b", count)
        commit = await settled(server)
        assert commit != first  # the new clusters are registered
        await verified(server)
        assert await asyncio.to_thread(replayed, data_dir, tmp_path / "branch.git") == commit
    assert (data_dir / "snapshots").is_dir()

    shutil.rmtree(data_dir / "snapshots")
    await begins_again(data_dir, commit)
    assert (data_dir / "snapshots").is_dir()
    await begins_again(data_dir, commit)
