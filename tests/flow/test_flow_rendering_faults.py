"""Faults in the middle of a write: a full disk, a dead worker, a log that does not answer. The commit is the log's."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from cli.embedded import SERVICES
from cli.verify_offline import verify_data_dir
from libs.contracts.crash import at_crash_point
from services.rendering.deciding import reconciler
from tests.flow.conftest import Server, running
from tests.support.journeys import ask, begin, choose, declare, settled, store, told
from tests.support.waiting import eventually


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once: the tests need not wait for a disk to be emptied."""
    monkeypatch.setattr(reconciler, "_RETRY_SECONDS", 0.02)


def disk_full() -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


async def failed_checks(data_dir: Path) -> list[dict[str, Any]]:
    checks = await asyncio.to_thread(verify_data_dir, data_dir, all_commits=True)
    return [each for each in checks if not each["ok"]]


def second_namespace() -> list[dict[str, Any]]:
    """A namespace that comes to clusters that are in the tree already: Flux's directories change with it."""
    return [
        {"kind": "Namespace", "metadata": {"name": "menu"}, "spec": {"expression": "/c/*"}},
        {"kind": "Application", "metadata": {"name": "board"}, "spec": {"namespace": "menu"}},
    ]


async def bring_a_namespace(server: Server) -> None:
    await declare(server, *second_namespace())
    manifests = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: board}\ndata: {size: "${edge.labels.size:-none}"}\n'
    await ask(server, "PUT", "/v1/applications/board/releases/1.0.0", json={"manifests": manifests})
    await ask(server, "POST", "/v1/applications/board/release-choices:set", json={"version": "1.0.0"})


@pytest.mark.parametrize(
    "point", ["gittree.before-pack", "gittree.pack-fsynced", "gittree.ref-written", "rendering.moved"]
)
async def test_what_was_decided_before_the_disk_was_full_is_written_as_it_was_decided(
    point: str, tmp_path: Path
) -> None:
    data_dir = tmp_path / "data"
    async with running(data_dir, SERVICES) as server:
        before = await begin(server)
        with at_crash_point(point, disk_full):
            await bring_a_namespace(server)
            await eventually(told(server, "No space left"))
            late = await server.declare(store("store-00", size="xl"))
            assert late.status_code == 200
            await asyncio.sleep(0.1)  # it may try with the later change as well, or not
        assert await settled(server) != before
        assert (await server.client.get("/readyz")).status_code == 200

    assert await failed_checks(data_dir) == []


async def test_a_process_that_ends_with_a_full_disk_leaves_the_decision_to_the_next(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with at_crash_point("gittree.before-pack", lambda: None):
        async with running(data_dir, SERVICES) as server:
            before = await begin(server)
    async with running(data_dir, SERVICES) as server:
        with at_crash_point("gittree.before-pack", disk_full):
            await bring_a_namespace(server)
            await eventually(told(server, "No space left"))
            await server.declare(store("store-01", size="xl"))
            await asyncio.sleep(0.1)  # it may try with the later change as well, or not
            await server.embedded.stop()
            server.embedded.stop = _nothing  # type: ignore[method-assign]  # it has stopped already

    async with running(data_dir, SERVICES) as server:
        assert await settled(server) != before
    assert await failed_checks(data_dir) == []


async def _nothing() -> None:
    """The server has been stopped already."""


async def test_a_worker_that_is_killed_in_the_middle_costs_time_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESEDGE_RENDERING_WORKERS_FROM_CLUSTERS", "1")
    data_dir = tmp_path / "data"
    rows = "name,timezone\n" + "".join(f"store-{number:04d},America/Chicago\n" for number in range(1500))
    async with running(data_dir, SERVICES) as server:
        await begin(server)
        imported = await server.client.post("/v1/stores:import", content=rows, headers={"Content-Type": "text/csv"})
        assert imported.status_code == 200, imported.text
        await settled(server)
        rendering = next(
            each for service in server.embedded.services for each in service.consumers if each.name == "rendering"
        )
        workers = rendering._workers  # type: ignore[attr-defined]  # the service's own type is not known here
        assert workers is not None
        killed: list[int] = []

        def kill_one() -> None:
            if not killed:
                killed.append(workers.pids[0])
                os.kill(workers.pids[0], signal.SIGKILL)

        with at_crash_point("gittree.before-pack", kill_one):
            await bring_a_namespace(server)
            await settled(server)
        assert killed
        await choose(server, "1.0.0", "/c/store-0000")
        await settled(server)

    assert await failed_checks(data_dir) == []
