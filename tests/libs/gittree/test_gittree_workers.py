"""Worker processes: the same objects as without them, and a dead one leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from libs.gittree import Family, IdSink, Mode, Repository, SlotColumn, WorkerDied, Workers, plain_family, tree_family
from tests.libs.gittree.gittree_words import git, left_over, manifests, packs, stores, write_fleet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    with Workers(2) as started:
        yield started


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository.create(tmp_path / "fleet.git")


async def test_workers_write_what_the_process_itself_would_write(workers: Workers, repository: Repository) -> None:
    names = stores(20_000)
    zones = SlotColumn([b"zone-%d" % number for number in range(3000)], np.arange(20_000, dtype=np.int32) % 3000)
    family = Family(
        "blob",
        (b"kind: ConfigMap\nmetadata: {name: %s %d}\ndata:\n  ", b": ", b"\n"),
        (SlotColumn(names), zones),
        20_000,
    )
    with repository.pack(workers) as sink:
        ids, others = await asyncio.gather(sink.write_async(family), sink.write_async(plain_family("blob", names)))
        folders = await sink.write_async(tree_family({"a": (Mode.FILE, ids), "b": (Mode.FILE, others)}, 20_000))
        root = sink.write(manifests(names[:30]))
        await sink.finish_async()

    assert (ids == IdSink().write(family)).all()
    assert (others == await IdSink().write_async(plain_family("blob", names))).all()
    assert len(packs(repository)) in (2, 3)  # one of this process and one of each worker that got a chunk
    assert repository.read_blob(folders[19_999].tobytes().hex(), "b") == names[-1]
    assert repository.read_blob(root[3].tobytes().hex())
    for pack in packs(repository):
        git(repository.path, "index-pack", "--strict", "--verify", str(pack))
    assert left_over(repository) == []


def test_repetitions_over_many_chunks_stand_once_a_pack(workers: Workers, repository: Repository) -> None:
    codes = np.arange(40_000, dtype=np.int32) % 96
    parts = (b"kind: ConfigMap\nmetadata: {name: a-name-of-some-length}\ndata: ", b"\n")
    family = Family("blob", parts, (SlotColumn(stores(96), codes),), 40_000)
    with repository.pack(workers) as sink:
        ids = sink.write(family)
        sink.finish()

    assert len(np.unique(ids, axis=0)) == 96
    for pack in packs(repository):
        git(repository.path, "index-pack", "--strict", "--verify", str(pack))
        assert len(git(repository.path, "show-index", data=pack.with_suffix(".idx").read_bytes()).splitlines()) == 96


async def test_the_event_loop_is_not_held_up(workers: Workers, repository: Repository) -> None:
    pauses: list[float] = []

    async def watch() -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.001)  # what is measured: how late the loop comes back
            pauses.append(time.perf_counter() - before)

    watching = asyncio.create_task(watch())
    names = stores(60_000)
    with repository.pack(workers) as sink:
        await asyncio.gather(*(sink.write_async(manifests(names, b"%d" % number)) for number in range(4)))
        await sink.finish_async()
    watching.cancel()

    assert np.median(pauses) < 0.02
    assert np.percentile(pauses, 95) < 0.1  # the cores may be busy with something else too


async def test_a_dead_worker_is_an_error_and_shows_nothing(repository: Repository) -> None:
    with Workers(2) as workers:
        with repository.pack(workers) as sink:
            ids = await sink.write_async(manifests(stores(10_000)))
            os.kill(workers.pids[0], signal.SIGKILL)
            again = (sink.write_async(manifests(stores(20_000), b"%d" % number)) for number in range(4))
            with pytest.raises(WorkerDied):
                await asyncio.gather(*again)
            with pytest.raises(WorkerDied):
                await sink.finish_async()
        assert packs(repository) == []
        assert left_over(repository) == []

        with repository.pack(workers) as sink:
            assert (await sink.write_async(manifests(stores(10_000))) == ids).all()
            await sink.finish_async()

    assert repository.read_blob(ids[9_999].tobytes().hex()).startswith(b"kind: ConfigMap")
    with pytest.raises(WorkerDied):
        workers.packs(repository.path)


async def test_a_sink_that_is_given_up_leaves_nothing(workers: Workers, repository: Repository) -> None:
    with pytest.raises(asyncio.TimeoutError), repository.pack(workers) as sink:
        async with asyncio.timeout(0.05):
            await asyncio.gather(*(sink.write_async(manifests(stores(60_000), b"%d" % n)) for n in range(20)))
    assert left_over(repository) == []

    with repository.pack(workers) as sink:
        root = write_fleet(sink, stores(3000))
        sink.finish()

    assert len(repository.read_tree(root, "clusters")) == 3000
    with pytest.raises(RuntimeError, match="finished"):
        sink.write(manifests(stores(1)))


def test_workers_end_with_their_owner() -> None:
    workers = Workers(1)
    (process,) = workers.pids
    workers.close()

    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_a_place_that_cannot_be_written_is_said(workers: Workers, tmp_path: Path) -> None:
    missing = tmp_path / "gone"
    with pytest.raises(WorkerDied, match="FileNotFoundError"):
        workers.packs(missing).write(manifests(stores(10)))
