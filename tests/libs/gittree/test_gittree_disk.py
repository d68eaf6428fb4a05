"""A repository on a disk that refuses: nothing half written is left, and no lock of ours outlives its move."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from libs.contracts.crash import at_crash_point
from libs.gittree import Mode, RefMoved, Repository, tree_body
from tests.libs.gittree.gittree_words import WHEN
from tests.support.disks import SmallDisk, small_disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", 8) as mounted:
        yield mounted


@pytest.fixture
def repository(disk: SmallDisk) -> Repository:
    return Repository.create(disk.path / "fleet.git")


def committed(repository: Repository, message: bytes, parent: str | None = None, others: int = 0) -> str:
    with repository.pack() as sink:
        blob = sink.add("blob", message)
        for number in range(others):
            sink.add("blob", b"%d" % number + message)
        tree = sink.add("tree", tree_body({"a": (Mode.FILE, blob)})).hex()
        commit = repository.commit(tree, parent, "said", None, WHEN, sink=sink)
        sink.finish()
    return commit


def temporary(repository: Repository) -> list[str]:
    return sorted(path.name for path in repository.path.rglob("tmp_*"))


@pytest.mark.parametrize("others", [0, 600])
@pytest.mark.parametrize("size", [10, 3_000, 20_000])
def test_a_pack_that_does_not_fit_leaves_nothing_behind(
    repository: Repository, disk: SmallDisk, size: int, others: int
) -> None:
    first = committed(repository, b"first")
    disk.fill()

    for _ in range(3):
        with pytest.raises(OSError, match=r"No space left|does not hold"):
            # What does not shrink when it is packed; many are written before the end.
            committed(repository, random.Random(size).randbytes(size), first, others)
        assert temporary(repository) == []

    disk.free()
    assert repository.read_commit(committed(repository, b"second", first)).parents == (first,)
    assert repository.fsck().ok


@pytest.mark.parametrize("point", ["gittree.ref-locked", "gittree.ref-written"])
def test_a_lock_that_a_read_only_disk_kept_is_known_as_ours(
    repository: Repository, disk: SmallDisk, point: str
) -> None:
    first = committed(repository, b"first")

    with at_crash_point(point, disk.make_read_only), pytest.raises(OSError, match="Read-only file system"):
        repository.move(None, first)
    assert list(repository.path.rglob("main.lock"))
    disk.make_writable()

    repository.move(None, first)
    assert repository.head() == first
    assert (temporary(repository), list(repository.path.rglob("*.lock"))) == ([], [])


def test_a_lock_of_a_move_that_is_under_way_is_left_alone(repository: Repository) -> None:
    first, second = committed(repository, b"first"), committed(repository, b"second")
    again = Repository.open(repository.path)

    def meanwhile() -> None:
        assert not again._ref.release_stale()

    with at_crash_point("gittree.ref-locked", meanwhile):
        repository.move(None, first)
    with pytest.raises(RefMoved):
        again.move(None, second)
    assert repository.head() == first
