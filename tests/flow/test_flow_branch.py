"""The branch as people and machines may treat it: foreign commits, lost repositories, remotes, restarts."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from cli.embedded import SERVICES
from cli.verify_offline import verify_data_dir
from libs.contracts import ForeignCommitFound
from tests.flow.conftest import Server, running
from tests.support.journeys import application, ask, begin, choose, declare, publish, settled, store
from tests.support.waiting import eventually

GIT = ["git", "-c", "user.name=someone", "-c", "user.email=someone@localhost"]


def git(repository: Path, *arguments: str) -> str:
    return subprocess.run(
        [*GIT, "-C", str(repository), *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


def tip(repository: Path) -> str:
    """The branch's commit, or nothing."""
    command = ["git", "-C", str(repository), "rev-parse", "--verify", "-q", "main"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


async def failed_checks(data_dir: Path) -> list[dict[str, Any]]:
    checks = await asyncio.to_thread(verify_data_dir, data_dir, all_commits=True)
    return [each for each in checks if not each["ok"]]


def foreign_commit(repository: Path) -> str:
    """Commit something by hand on the branch, as a person with access to the directory could."""
    commit = git(repository, "commit-tree", "main^{tree}", "-p", "main", "-m", "by hand")
    git(repository, "update-ref", "refs/heads/main", commit)
    return commit


async def ready(server: Server) -> tuple[int, str]:
    answer = await server.client.get("/readyz", params={"verbose": ""})
    return answer.status_code, answer.text


async def test_a_foreign_commit_stops_writing_until_it_is_restored(tmp_path: Path) -> None:
    repository = tmp_path / "data" / "gitops.git"
    async with running(tmp_path / "data", SERVICES) as server:
        await begin(server)
        theirs = foreign_commit(repository)
        await declare(server, store("store-99", size="xl"))

        async def stopped() -> bool:
            return (await ready(server))[0] != 200

        await eventually(stopped)
        assert theirs in (await ready(server))[1]
        assert git(repository, "rev-parse", "main") == theirs
        assert (await ask(server, "GET", "/v1/stores/store-99"))["metadata"]["name"] == "store-99"

    async with running(tmp_path / "data", SERVICES) as server:
        await eventually(stopped_of(server))
        refused = await server.client.post("/v1/gitops:restore", json={})
        assert refused.status_code == 422
        await ask(server, "POST", "/v1/gitops:restore", json={"reason": "it was a drill"})
        commit = await settled(server)

        assert (await ready(server))[0] == 200
        assert git(repository, "rev-parse", "main") == commit
        assert git(repository, "rev-parse", "main^") == theirs
        assert "clusters/" in git(repository, "ls-tree", "-r", "--name-only", "main")
        found = [each for each in server.embedded.log.read_recorded(0) if isinstance(each.event, ForeignCommitFound)]
        assert len(found) == 1
        again = await server.client.post("/v1/gitops:restore", json={"reason": "once more"})
        assert again.json()["code"] == "nothing-to-restore"
        await choose_a_second_release(server)
        await settled(server)

    assert await failed_checks(tmp_path / "data") == []


def stopped_of(server: Server) -> Callable[[], Awaitable[bool]]:
    async def stopped() -> bool:
        return (await ready(server))[0] != 200

    return stopped


async def choose_a_second_release(server: Server) -> None:
    await publish(server, "2.0.0", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: pos-api}\ndata: {new: 'yes'}\n")
    await choose(server, "2.0.0")


async def test_a_deleted_branch_is_found_and_not_made_anew_by_stealth(tmp_path: Path) -> None:
    repository = tmp_path / "data" / "gitops.git"
    async with running(tmp_path / "data", SERVICES) as server:
        await begin(server)
        git(repository, "update-ref", "-d", "refs/heads/main")
        await declare(server, store("store-99"))

        await eventually(stopped_of(server))
        await ask(server, "POST", "/v1/gitops:restore", json={"reason": "somebody deleted it"})
        commit = await settled(server)

        assert git(repository, "rev-parse", "main") == commit
        assert (await ready(server))[0] == 200


async def test_a_lost_repository_is_made_again_with_the_same_commits(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    async with running(data_dir, SERVICES) as server:
        await begin(server)
        await choose_a_second_release(server)
        commit = await settled(server)
    history = git(data_dir / "gitops.git", "rev-list", "main")
    shutil.rmtree(data_dir / "gitops.git")

    async with running(data_dir, SERVICES) as server:
        assert await settled(server) == commit

    assert git(data_dir / "gitops.git", "rev-list", "main") == history
    assert git(data_dir / "gitops.git", "fsck", "--strict") == ""
    assert await failed_checks(data_dir) == []


def missing(snapshots: Path) -> None:
    shutil.rmtree(snapshots)


def damaged(snapshots: Path) -> None:
    file = snapshots / "rendering.snapshot"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def cut_short(snapshots: Path) -> None:
    file = snapshots / "rendering.snapshot"
    file.write_bytes(file.read_bytes()[:100])


@pytest.mark.parametrize("fate", [missing, damaged, cut_short])
async def test_a_snapshot_only_saves_time(fate: Callable[[Path], None], tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    async with running(data_dir, SERVICES) as server:
        commit = await begin(server)
    fate(data_dir / "snapshots")

    async with running(data_dir, SERVICES) as server:
        assert await settled(server) == commit
        await declare(server, store("store-00", size="xl"))
        assert await settled(server) != commit

    assert await failed_checks(data_dir) == []


async def test_a_remote_is_pushed_to_and_never_forced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remote = tmp_path / "remote.git"
    git(tmp_path, "init", "-q", "--bare", "-b", "main", str(remote))
    monkeypatch.setenv("RESEDGE_RENDERING_REMOTE", str(remote))
    async with running(tmp_path / "data", SERVICES) as server:
        commit = await begin(server)

        async def pushed() -> bool:
            return tip(remote) == commit

        await eventually(pushed)
        theirs = foreign_commit(remote)
        await declare(server, store("store-98"))
        await settled(server)

        async def told() -> bool:
            status = await ask(server, "GET", "/v1/rendering")
            return str(status["remote"]).startswith("not-fast-forward")

        await eventually(told)
        assert git(remote, "rev-parse", "main") == theirs


async def test_massive_removals_wait_for_somebody_to_confirm_exactly_them(server: Server) -> None:
    before = await begin(server, stores=4)
    await declare(server, application("/c/store-00"))
    assert await settled(server) == before

    hold = (await ask(server, "GET", "/v1/holds"))["items"][0]
    assert (hold["count"], hold["clusters_removed"]) == (3, 0)
    wrong = await server.client.post("/v1/holds/0123456789abcdef/confirm", json={})
    assert (wrong.status_code, wrong.json()["code"]) == (409, "no-such-hold")
    why = await ask(server, "GET", "/v1/clusters/store-01/why", params={"application": "pos-api"})
    assert [gate["gate"] for gate in why["gates"] if gate["gate"] == "fuse" and not gate["open"]] == ["fuse"]

    await ask(server, "POST", f"/v1/holds/{hold['id']}/confirm", json={"reason": "meant so"})
    assert await settled(server) != before
    assert (await ask(server, "GET", "/v1/holds"))["items"] == []


async def test_every_gate_has_a_reason_and_evidence_that_the_log_holds(server: Server) -> None:
    await begin(server)

    why: dict[str, Any] = await ask(server, "GET", "/v1/clusters/store-00/why", params={"application": "pos-api"})

    names = ["registered", "namespace", "application", "law", "capacity", "release", "values", "rendered"]
    names += ["approval", "freeze", "window", "settled", "fuse", "admitted"]
    assert [gate["gate"] for gate in why["gates"]] == names
    assert all(gate["reason"] and gate["open"] for gate in why["gates"])
    for gate in why["gates"]:
        cited = [each for each in gate["evidence"] if "position" in each]
        for each in cited:
            recorded = server.embedded.log.read_recorded(each["position"] - 1, 1)[0]
            assert recorded.at.isoformat() == each["time"]
        assert gate["since"] == max((each["time"] for each in cited), default=None)
    assert (why["admitted"], why["target"]) == ("1.0.0", "1.0.0")
