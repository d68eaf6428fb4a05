"""Maintenance: few packs after many commits, no object lost, whoever writes meanwhile."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.gittree import PackDamaged, Repository
from libs.gittree.entries import object_bodies
from libs.gittree.maintenance import PACKS_KEPT, consolidate
from tests.libs.gittree.gittree_words import commit_fleet, git, left_over, manifests, packs, stores

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository.create(tmp_path / "fleet.git")


def test_many_small_commits_leave_few_packs(repository: Repository) -> None:
    commit_fleet(repository, stores(2000))
    (big,) = packs(repository)
    for number in range(150):
        commit_fleet(repository, stores(2), lanes=b"%d" % number)
        repository.maintain()
        assert len(packs(repository)) <= PACKS_KEPT

    assert big in packs(repository)
    assert repository.fsck().ok
    assert len(list(repository.iter_commits())) == 151
    for pack in packs(repository):
        git(repository.path, "index-pack", "--strict", "--verify", str(pack))
    repository.close()


def test_large_packs_are_left_alone(repository: Repository) -> None:
    commit_fleet(repository, stores(900))
    commit_fleet(repository, stores(900), lanes=b"4")
    large = packs(repository)
    for number in range(30):
        commit_fleet(repository, stores(2), lanes=b"%d" % number)

    consolidate(repository.path / "objects" / "pack", large_bytes=min(pack.stat().st_size for pack in large))

    assert set(large) < set(packs(repository))
    assert len(packs(repository)) == 3
    assert repository.fsck().ok


@given(
    draws=st.lists(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 12)), max_size=4), min_size=25, max_size=40)
)
@settings(max_examples=8, deadline=None)
def test_merging_keeps_every_object_whichever_copy_was_a_delta(
    draws: list[list[tuple[int, int]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    repository = Repository.create(tmp_path_factory.mktemp("r") / "fleet.git")
    expected: dict[str, bytes] = {}
    for draw in draws:
        with repository.pack() as sink:
            for first, count in draw:
                family = manifests(stores(count, first)[:: -1 if first % 2 else 1])
                for identity, body in zip(sink.write(family), object_bodies(family), strict=True):
                    expected[identity.tobytes().hex()] = body
            sink.add("blob", repr(draw).encode())
            sink.finish()

    repository.maintain()

    for pack in packs(repository):
        git(repository.path, "index-pack", "--strict", "--verify", str(pack))
    assert {identity: repository.read_blob(identity) for identity in expected} == expected
    repository.close()


def test_maintenance_beside_a_writer_loses_nothing(repository: Repository) -> None:
    done = threading.Event()
    failures: list[BaseException] = []

    def maintain() -> None:
        while not done.is_set():
            try:
                repository.maintain()
                done.wait(0.002)
            except BaseException as error:  # noqa: BLE001 - the test reports whatever it was
                failures.append(error)

    thread = threading.Thread(target=maintain)
    thread.start()
    written = []
    for number in range(120):
        written.append(commit_fleet(repository, stores(3), lanes=b"%d" % number))
        with repository.pack() as sink:  # objects that nothing reaches yet, and the same pack again
            sink.write(manifests(stores(5), b"%d" % (number % 7)))
            sink.finish()
        assert repository.read_commit(written[number // 2]).id == written[number // 2]
    done.set()
    thread.join()

    assert failures == []
    assert [commit.id for commit in repository.iter_commits()] == written[::-1]
    assert repository.fsck().ok
    for number in range(7):
        family = manifests(stores(5), b"%d" % number)
        with repository.pack() as sink:
            for identity in sink.write(family):
                assert repository.read_blob(identity.tobytes().hex())
    repository.maintain()
    assert len(packs(repository)) <= PACKS_KEPT
    assert left_over(repository) == []
    repository.close()


def test_packs_that_git_made_or_that_are_kept_stay(repository: Repository) -> None:
    for number in range(30):
        commit_fleet(repository, stores(40), lanes=b"%d" % number)
    git(repository.path, "repack", "-q", "-a", "-d", "-f", "--window=10")
    (gits,) = packs(repository)
    for number in range(30):
        commit_fleet(repository, stores(2), lanes=b"x%d" % number)
    kept = packs(repository)[0]
    kept.with_suffix(".keep").touch()

    repository.maintain()

    assert {gits, kept} <= set(packs(repository))
    assert len(packs(repository)) < 10
    assert repository.fsck().ok


def test_a_damaged_pack_is_never_merged_away(repository: Repository) -> None:
    for number in range(30):
        commit_fleet(repository, stores(4), lanes=b"%d" % number)
    before = packs(repository)
    damaged = before[7]
    data = bytearray(damaged.read_bytes())
    data[-30] ^= 1
    damaged.chmod(0o644)
    damaged.write_bytes(data)

    with pytest.raises(PackDamaged, match=damaged.stem):
        repository.maintain()

    assert packs(repository) == before
    assert left_over(repository) == []
