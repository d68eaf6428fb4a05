"""The repository: the branch moves from where it was last seen or not at all, and git finds nothing to complain of."""

from __future__ import annotations

import os
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from libs.gittree import Mode, ObjectMissing, PushOutcome, RefLocked, RefMoved, Repository, tree_body
from libs.gittree.refs import validate_branch
from tests.libs.gittree.gittree_words import WHEN, commit_fleet, git, left_over, stores

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository.create(tmp_path / "fleet.git")


def lone_commit(repository: Repository, message: str, parent: str | None = None) -> str:
    with repository.pack() as sink:
        tree = sink.add("tree", tree_body({"a": (Mode.FILE, sink.add("blob", message.encode()))})).hex()
        commit = repository.commit(tree, parent, message, None, WHEN, sink=sink)
        sink.finish()
    return commit


def test_a_clone_has_the_bytes_that_were_written(repository: Repository, tmp_path: Path) -> None:
    first = commit_fleet(repository, stores(30))
    second = commit_fleet(repository, stores(30), lanes=b"3")

    subprocess.run(["git", "clone", "-q", f"file://{repository.path}", str(tmp_path / "clone")], check=True)

    cloned = tmp_path / "clone" / "clusters" / "store-00007" / "pos.yaml"
    assert cloned.read_bytes() == repository.read_blob(second, "clusters/store-00007/pos.yaml")
    assert b"lanes: 3" in cloned.read_bytes()
    assert repository.fsck().ok
    assert [commit.id for commit in repository.iter_commits()] == [second, first]
    assert [entry.name for entry in repository.read_tree(first, "clusters")] == [name.decode() for name in stores(30)]
    assert repository.head() == second == git(repository.path, "rev-parse", "main").decode().strip()


def test_equal_input_gives_the_equal_commit(tmp_path: Path) -> None:
    one, two = (Repository.create(tmp_path / name) for name in ("one.git", "two.git"))

    assert commit_fleet(one, stores(40)) == commit_fleet(two, stores(40))
    assert [path.name for path in one.path.glob("objects/pack/*")] == [
        path.name for path in two.path.glob("objects/pack/*")
    ]


def test_the_branch_moves_only_from_the_value_last_seen(repository: Repository) -> None:
    ours, foreign = lone_commit(repository, "ours"), lone_commit(repository, "foreign")
    repository.move(None, foreign)

    with pytest.raises(RefMoved) as refusal:
        repository.move(None, ours)
    assert refusal.value.found == foreign
    with pytest.raises(RefMoved):
        repository.move(ours, foreign)
    repository.move(foreign, ours)

    assert repository.head() == ours
    assert left_over(repository) == []


def test_a_packed_ref_counts(repository: Repository) -> None:
    first = lone_commit(repository, "first")
    repository.move(None, first)
    git(repository.path, "pack-refs", "--all")
    assert not (repository.path / "refs" / "heads" / "main").exists()

    assert repository.head() == first
    with pytest.raises(RefMoved):
        repository.move(None, first)
    second = lone_commit(repository, "second", first)
    repository.move(first, second)

    assert git(repository.path, "rev-parse", "main").decode().strip() == second


def test_of_many_writers_one_wins(repository: Repository) -> None:
    commits = [lone_commit(repository, f"writer {number}") for number in range(8)]
    lost: list[str] = []

    def write(commit: str) -> None:
        try:
            repository.move(None, commit)
        except RefMoved:
            lost.append(commit)

    threads = [threading.Thread(target=write, args=(commit,)) for commit in commits]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(lost) == 7
    assert set(commits) - set(lost) == {repository.head()}


def test_a_lock_that_git_holds_is_respected(repository: Repository) -> None:
    commit = lone_commit(repository, "waits")
    lock = repository.path / "refs" / "heads" / "main.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.touch()

    with pytest.raises(RefLocked):
        repository.move(None, commit)
    assert Repository.open(repository.path).head() is None
    assert lock.exists()
    lock.unlink()
    repository.move(None, commit)

    assert repository.head() == commit


def test_only_what_dead_processes_left_is_removed(repository: Repository) -> None:
    packs = repository.path / "objects" / "pack"
    dead = subprocess.run(["sh", "-c", "echo $$"], capture_output=True, check=True).stdout.decode().strip()
    (packs / f"tmp_pack_{dead}_1_0").touch()
    (packs / f"tmp_pack_{dead}_1_0.idx").touch()
    (packs / f"tmp_pack_{os.getpid()}_1_0").touch()
    (packs / "tmp_pack_Xy12").touch()
    with repository.pack() as sink:
        sink.add("blob", b"in progress")
        mine = [path for path in packs.glob(f"tmp_pack_{os.getpid()}_*") if not path.name.endswith("_1_0")]

        Repository.open(repository.path)

        assert sorted(packs.glob("tmp_*")) == sorted([packs / "tmp_pack_Xy12", *mine])
        assert len(mine) == 1
        sink.finish()


def test_push_reports_and_never_forces(repository: Repository, tmp_path: Path) -> None:
    remote = Repository.create(tmp_path / "remote.git")
    commit_fleet(repository, stores(5))

    assert repository.push(str(remote.path)).outcome is PushOutcome.PUSHED
    assert repository.push(f"file://{remote.path}").outcome is PushOutcome.UP_TO_DATE
    assert remote.head() == repository.head()
    foreign = lone_commit(remote, "foreign", remote.head())
    remote.move(remote.head(), foreign)
    commit_fleet(repository, stores(5), lanes=b"9")

    refused = repository.push(str(remote.path))

    assert refused.outcome is PushOutcome.NOT_FAST_FORWARD
    assert remote.head() == foreign
    nowhere = repository.push("http://user:secret@127.0.0.1:9/x.git")
    assert nowhere.outcome is PushOutcome.FAILED
    assert "secret" not in nowhere.detail
    for hostile in ("--upload-pack=x", "ext::sh -c id", "relative/path", ""):
        with pytest.raises(ValueError, match="remote"):
            repository.push(hostile)


def test_the_users_git_configuration_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gitconfig").write_text(
        "[init]\n\ttemplateDir = /nowhere\n[fsck]\n\tmissingEmail = garbage\n[core]\n\tbare = x\n"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", "/nowhere")
    repository = Repository.create(tmp_path / "fleet.git")
    commit = commit_fleet(repository, stores(3))

    assert repository.read_commit(commit).message.startswith("Lanes")
    assert repository.fsck().ok


def test_reading_what_is_not_there_is_said(repository: Repository) -> None:
    commit = commit_fleet(repository, stores(2))

    for identity, path in ((commit, "clusters/none"), ("0" * 40, ""), ("HEAD", ""), (f"{commit}\nx", "")):
        with pytest.raises(ObjectMissing):
            repository.read_blob(identity, path)
    repository.close()
    assert repository.read_commit(commit).tree
    repository.close()


def test_a_damaged_pack_is_found(repository: Repository) -> None:
    commit_fleet(repository, stores(20))
    (pack,) = (repository.path / "objects" / "pack").glob("*.pack")
    data = bytearray(pack.read_bytes())
    data[len(data) // 2] ^= 1
    pack.chmod(0o644)
    pack.write_bytes(data)

    found = repository.fsck()

    assert not found.ok
    assert found.problems


@pytest.mark.parametrize("branch", ["main", "shards/a-1"])
def test_branches_with_plain_names_are_allowed(branch: str, tmp_path: Path) -> None:
    repository = Repository.create(tmp_path / "fleet.git", branch)
    commit = lone_commit(repository, "x")
    repository.move(None, commit)

    assert repository.head() == commit == git(repository.path, "rev-parse", branch).decode().strip()


@pytest.mark.parametrize("branch", ["", "-f", "a..b", "a.lock", "a//b", "../x", "a b", "HEAD^", "a/", "@{0}", "x."])
def test_other_branches_are_refused(branch: str) -> None:
    with pytest.raises(ValueError, match="branch"):
        validate_branch(branch)


def test_a_folder_that_is_no_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Repository.open(tmp_path)
