"""The embedded composition across restarts: snapshots save time and are never trusted; a directory has one process."""

from pathlib import Path

import pytest

from libs.runtime.embedded import Embedded
from libs.runtime.lock import DataDirInUse
from libs.runtime.settings import ProcessSettings
from services.inventory.app import build as inventory
from tests.flow.conftest import running, store


async def declare_some(data_dir: Path) -> None:
    async with running(data_dir, [inventory]) as server:
        for index in range(5):
            await server.declare(store(f"tx-{index}", size="large"))
        await server.settled()


async def names(data_dir: Path) -> list[str]:
    async with running(data_dir, [inventory]) as server:
        await server.settled()
        listed = await server.get("/v1/clusters", where="size = large")
        return [each["name"] for each in listed["items"]]


WANTED = [f"tx-{index}" for index in range(5)]


async def test_a_process_goes_on_from_its_snapshot(tmp_path: Path) -> None:
    await declare_some(tmp_path)
    assert (tmp_path / "snapshots" / "fleet.snapshot").exists()
    embedded = Embedded(tmp_path, [inventory])
    assert embedded.facts.position == 5
    async with embedded.running():
        assert len(embedded.facts.fleet.selection.everything) == 5
    assert await names(tmp_path) == WANTED


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "other-log", "gone"])
async def test_a_damaged_snapshot_is_ignored(tmp_path: Path, damage: str) -> None:
    await declare_some(tmp_path)
    path = tmp_path / "snapshots" / "fleet.snapshot"
    content = path.read_bytes()
    match damage:
        case "cut":
            path.write_bytes(content[: len(content) // 2])
        case "flip":
            path.write_bytes(content.replace(b"large", b"larke"))
        case "empty":
            path.write_bytes(b"")
        case "other-log":
            await declare_some(tmp_path / "other")
            path.write_bytes((tmp_path / "other" / "snapshots" / "fleet.snapshot").read_bytes())
        case _:
            path.unlink()
    assert await names(tmp_path) == WANTED


async def test_a_directory_has_one_process(tmp_path: Path) -> None:
    async with running(tmp_path, [inventory]):
        with pytest.raises(DataDirInUse, match="in use by process"):
            Embedded(tmp_path, [inventory])
    await declare_some(tmp_path)
    assert await names(tmp_path) == WANTED


def test_settings_come_from_the_environment_and_secrets_from_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "url").write_text("postgresql://secret\n")
    monkeypatch.setenv("RESEDGE_PORT", "9090")
    monkeypatch.setenv("RESEDGE_LOG_URL_FILE", str(tmp_path / "url"))
    settings = ProcessSettings()
    assert (settings.port, settings.log_url, settings.host) == (9090, "postgresql://secret", "127.0.0.1")
