"""A repository that was lost, put back from a backup or whose branch went away: made again, or told; never wrong."""

from __future__ import annotations

import asyncio
import errno
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cli.embedded import SERVICES
from cli.verify_offline import verify_data_dir
from libs.contracts import ForeignCommitFound
from libs.contracts.crash import at_crash_point
from tests.flow.conftest import Server, running
from tests.support.journeys import MANIFEST, ask, begin, choose, declare, publish, settled, store, told
from tests.support.waiting import eventually

GIT = ["git", "-c", "user.name=someone", "-c", "user.email=someone@localhost"]


def git(repository: Path, *arguments: str) -> str:
    command = [*GIT, "-C", str(repository), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def push_by_hand(repository: Path, checkout: Path) -> str:
    """Clone, commit a file and push it, as a person would; return the commit."""
    subprocess.run([*GIT, "clone", "-q", str(repository), str(checkout)], check=True)
    (checkout / "by-hand.txt").write_text("quick fix\n")
    git(checkout, "add", "by-hand.txt")
    git(checkout, "commit", "-q", "-m", "Fix it by hand")
    git(checkout, "push", "-q", "origin", "HEAD:main")
    return git(checkout, "rev-parse", "HEAD")


async def failed_checks(data_dir: Path) -> list[dict[str, Any]]:
    checks = await asyncio.to_thread(verify_data_dir, data_dir, all_commits=True)
    return [each for each in checks if not each["ok"]]


async def restore(server: Server) -> str:
    await ask(server, "POST", "/v1/gitops:restore", json={"reason": "as it was"})
    commit = await settled(server)
    assert (await server.client.get("/readyz")).status_code == 200
    return commit


def foreign_events(server: Server) -> list[ForeignCommitFound]:
    return [each.event for each in server.embedded.log.read_recorded(0) if isinstance(each.event, ForeignCommitFound)]


async def test_a_pushed_commit_is_kept_below_what_is_restored_through_restarts_at_every_stage(tmp_path: Path) -> None:
    data_dir, repository = tmp_path / "data", tmp_path / "data" / "gitops.git"
    async with running(data_dir, SERVICES) as server:
        await begin(server)
        theirs = push_by_hand(repository, tmp_path / "checkout")
        await declare(server, store("store-00", size="xl"))
        await eventually(told(server, theirs))

    for size in ("l", "m"):
        async with running(data_dir, SERVICES) as server:
            await eventually(told(server, theirs))
            await declare(server, store("store-00", size=size))
            refused = await server.client.post("/v1/gitops:restore", json={"reason": ""})
            assert (refused.status_code, refused.json()["pointer"]) == (422, "/reason")
            late = await server.client.get("/v1/rendering:settled", params={"timeout_seconds": 0.2})
            assert (late.status_code, theirs in late.json()["detail"]) == (504, True)
    assert git(repository, "rev-parse", "main") == theirs

    async with running(data_dir, SERVICES) as server:
        await eventually(told(server, "branch main is at"))
        commit = await restore(server)
        assert len(foreign_events(server)) == 1
    assert git(repository, "rev-list", "main").split().index(theirs) > 0
    assert "by-hand.txt" not in git(repository, "ls-tree", "--name-only", "main")
    assert git(repository, "log", "-1", "--format=%s", theirs) == "Fix it by hand"

    async with running(data_dir, SERVICES) as server:
        assert await settled(server) == commit
        await declare(server, store("store-01", size="xs"))
        assert await settled(server) != commit
    assert await failed_checks(data_dir) == []


async def test_a_branch_that_was_deleted_while_nobody_looked_is_told_and_not_made_anew(tmp_path: Path) -> None:
    data_dir, repository = tmp_path / "data", tmp_path / "data" / "gitops.git"
    async with running(data_dir, SERVICES) as server:
        await begin(server)
    git(repository, "update-ref", "-d", "refs/heads/main")

    async with running(data_dir, SERVICES) as server:
        await eventually(told(server, "at nothing"))
        commit = await restore(server)
        assert [each.found for each in foreign_events(server)] == [""]

    assert git(repository, "rev-parse", "main") == commit
    assert git(repository, "fsck", "--strict", "--no-dangling") == ""
    assert await failed_checks(data_dir) == []


async def test_a_branch_that_was_moved_back_is_told_and_restored_on_top(tmp_path: Path) -> None:
    data_dir, repository = tmp_path / "data", tmp_path / "data" / "gitops.git"
    async with running(data_dir, SERVICES) as server:
        first = await begin(server)
        await declare(server, store("store-00", size="xl"))
        await settled(server)
        git(repository, "update-ref", "refs/heads/main", first)
        await declare(server, store("store-00", size="s"))
        await eventually(told(server, first))
        commit = await restore(server)
        await declare(server, store("store-00", size="m"))
        assert git(repository, "rev-parse", f"{commit}^") == first
        await settled(server)

    assert await failed_checks(data_dir) == []


async def test_a_repository_put_back_from_a_backup_gets_the_objects_that_it_lacks(tmp_path: Path) -> None:
    data_dir, repository, backup = tmp_path / "data", tmp_path / "data" / "gitops.git", tmp_path / "backup.git"
    async with running(data_dir, SERVICES) as server:
        first = await begin(server)
        shutil.copytree(repository, backup)
        await publish(server, "2.0.0", MANIFEST + "  new: lanes\n")
        await choose(server, "2.0.0")
        await settled(server)
    shutil.rmtree(repository)
    shutil.copytree(backup, repository)

    async with running(data_dir, SERVICES) as server:
        await eventually(told(server, first))
        await restore(server)

    assert git(repository, "fsck", "--strict", "--no-dangling") == ""
    assert "new: lanes" in git(repository, "grep", "-h", "lanes", "main")
    assert await failed_checks(data_dir) == []


async def test_making_a_lost_repository_again_may_be_cut_short_and_begun_again(tmp_path: Path) -> None:
    data_dir, repository = tmp_path / "data", tmp_path / "data" / "gitops.git"
    async with running(data_dir, SERVICES) as server:
        commit = await begin(server)
        for size in ("s", "m", "l"):
            await declare(server, store("store-00", size=size))
            commit = await settled(server)
    history = git(repository, "rev-list", "main")
    shutil.rmtree(repository)
    left = 2

    def disk_full() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, "No space left on device")

    with at_crash_point("gittree.before-pack", disk_full):
        async with running(data_dir, SERVICES) as server:
            await eventually(told(server, "No space left"))
    assert len(git(repository, "rev-list", "main").split()) == 2

    async with running(data_dir, SERVICES) as server:
        assert await settled(server) == commit
        assert foreign_events(server) == []
    assert git(repository, "rev-list", "main") == history
    assert await failed_checks(data_dir) == []


async def test_a_lost_repository_with_somebody_elses_commit_in_it_cannot_be_made_alike_and_says_so(
    tmp_path: Path,
) -> None:
    data_dir, repository = tmp_path / "data", tmp_path / "data" / "gitops.git"
    async with running(data_dir, SERVICES) as server:
        first = await begin(server)
        push_by_hand(repository, tmp_path / "checkout")
        await declare(server, store("store-00", size="xl"))
        await eventually(told(server, "branch main is at"))
        await restore(server)
        await publish(server, "2.0.0", MANIFEST + "  new: lanes\n")
        await choose(server, "2.0.0")
        last = await settled(server)
    shutil.rmtree(repository)

    async with running(data_dir, SERVICES) as server:
        await eventually(told(server, last))
        commit = await restore(server)

    assert git(repository, "rev-parse", f"{commit}^") == first
    assert git(repository, "fsck", "--strict", "--no-dangling") == ""
    assert "new: lanes" in git(repository, "grep", "-h", "lanes", "main")
    assert await failed_checks(data_dir) == []


async def test_snapshots_of_another_log_are_ignored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commit = ""
    for name in ("one", "other"):
        async with running(tmp_path / name, SERVICES) as server:
            await begin(server, stores=4 if name == "other" else 2)
            commit = await settled(server)
    shutil.rmtree(tmp_path / "other" / "snapshots")
    shutil.copytree(tmp_path / "one" / "snapshots", tmp_path / "other" / "snapshots")
    capsys.readouterr()

    async with running(tmp_path / "other", SERVICES) as server:
        assert await settled(server) == commit
        await declare(server, store("store-03", size="xl"))
        await settled(server)

    said = capsys.readouterr()
    assert "snapshot ignored" in said.out + said.err
    assert await failed_checks(tmp_path / "other") == []
