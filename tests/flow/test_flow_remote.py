"""The remote that stores pull from: pushed to at the first start, retried while it fails, and how it stands is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.embedded import SERVICES
from tests.cli.cli_machine import Machine
from tests.flow.conftest import Server, running
from tests.flow.test_flow_branch import foreign_commit, git, tip
from tests.support.journeys import ask, begin, declare, settled, store
from tests.support.waiting import eventually, until

Told = dict[str, Any]


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The place of a remote that does not exist yet, which rendering pushes to."""
    monkeypatch.setenv("RESEDGE_RENDERING_REMOTE", str(tmp_path / "remote.git"))
    monkeypatch.setenv("RESEDGE_RENDERING_PUSH_RETRY_SECONDS", "0.1")
    monkeypatch.setenv("RESEDGE_RENDERING_PUSH_RETRY_SECONDS_MAX", "0.2")
    return tmp_path / "remote.git"


def made(remote: Path) -> None:
    git(remote.parent, "init", "-q", "--bare", "-b", "main", str(remote))


async def told(server: Server) -> Told:
    [item] = (await ask(server, "GET", "/v1/remotes"))["items"]
    return dict(item)


async def until_told(server: Server, fits: Callable[[Told], bool]) -> Told:
    async def item() -> Told | None:
        found = await told(server)
        return found if fits(found) else None

    found = await eventually(item)
    assert isinstance(found, dict)
    return found


async def figure(server: Server, name: str) -> float:
    lines = (await server.client.get("/metrics")).text.splitlines()
    return float(next(line for line in lines if line.startswith(f"{name} ")).split()[-1])


async def check_of(server: Server, path: str, **params: str) -> tuple[int, Told]:
    method = "POST" if path.endswith("verify") else "GET"
    answer = await server.client.request(method, path, params=params)
    [check] = [each for each in answer.json()["checks"] if each["check"] == "remote"]
    return answer.status_code, check


async def test_a_fleet_that_exists_is_pushed_to_a_remote_that_is_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, remote: Path
) -> None:
    made(remote)
    with monkeypatch.context() as patch:
        patch.delenv("RESEDGE_RENDERING_REMOTE")
        async with running(tmp_path / "data", SERVICES) as server:
            commit = await begin(server)
            assert (await ask(server, "GET", "/v1/remotes"))["items"] == []
            checks = (await server.client.get("/readyz", params={"verbose": ""})).json()["checks"]
            assert "remote" not in {each["check"] for each in checks}
    assert tip(remote) == ""

    async with running(tmp_path / "data", SERVICES) as server:
        await eventually(lambda: tip(remote) == commit)
        item = await until_told(server, lambda item: item["state"] == "up-to-date")
        assert (item["behind"], item["failures"], item["pushed"]) == (0, 0, commit)


async def test_a_failing_push_is_told_everywhere_and_tried_again_without_another_commit(
    tmp_path: Path, remote: Path
) -> None:
    async with running(tmp_path / "data", SERVICES) as server:
        commit = await begin(server)
        item = await until_told(server, lambda item: item["failures"] > 2)

        assert item["state"] == "failed"
        assert item["failing_since"]
        assert item["next_try_at"]
        assert "remote.git" in item["reason"]
        status, check = await check_of(server, "/readyz", verbose="")
        assert (status, check["ok"]) == (200, False)
        assert "remote.git" in check["detail"]
        assert not (await check_of(server, "/v1/rendering:verify"))[1]["ok"]
        assert (await ask(server, "GET", "/v1/rendering:settled"))["remote"]["failures"] > 0
        assert await figure(server, "resedge_remote_push_failing") == 1
        assert await figure(server, "resedge_remote_behind_seconds") > 0

        made(remote)
        await eventually(lambda: tip(remote) == commit)
        item = await until_told(server, lambda item: item["state"] == "up-to-date")
        assert (item["failing_since"], item["next_try_at"], item["reason"], item["fix"]) == (None,) * 4
        status, check = await check_of(server, "/readyz", verbose="")
        assert (status, check["ok"]) == (200, True)
        assert (await check_of(server, "/v1/rendering:verify"))[1]["ok"]
        assert await figure(server, "resedge_remote_push_failing") == 0
        assert await figure(server, "resedge_remote_behind_seconds") == 0
        assert await figure(server, "resedge_remote_behind_commits") == 0


async def test_a_remote_with_the_commit_of_somebody_else_says_how_far_it_is_behind_and_goes_on_once_it_is_put_back(
    tmp_path: Path, remote: Path
) -> None:
    made(remote)
    async with running(tmp_path / "data", SERVICES) as server:
        commit = await begin(server)
        await eventually(lambda: tip(remote) == commit)
        await until_told(server, lambda item: item["behind"] == 0)
        theirs = foreign_commit(remote)
        for name in ("store-97", "store-98"):
            await declare(server, store(name))
            await settled(server)

        item = await until_told(server, lambda item: item["state"] == "not-fast-forward" and item["behind"] == 2)
        assert "set its branch main back" in item["fix"]
        assert tip(remote) == theirs
        check = (await check_of(server, "/v1/rendering:verify"))[1]
        assert not check["ok"]
        assert theirs in check["detail"]

        git(remote, "update-ref", "refs/heads/main", commit)
        item = await until_told(server, lambda item: item["state"] == "up-to-date")
        assert tip(remote) == item["commit"] != commit


async def test_a_remote_that_is_set_back_is_found_by_verify_and_pushed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, remote: Path
) -> None:
    made(remote)
    monkeypatch.setenv("RESEDGE_RENDERING_PUSH_CHECK_SECONDS", "1")
    async with running(tmp_path / "data", SERVICES) as server:
        first = await begin(server)
        await declare(server, store("store-96"))
        newest = await settled(server)
        await eventually(lambda: tip(remote) == newest)
        git(remote, "update-ref", "refs/heads/main", first)
        await eventually(lambda: tip(remote) == newest)


async def test_a_commit_that_the_log_did_not_admit_is_never_pushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, remote: Path
) -> None:
    monkeypatch.setenv("RESEDGE_RENDERING_PUSH_CHECK_SECONDS", "1")
    async with running(tmp_path / "data", SERVICES) as server:
        commit = await begin(server)
        foreign_commit(tmp_path / "data" / "gitops.git")
        made(remote)
        await eventually(lambda: tip(remote) == commit)
        await until_told(server, lambda item: item["state"] == "up-to-date")
        assert tip(remote) == commit


async def test_no_place_that_tells_of_the_remote_tells_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, remote: Path
) -> None:
    assert remote.name
    monkeypatch.setenv("RESEDGE_RENDERING_REMOTE", "https://robot:s3cret@127.0.0.1:1/fleet.git")
    async with running(tmp_path / "data", SERVICES) as server:
        await begin(server)
        item = await until_told(server, lambda item: item["failures"] > 0)
        assert item["name"] == "https://127.0.0.1:1/fleet.git"
        answers = [await server.client.get(path) for path in ("/v1/rendering", "/v1/remotes", "/readyz?verbose")]
        answers += [await server.client.post("/v1/rendering:verify")]
        assert [answer.text for answer in answers if "s3cret" in answer.text] == []


def test_the_command_warns_where_stores_do_not_get_what_was_rendered(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.environment["RESEDGE_RENDERING_REMOTE"] = str(tmp_path / "remote.git")
    with machine.up():
        machine.ok("apply", "-f", "-", stdin="kind: Store\nmetadata: {name: tx-1}\nspec: {timezone: UTC}\n")
        machine.ok("wait", "--for=rendered")
        until(lambda: "failed" in machine.ok("get", "remote"))
        waited = machine.resedge("wait", "--for=rendered")
        assert (waited.code, "the push fails" in waited.err, "warning" in waited.out) == (0, True, False)
        assert "remote.git" in machine.ok("get", "remote", "-o", "wide")
        verified = machine.resedge("verify")
        assert (verified.code, "remote" in verified.out) == (1, True)
