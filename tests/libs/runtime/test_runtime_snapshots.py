"""Snapshots on a disk that refuses: the last one stays, no half one takes room, and it is tried again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from libs.runtime.snapshots import Snapshots
from services.inventory.app import build as inventory
from tests.flow.conftest import running, store
from tests.support.disks import small_disk
from tests.support.waiting import eventually


def test_a_snapshot_that_does_not_fit_leaves_the_last_one_and_nothing_else(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 2) as disk:
        snapshots = Snapshots(disk.path / "snapshots")
        snapshots.write("fleet", b"first")
        kept = (disk.path / "snapshots/fleet.snapshot").read_bytes()
        disk.fill()

        with pytest.raises(OSError, match="No space left"):
            snapshots.write("fleet", b"x" * 500_000)
        assert [path.name for path in (disk.path / "snapshots").iterdir()] == ["fleet.snapshot"]
        assert (disk.path / "snapshots/fleet.snapshot").read_bytes() == kept

        disk.make_read_only()
        with pytest.raises(OSError, match="Read-only file system"):
            snapshots.write("fleet", b"y")
        disk.make_writable()
        disk.free()
        snapshots.write("fleet", b"second")
        assert (disk.path / "snapshots/fleet.snapshot").read_bytes() != kept


async def test_a_snapshot_that_was_not_kept_is_tried_again_though_nothing_happens(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    with small_disk(data_dir / "snapshots", 1) as disk:
        async with running(data_dir, [inventory], snapshot_seconds=0.05) as server:
            disk.fill()
            await server.declare(store("tx-1"))
            await server.settled()
            await asyncio.sleep(0.2)  # some tries, all of which fail: nothing is kept meanwhile
            assert not list((data_dir / "snapshots").glob("*.snapshot"))
            disk.free()
            await eventually(lambda: list((data_dir / "snapshots").glob("*.snapshot")))
