"""A lock of the branch whose owner is dead is taken over, whoever left it; a live owner's is respected."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from libs.gittree import RefLocked, RefMoved, Repository
from libs.gittree.owner import ELSEWHERE_SECONDS, UNNAMED_SECONDS, owner_line, temporary_name
from libs.gittree.refs import _moving
from tests.libs.gittree.gittree_words import commit_fleet, left_over, stores
from tests.libs.gittree.test_gittree_crashes import WRITER, killed_at


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository.create(tmp_path / "fleet.git")
    commit_fleet(made, stores(4))
    return made


def lock_of(repository: Repository) -> Path:
    return repository.path / "refs" / "heads" / "main.lock"


def moves(repository: Repository, lanes: bytes = b"3") -> None:
    before = repository.head()
    assert commit_fleet(repository, stores(4), lanes=lanes) == repository.head() != before
    assert left_over(repository) == []
    assert repository.fsck().ok


def aged(lock: Path, seconds: float) -> None:
    at = lock.stat().st_mtime - seconds
    os.utime(lock, (at, at))


def a_process_that_is_gone() -> str:
    told = "from libs.gittree.owner import *; print(owner_line(temporary_name('ref')).decode(), end='')"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.run(
        [sys.executable, "-c", told], env=environment, check=True, capture_output=True, text=True
    ).stdout


@pytest.mark.parametrize("point", ["ref-locked", "ref-written", "ref-renamed"])
@pytest.mark.parametrize("how", ["open all the while", "copied from a backup"])
def test_the_lock_of_a_killed_writer_is_taken_over(tmp_path: Path, point: str, how: str) -> None:
    repository = Repository.create(tmp_path / "fleet.git")
    commit_fleet(repository, stores(60))
    killed_at(point, WRITER, repository.path)
    assert lock_of(repository).exists()
    if how == "copied from a backup":  # which knows no second names of a file
        shutil.copytree(repository.path, tmp_path / "copy.git")
        repository = Repository(tmp_path / "copy.git", "main")

    lanes = b"4"
    before = repository.head()
    assert commit_fleet(repository, stores(60), lanes=lanes) == repository.head() != before
    assert not lock_of(repository).exists()
    assert left_over(Repository.open(repository.path)) == []


def test_the_lock_of_a_live_owner_is_respected_however_old(repository: Repository) -> None:
    name = temporary_name("ref")
    _moving.add(name)
    lock_of(repository).write_bytes(owner_line(name))
    aged(lock_of(repository), 10 * ELSEWHERE_SECONDS)

    with pytest.raises(RefLocked, match=f"process {os.getpid()}"):
        commit_fleet(repository, stores(4), lanes=b"3")
    Repository.open(repository.path)
    assert lock_of(repository).exists()
    _moving.discard(name)  # as when the disk did not let its lock be removed
    moves(repository)


def test_the_lock_of_a_process_number_that_was_given_again_is_taken_over(repository: Repository) -> None:
    _, place, name = owner_line(temporary_name("ref")).decode().split()
    parts = name.split("_")
    parts[3] = str(int(parts[3]) - 1)
    lock_of(repository).write_text(f"resedge {place} {'_'.join(parts)}\n")
    moves(repository)
    lock_of(repository).write_text(a_process_that_is_gone())
    moves(repository, b"5")


@pytest.mark.parametrize("said", ["", "0" * 40 + "\n", "resedge x y\n", "\0" * 41])
def test_a_lock_that_git_left_is_taken_over_once_it_is_old_and_nobody_has_it_open(
    repository: Repository, said: str
) -> None:
    lock = lock_of(repository)
    lock.write_text(said)
    with pytest.raises(RefLocked, match="git command"):
        commit_fleet(repository, stores(4), lanes=b"3")
    aged(lock, UNNAMED_SECONDS + 5)
    with lock.open("rb"), pytest.raises(RefLocked):
        commit_fleet(repository, stores(4), lanes=b"3")
    moves(repository)


def test_the_lock_of_another_host_is_respected_for_longer(repository: Repository) -> None:
    lock = lock_of(repository)
    elsewhere = a_process_that_is_gone().split()
    lock.write_text(f"resedge {'0' * 16} {elsewhere[2]}\n")
    aged(lock, UNNAMED_SECONDS + 5)
    with pytest.raises(RefLocked, match="another host"):
        commit_fleet(repository, stores(4), lanes=b"3")
    aged(lock, ELSEWHERE_SECONDS + 5)
    moves(repository)


def test_of_many_who_meet_a_dead_owners_lock_one_moves_the_branch(repository: Repository) -> None:
    old = repository.head()
    assert old is not None
    tree = repository.read_commit(old).tree
    when = repository.read_commit(old).when
    commits = [repository.commit(tree, old, f"commit {number}", None, when) for number in range(12)]
    lock_of(repository).write_text(a_process_that_is_gone())
    moved: list[str] = []

    def move(new: str) -> None:
        try:
            Repository(repository.path, "main").move(old, new)
        except (RefMoved, RefLocked):
            return
        moved.append(new)

    threads = [threading.Thread(target=move, args=(new,)) for new in commits]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert moved == [repository.head()]
    assert left_over(repository) == []
