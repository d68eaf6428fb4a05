"""Disks that are full or read-only for a while, at each place that is written: everything goes on by itself.

The faults are real: the places lie on small disks that are filled, freed, made read-only and made writable again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from httpx2 import Response
from sqlalchemy import Pool
from sqlalchemy.util import greenlet_spawn

from cli.embedded import SERVICES
from services.rendering import consumer
from services.rendering.asking.verify import verify_branch
from services.rendering.deciding import reconciler
from tests.flow.conftest import Server, running
from tests.support.disks import SmallDisk, small_disk
from tests.support.journeys import MANIFEST, begin, choose, publish, settled, store, told
from tests.support.waiting import eventually

LONG = 1_000
"""Tries of `eventually` until whoever waits for a disk has looked again: 20 s."""
GOES_ON_SECONDS = 60.0

WHERE = {
    "log": "log",
    "views": "data/views",
    "snapshots": "data/snapshots",
    "packs": "data/gitops.git/objects",
    "ref": "data/gitops.git",
    "everything": "data",
}
"""Where a disk is mounted for what is written there."""


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again soon, and keep a snapshot after each commit."""
    monkeypatch.setattr(reconciler, "_RETRY_SECONDS", 0.05)
    monkeypatch.setattr(consumer, "SAVE_AGAIN_SECONDS", 0.05)
    monkeypatch.setenv("RESEDGE_RENDERING_SNAPSHOT_EVERY_EVENTS", "1")


@contextlib.contextmanager
def disk_for(place: str, root: Path) -> Iterator[SmallDisk]:
    """Mount the disk of a place; only what is meant lies on it."""
    with contextlib.ExitStack() as stack:
        disk = stack.enter_context(small_disk(root / WHERE[place], 24))
        if place == "ref":
            stack.enter_context(small_disk(root / WHERE["packs"], 24))
        yield disk


def log_url(place: str, root: Path) -> str:
    return f"sqlite:///{root / ('log' if place == 'log' else 'data')}/log.db"


@asynccontextmanager
async def serving(place: str, root: Path) -> AsyncIterator[Server]:
    (root / "data").mkdir(exist_ok=True)
    async with running(root / "data", SERVICES, log_url=log_url(place, root), snapshot_seconds=0.1) as server:
        server.embedded.log._appender._waits_seconds = (0.01, 0.05)
        yield server


async def ready(server: Server) -> bool:
    return (await server.client.get("/readyz")).status_code == 200


class Sent:
    """Changes that were sent while a disk failed; each is acknowledged in the end, or answered with what to do."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._answers: dict[str, asyncio.Task[Response]] = {}

    async def send(self, name: str) -> None:
        """Send a few changes, and give the fault time to strike; who has to wait is waited for later."""
        for number in range(3):
            document = store(f"{name}-{number}", size="xl")
            self._answers[f"{name}-{number}"] = asyncio.create_task(self._server.declare(document))
        await asyncio.sleep(0.4)  # whether the fault strikes meanwhile is chance, and whatever comes must be right

    async def acknowledged(self) -> set[str]:
        """Return what was acknowledged."""
        taken = set()
        for name, task in self._answers.items():
            answer = await task
            if answer.is_success:
                taken.add(name)
                continue
            assert answer.status_code in (503, 504), answer.text
            assert answer.json()["detail"]
            assert answer.json()["fix"]
        return taken


async def reopen(server: Server) -> list[Pool]:
    """Close what is open: on a disk that has become read-only nothing can be written any more, as with a remount.

    Returns the pools from before: what is in use goes back to them, and they are closed at the end (`close`).
    """
    retired = [engine.sync_engine.pool for engine in server.embedded._engines]
    for engine in server.embedded._engines:
        await engine.dispose()
    for log_engine in (server.embedded.log._read_engine, server.embedded.log._write_engine):
        log_engine.dispose()
    return retired


async def close(retired: list[Pool]) -> None:
    for pool in retired:
        await greenlet_spawn(pool.dispose)


async def goes_on(server: Server, sent: Sent) -> None:
    async with asyncio.timeout(GOES_ON_SECONDS):
        await _goes_on(server, sent)


async def _goes_on(server: Server, sent: Sent) -> None:
    """Everything is as if nothing had been: changes are taken, seen by all and rendered, and the log proves it."""

    async def taken() -> bool:
        return (await server.declare(store("after", size="s"))).is_success

    await eventually(taken, LONG)
    acknowledged = {"after"} | await sent.acknowledged()
    head = server.embedded.log.head().position

    async def all_there() -> bool:
        states = server.embedded._feed.states() if server.embedded._feed is not None else []
        return all(each.position >= head and each.stopped is None and each.failing is None for each in states)

    await eventually(all_there, LONG)
    commit = await settled(server)
    await publish(server, "2.0.0", MANIFEST + "  more: again\n")
    await choose(server, "2.0.0")
    assert await settled(server) != commit
    await eventually(lambda: ready(server), LONG)
    listed = (await server.client.get("/v1/stores", params={"limit": "1000"})).json()["items"]
    assert acknowledged <= {each["metadata"]["name"] for each in listed}
    answer = await server.client.post("/v1/rendering:verify", params={"all": "true"})
    assert answer.json()["ok"], answer.text


async def proves(place: str, root: Path) -> None:
    checks = await verify_branch(log_url(place, root), root / "data/gitops.git", every_commit=True)
    assert [each for each in checks if not each.ok] == []


@pytest.mark.parametrize("place", WHERE)
async def test_a_disk_that_is_full_for_a_while_stops_nothing_for_good(place: str, tmp_path: Path) -> None:
    with disk_for(place, tmp_path) as disk:
        async with serving(place, tmp_path) as server:
            await begin(server)
            disk.fill()
            sent = Sent(server)
            await sent.send("full")
            if place in ("views", "packs", "ref"):
                await eventually(told(server, "full" if place == "views" else "No space left"), LONG)
            disk.free()
            await goes_on(server, sent)
        await proves(place, tmp_path)


@pytest.mark.parametrize("place", WHERE)
async def test_a_disk_that_is_read_only_for_a_while_stops_nothing_for_good(place: str, tmp_path: Path) -> None:
    with disk_for(place, tmp_path) as disk:
        async with serving(place, tmp_path) as server:
            await begin(server)
            disk.fill()  # so that the log's file, which is open for writing, is given up
            sent = Sent(server)
            await sent.send("full")
            disk.make_read_only()
            retired = await reopen(server)
            disk.free()
            await sent.send("read-only")
            if place in ("views", "packs", "ref"):
                await eventually(told(server, "readonly" if place == "views" else "Read-only file system"), LONG)
            disk.make_writable()
            await goes_on(server, sent)
            await close(retired)
        await proves(place, tmp_path)


@pytest.mark.parametrize("place", ["log", "everything"])
async def test_a_caller_is_told_what_the_log_lacks_and_what_to_do(place: str, tmp_path: Path) -> None:
    with disk_for(place, tmp_path) as disk:
        async with serving(place, tmp_path) as server:
            await begin(server)
            head = server.embedded.log.head()
            disk.fill()
            full = (await server.declare(store("one"))).json()
            disk.make_read_only()
            disk.free()
            read_only = (await server.declare(store("two"))).json()
            assert server.embedded.log.head() == head
            disk.make_writable()
            await eventually(lambda: ready(server), LONG)

    assert (full["status"], full["code"]) == (503, "log-unavailable")
    assert full["detail"] == "the event log cannot be used now: its disk is full"
    assert full["fix"].startswith("free space on that disk (no restart is needed); then repeat")
    assert (read_only["status"], read_only["code"]) == (503, "log-unavailable")
    assert read_only["detail"] == "the event log cannot be used now: its disk is read-only"
    assert read_only["fix"].startswith("make that disk writable again")
