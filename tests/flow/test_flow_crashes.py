"""SIGKILL at every step of an admission leaves the old or the new tree; the next process finishes the same commit."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from cli.verify_offline import verify_data_dir
from libs.gittree import Repository
from tests.support.children import ran

POINTS = [
    "eventlog.before-commit:2",
    "eventlog.after-commit:2",
    "rendering.decided",
    "gittree.before-pack",
    "gittree.pack-written",
    "gittree.pack-fsynced",
    "gittree.pack-renamed",
    "gittree.ref-locked",
    "gittree.ref-written",
    "gittree.ref-renamed",
    "rendering.moved",
    "eventlog.after-commit:3",
    "rendering.recorded",
]


def admit(data_dir: Path, what: str, crash_at: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **({"RESEDGE_CRASH_AT": crash_at} if crash_at else {})}
    return ran("tests.support.admitting", str(data_dir), what, environment=environment, seconds=120)


def tip(data_dir: Path) -> str | None:
    return Repository(data_dir / "gitops.git", "main").head()


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data_dir = tmp_path_factory.mktemp("begun") / "data"
    result = admit(data_dir, "begin")
    assert result.returncode == 0, result.stderr
    return data_dir


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_leaves_the_old_or_the_new_tree_and_the_rerun_finishes_it(
    point: str, begun: Path, tmp_path: Path
) -> None:
    data_dir = tmp_path / "data"
    shutil.copytree(begun, data_dir)
    before = tip(data_dir)

    killed = admit(data_dir, "move", point)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    between = tip(data_dir)
    resumed = admit(data_dir, "wait")

    assert resumed.returncode == 0, resumed.stderr
    commit = resumed.stdout.split()[-1]
    assert commit == tip(data_dir)
    assert commit != before
    assert between in {before, commit}
    checks = verify_data_dir(data_dir, all_commits=True)
    assert [check for check in checks if not check["ok"]] == []


def test_a_decision_that_the_log_took_gives_one_commit_whoever_carries_it_out(begun: Path, tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    shutil.copytree(begun, one)
    assert admit(one, "move", "rendering.decided").returncode == -signal.SIGKILL
    shutil.copytree(one, other)

    commits = [admit(each, "wait").stdout.split()[-1] for each in (one, other)]

    assert commits == [tip(one), tip(one)]
