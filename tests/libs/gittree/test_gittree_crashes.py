"""SIGKILL at every step of a commit: the branch is at the old commit or the new one, and a rerun gives the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from libs.gittree import Repository
from tests.libs.gittree.gittree_words import commit_fleet, left_over, packs, stores

if TYPE_CHECKING:
    from pathlib import Path

POINTS = ["before-pack", "pack-written", "pack-fsynced", "pack-renamed", "ref-locked", "ref-written", "ref-renamed"]
WRITER = """
import sys
from pathlib import Path
from tests.libs.gittree.gittree_words import commit_fleet, stores
from libs.gittree import Repository
commit_fleet(Repository.open(Path(sys.argv[1])), stores(60), lanes=b"3")
"""
FLEET_WRITER = """
import sys
from pathlib import Path
from tests.libs.gittree.gittree_words import manifests, stores
from libs.gittree import Repository, Workers
sink = Repository.open(Path(sys.argv[1])).pack(Workers(2))
sink.write(manifests(stores(9000)))
sink.finish()
"""
MAINTAINER = """
import sys
from pathlib import Path
from libs.gittree import Repository
Repository.open(Path(sys.argv[1])).maintain()
"""


def killed_at(point: str, program: str, path: Path) -> None:
    environment = os.environ | {
        "RESEDGE_CRASH_AT": f"gittree.{point}",
        "PYTHONPATH": os.pathsep.join(part for part in sys.path if part),
    }
    done = subprocess.run([sys.executable, "-c", program, str(path)], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> str:
    repository = Repository.create(tmp_path_factory.mktemp("undisturbed") / "fleet.git")
    commit_fleet(repository, stores(60))
    return commit_fleet(repository, stores(60), lanes=b"3")


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_writer_leaves_the_old_or_the_new_commit(point: str, tmp_path: Path, wanted: str) -> None:
    old = commit_fleet(Repository.create(tmp_path / "fleet.git"), stores(60))

    killed_at(point, WRITER, tmp_path / "fleet.git")

    survivor = Repository.open(tmp_path / "fleet.git")
    assert survivor.head() == (wanted if point == "ref-renamed" else old)
    assert left_over(survivor) == []
    assert survivor.fsck().ok
    if survivor.head() == old:
        assert commit_fleet(survivor, stores(60), lanes=b"3") == wanted
    assert len(packs(survivor)) == 2
    assert survivor.fsck().ok


@pytest.mark.parametrize("point", ["before-pack", "pack-fsynced"])
def test_a_killed_writer_takes_its_workers_along(point: str, tmp_path: Path) -> None:
    repository = Repository.create(tmp_path / "fleet.git")

    killed_at(point, FLEET_WRITER, repository.path)

    assert left_over(repository) != []
    assert left_over(Repository.open(repository.path)) == []
    assert packs(repository) == []


@pytest.mark.parametrize("point", ["packs-merged", "pack-renamed", "indexes-removed"])
def test_killed_maintenance_loses_nothing(point: str, tmp_path: Path) -> None:
    repository = Repository.create(tmp_path / "fleet.git")
    head = [commit_fleet(repository, stores(4), lanes=b"%d" % number) for number in range(30)][-1]

    killed_at(point, MAINTAINER, repository.path)

    survivor = Repository.open(repository.path)
    assert survivor.head() == head
    assert survivor.fsck().ok
    survivor.maintain()
    assert survivor.fsck().ok
    assert left_over(survivor) == []
    assert len(list(survivor.iter_commits())) == 30
    survivor.close()
