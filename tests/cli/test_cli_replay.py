"""`replay`: views and the Git tree as they were, from the log alone, while nothing else changes."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cli.embedded import SERVICES
from cli.replaying import FLEET_DOCUMENTS, VIEWS
from libs.bus import ViewConsumer
from libs.contracts import StoreDeclared, encode, type_name
from libs.eventlog import EventLog, NewEvent, Submission
from libs.runtime.embedded import Embedded
from tests.flow.conftest import Server, running
from tests.support import journeys
from tests.support.postgres import cluster
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.cli.cli_server import FakeServer
    from tests.cli.conftest import Resedge


def git(repository: Path, *words: str, **more: Any) -> str:
    command = ["git", "-C", str(repository), "-c", "user.name=t", "-c", "user.email=t@t", *words]
    said: str = subprocess.run(command, check=True, capture_output=True, text=True, **more).stdout
    return said.strip()


async def _live(data_dir: Path) -> list[str]:
    """Three stores, two releases, a store that goes, and a commit of somebody else's on which writing was restored."""
    async with running(data_dir, SERVICES) as server:
        await journeys.begin(server)
        await journeys.publish(server, "2.0.0")
        await journeys.choose(server, "2.0.0", "/c/store-01")
        await journeys.settled(server)
        await journeys.declare(
            server, {"kind": "Group", "metadata": {"path": "/geo/us"}, "spec": {"stores": ["store-02"]}}
        )
        mine = await journeys.settled(server)
        await _somebody_else(server, data_dir / "gitops.git", mine)
        await journeys.declare(server, journeys.store("store-03"))
        await journeys.settled(server)
        await journeys.ask(server, "DELETE", "/v1/stores/store-02")
        await journeys.settled(server)
    return git(data_dir / "gitops.git", "rev-list", "main").splitlines()


async def _somebody_else(server: Server, repository: Path, tip: str) -> None:
    foreign = git(repository, "commit-tree", f"{tip}^{{tree}}", "-p", tip, "-m", "by hand")
    git(repository, "update-ref", "refs/heads/main", foreign)
    await journeys.declare(server, journeys.store("store-00", size="large"))

    async def noticed() -> bool:
        return not (await server.client.get("/readyz")).is_success

    await eventually(noticed)
    await journeys.ask(server, "POST", "/v1/gitops:restore", json={"reason": "by hand, but right"})
    await journeys.settled(server)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A data directory, and the commits of its branch, the newest first."""
    data_dir = tmp_path_factory.mktemp("replay") / "data"
    return data_dir, asyncio.run(_live(data_dir))


def audit(resedge: Resedge, data_dir: Path, *words: str) -> list[dict[str, Any]]:
    ran = resedge("replay", "--data-dir", str(data_dir), "-o", "jsonl", *words)
    assert ran.code == 0, ran.err
    return [json.loads(line) for line in ran.out.splitlines()]


def events_of(data_dir: Path, *types: str) -> list[Any]:
    log = EventLog.read_only(f"sqlite:///{data_dir / 'log.db'}", clock=lambda: datetime.now(UTC))
    try:
        return [event for event in log.read_recorded(0, 1_000) if not types or type(event.event).__name__ in types]
    finally:
        log.close()


def footprint(data_dir: Path) -> dict[str, str]:
    return {
        str(path.relative_to(data_dir)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in data_dir.rglob("*")
    }


def test_the_branch_has_the_same_commits_at_every_position(
    resedge: Resedge, server: FakeServer, lived: tuple[Path, list[str]], tmp_path: Path
) -> None:
    data_dir, commits = lived
    before = footprint(data_dir)
    written = events_of(data_dir, "AdmissionWritten")
    assert len({each.event.commit for each in written}) >= 5
    for each in written:
        target = tmp_path / f"{each.position}.git"
        ran = resedge("replay", "--as-of", str(each.position), "--data-dir", str(data_dir), "--gitops", str(target))

        assert ran.code == 0, ran.err
        assert git(target, "rev-parse", "main") == each.event.commit
        assert git(target, "rev-parse", "main^{tree}") == git(
            data_dir / "gitops.git", "rev-parse", f"{each.event.commit}^{{tree}}"
        )
        assert set(git(target, "rev-list", "main").splitlines()) <= set(commits)
        assert git(target, "fsck", "--strict", "--full", "--no-dangling") == ""
    assert server.asked == []
    assert footprint(data_dir) == before


def test_a_decision_counts_before_its_commit_is_recorded(
    resedge: Resedge, lived: tuple[Path, list[str]], tmp_path: Path
) -> None:
    data_dir, _ = lived
    decided = events_of(data_dir, "AdmissionDecided")[2]
    written = next(e for e in events_of(data_dir, "AdmissionWritten") if e.event.decision == decided.event.decision)
    for position, commit in ((decided.position, written.event.commit), (decided.position - 1, decided.event.parent)):
        target = tmp_path / f"{position}.git"
        resedge("replay", "--as-of", str(position), "--data-dir", str(data_dir), "--gitops", str(target))
        assert git(target, "rev-parse", "main") == commit


def test_commits_of_others_are_where_history_is_cut(
    resedge: Resedge, lived: tuple[Path, list[str]], tmp_path: Path
) -> None:
    data_dir, commits = lived
    found = events_of(data_dir, "ForeignCommitFound")[0]
    head = events_of(data_dir)[-1].position
    target = tmp_path / "all.git"
    ran = resedge("replay", "--as-of", str(head), "--data-dir", str(data_dir), "--gitops", str(target))

    assert "history is cut" in ran.err
    assert git(target, "rev-list", "main").splitlines() == commits[: commits.index(found.event.found)]

    while_foreign = tmp_path / "foreign.git"
    ran = resedge("replay", "--as-of", str(found.position), "--data-dir", str(data_dir), "--gitops", str(while_foreign))
    assert f"the branch was at {found.event.found}" in ran.err
    assert git(while_foreign, "rev-parse", "main") == found.event.expected


def test_before_the_first_commit_there_is_an_empty_branch(
    resedge: Resedge, lived: tuple[Path, list[str]], tmp_path: Path
) -> None:
    ran = resedge("replay", "--as-of", "1", "--data-dir", str(lived[0]), "--gitops", str(tmp_path / "a.git"))

    assert (ran.code, "no commit yet" in ran.err) == (0, True)
    assert git(tmp_path / "a.git", "for-each-ref") == ""


def test_the_fleet_is_as_it_was(resedge: Resedge, lived: tuple[Path, list[str]]) -> None:
    data_dir, _ = lived
    names = [
        [item["metadata"]["name"] for item in audit(resedge, data_dir, "--as-of", str(at), "--view", "stores")]
        for at in (1, events_of(data_dir)[-1].position)
    ]

    assert names[0] == ["store-00"]
    assert names[1] == ["store-00", "store-01", "store-03"]
    removed = events_of(data_dir, "StoreRemoved")[0].position
    for at, stores in ((removed - 1, ["store-02"]), (removed, None)):
        groups = audit(resedge, data_dir, "--as-of", str(at), "--view", "groups")
        assert groups[0]["spec"].get("stores") == stores
    choices = audit(resedge, data_dir, "--as-of", str(removed), "--view", "release-choices")
    assert [(each["application"], each["order"], each["version"]) for each in choices] == [
        ("pos-api", 1, "1.0.0"),
        ("pos-api", 2, "2.0.0"),
    ]
    releases = audit(resedge, data_dir, "--as-of", str(removed), "--view", "releases")
    assert [each["version"] for each in releases] == ["1.0.0", "2.0.0"]
    assert releases[0]["published_by"] == "admin"


def test_a_time_means_what_was_recorded_by_then(resedge: Resedge, lived: tuple[Path, list[str]]) -> None:
    data_dir, _ = lived
    events = events_of(data_dir)
    second = events[1]
    last = max(each.position for each in events if each.at <= second.at)  # what came with it was recorded with it
    ran = resedge("replay", "--as-of", second.at.isoformat(), "--data-dir", str(data_dir), "--view", "audit.trail")

    assert f"as of position {last}," in ran.err
    assert [line.split()[1] for line in ran.out.splitlines()[1 : last + 1]] == [str(at + 1) for at in range(last)]
    assert "as of position" in resedge("replay", "--as-of", "2999-01-01T00:00:00Z", "--data-dir", str(data_dir)).err


def test_every_view_of_every_service_can_be_replayed(
    resedge: Resedge, lived: tuple[Path, list[str]], tmp_path: Path
) -> None:
    embedded = Embedded(tmp_path / "data", SERVICES)
    consumers = [each for service in embedded.services for each in service.consumers if isinstance(each, ViewConsumer)]
    asyncio.run(embedded.stop())
    assert {each.name for each in consumers} <= set(VIEWS)
    assert {kind.plural for service in embedded.services for kind in service.kinds} <= set(FLEET_DOCUMENTS)

    listed = {item["view"]: item["items"] for item in audit(resedge, lived[0], "--as-of", "8")}
    assert listed["stores"] == 3
    assert set(VIEWS) | set(FLEET_DOCUMENTS) < set(listed)
    for name in (*VIEWS, *FLEET_DOCUMENTS):
        assert len(audit(resedge, lived[0], "--as-of", "8", "--view", name)) == listed[name], name


def test_what_is_replayed_is_what_the_live_view_holds(resedge: Resedge, lived: tuple[Path, list[str]]) -> None:
    data_dir, _ = lived

    async def live() -> dict[str, list[Any]]:
        copy = data_dir.with_name("copy")
        shutil.copytree(data_dir, copy)
        async with running(copy, SERVICES) as server:
            return {name: (await server.get(f"/v1/{name}"))["items"] for name in ("stores", "groups", "applications")}

    head = events_of(data_dir)[-1].position
    for name, items in asyncio.run(live()).items():
        assert audit(resedge, data_dir, "--as-of", str(head), "--view", name) == items


@pytest.mark.parametrize(
    ("as_of", "what"),
    [
        ("0", "count from 1"),
        ("100000", "the log ends at position"),
        ("9" * 40, "the log ends at position"),
        ("-1", "not '-1'"),
        ("٣", "not '٣'"),
        ("2000-01-01T00:00:00Z", "the log begins at"),
        ("2026-11-24", "date, time and offset"),
        ("yesterday", "date, time and offset"),
        ("", "date, time and offset"),
    ],
)
def test_where_the_log_does_not_reach_is_usage(
    resedge: Resedge, lived: tuple[Path, list[str]], as_of: str, what: str
) -> None:
    ran = resedge("replay", f"--as-of={as_of}", "--data-dir", str(lived[0]))

    assert ran.code == 2
    assert what in ran.err


def test_which_log_is_said_once(
    resedge: Resedge, lived: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{lived[0] / 'log.db'}"
    assert resedge("replay", "--as-of", "1").code == 2
    assert resedge("replay", "--as-of", "1", "--data-dir", str(lived[0]), "--log-url", url).code == 2
    assert resedge("replay", "--as-of", "1", "--log-url", url, "--view", "stores").code == 0
    (tmp_path / "url").write_text(f"{url}\n")
    monkeypatch.setenv("RESEDGE_LOG_URL_FILE", str(tmp_path / "url"))
    assert resedge("replay", "--as-of", "1", "--view", "stores").code == 0
    monkeypatch.setenv("RESEDGE_LOG_URL", f"sqlite:///{tmp_path / 'none.db'}")
    assert "there is no log at" in resedge("replay", "--as-of", "1", "--view", "stores").err
    assert not (tmp_path / "none.db").exists()
    (tmp_path / "none.db").write_bytes(b"not a database at all, however long it is read" * 20)
    assert "file is not a database" in resedge("replay", "--as-of", "1", "--view", "stores").err
    monkeypatch.setenv("RESEDGE_LOG_URL", "postgresql+pg8000://u:hunter2@127.0.0.1:1/none")
    refused = resedge("replay", "--as-of", "1", "--view", "stores")
    assert refused.code in {1, 2}
    assert "hunter2" not in refused.out + refused.err
    assert "did you mean: stores" in resedge("replay", "--as-of", "1", "--log-url", url, "--view", "store").err


def test_a_log_on_postgresql_is_replayed_and_lets_nothing_be_written(resedge: Resedge) -> None:
    event = StoreDeclared("tx-1", "UTC")
    submission = Submission([NewEvent("store-tx-1", type_name(event), encode(event))], "ada")
    with cluster() as server:
        url = server.new_database()
        log = EventLog.open(url, clock=lambda: datetime.now(UTC))
        log.append(submission)
        log.close()
        ran = resedge("replay", "--as-of", "1", "--log-url", url, "--view", "stores", "-o", "name")
        assert (ran.code, ran.out) == (0, "store/tx-1\n")
        reading = EventLog.read_only(url, clock=lambda: datetime.now(UTC))
        try:
            with pytest.raises(Exception, match="read-only"):
                reading.acquire_lease("branch-main", "mallory")
            assert reading.head().position == 1
        finally:
            reading.close()


def test_nothing_that_is_there_is_written_over(resedge: Resedge, lived: tuple[Path, list[str]], tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    for name, code in (("full", 2), ("full/mine", 2), ("link", 2), ("none/below", 2), ("empty", 0)):
        ran = resedge("replay", "--as-of", "9", "--data-dir", str(lived[0]), "--gitops", str(tmp_path / name))
        assert ran.code == code, ran.err
    assert (tmp_path / "full" / "mine").read_text() == "mine"


def test_a_log_that_does_not_render_what_it_records_leaves_no_repository(
    resedge: Resedge, lived: tuple[Path, list[str]], tmp_path: Path
) -> None:
    shutil.copytree(lived[0], tmp_path / "data")
    log = EventLog.open(f"sqlite:///{tmp_path / 'data' / 'log.db'}", clock=lambda: datetime.now(UTC))
    forged = events_of(tmp_path / "data", "AdmissionWritten")[-1].event
    lie = type(forged)(forged.branch, forged.decision, "a" * 40, forged.tree, 1)
    log.append(Submission([NewEvent("branch-main", type_name(lie), encode(lie))], "mallory"))
    position = log.head().position
    log.close()
    words = ("--data-dir", str(tmp_path / "data"), "--gitops", str(tmp_path / "g.git"))
    ran = resedge("replay", "--as-of", str(position), *words)

    assert ran.code == 1
    assert "records commit aaaa" in ran.err
    assert not (tmp_path / "g.git").exists()
    assert resedge("replay", "--as-of", str(position - 1), *words).code == 0


async def test_a_running_server_is_neither_needed_nor_disturbed(
    resedge: Resedge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    async with running(tmp_path / "data", SERVICES) as server:
        tip = await journeys.begin(server)
        position = str(await server.settled())
        words = ("replay", "--as-of", position, "--data-dir", str(tmp_path / "data"), "--gitops", str(tmp_path / "g"))
        ran = await asyncio.to_thread(resedge, *words)

        assert ran.code == 0, ran.err
        assert git(tmp_path / "g", "rev-parse", "main") == tip
        await journeys.choose(server, "1.0.0", "/c/store-01")
        assert (await server.client.get("/readyz")).is_success
    assert list(temporary.iterdir()) == []


def test_a_log_that_is_opened_to_be_read_takes_nothing(lived: tuple[Path, list[str]]) -> None:
    log = EventLog.read_only(f"sqlite:///{lived[0] / 'log.db'}", clock=lambda: datetime.now(UTC))
    try:
        before = log.head()
        with pytest.raises(Exception, match="readonly"):
            log.acquire_lease("branch-main", "mallory")
        assert log.head() == before
    finally:
        log.close()
