"""Logs that earlier versions wrote give the commits of then: from the log alone, and from snapshots on the way."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.replaying import log_place_of, opened_log, rebuilt_branch
from libs.contracts import AdmissionDecided, Recorded
from libs.eventlog import EventLog
from libs.fleet import Blobs
from libs.gittree import IdSink
from libs.runtime.clock import utc_now
from services.rendering.asking.apart import URL_VARIABLE
from services.rendering.asking.asof import Fold
from services.rendering.model import Model
from services.rendering.snapshot import dump_model, load_model
from services.rendering.writing.materialising import materialise
from services.rendering.writing.message import commit_of
from tests.support.described import described
from tests.support.recorded import EVENTS_MAX, RECORDED, expected_of, restore, written

ROOT = Path(__file__).parents[2]
SNAPSHOTS = 10
PLACES_PERCENT = (3, 25, 50, 75)


@pytest.fixture(params=RECORDED, ids=lambda path: path.name, scope="module")
def recorded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A restored log that is only read, and what was answered then."""
    data_dir = tmp_path_factory.mktemp(request.param.name) / "data"
    restore(request.param, data_dir)
    return data_dir, expected_of(request.param)


@pytest.fixture(scope="module")
def newest(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The newest of them, for what costs a process."""
    data_dir = tmp_path_factory.mktemp("newest") / "data"
    restore(RECORDED[-1], data_dir)
    return data_dir, expected_of(RECORDED[-1])


@pytest.fixture
def log(recorded: tuple[Path, Any]) -> Iterator[EventLog]:
    events = EventLog.read_only(url(recorded[0]), clock=utc_now)
    yield events
    events.close()


def url(data_dir: Path) -> str:
    return f"sqlite:///{data_dir / 'log.db'}"


async def test_the_log_alone_gives_the_commit_of_every_decision(recorded: tuple[Path, Any], log: EventLog) -> None:
    expected = recorded[1]
    fold = Fold(log)
    await fold.on()

    computed = fold.computed
    told = written(log)
    assert [computed.by_decision[decision] for _, decision, _ in told] == [commit for _, _, commit in told]
    assert told == expected.get("commits", told)
    assert (computed.problem, computed.last) == ("", expected["commit"])


async def rest(model: Model, events: list[Recorded]) -> dict[str, str]:
    """Fold what follows, and return decision → commit of what was carried out."""
    sink, commits = IdSink(), {}
    for each in events[model.position :]:
        decision = model.fold(each)
        if decision is not None:
            done = await materialise(model, decision, sink)
            first = decision.first
            commits[first.decision] = commit_of(model, decision, done.tree, sink) if done.changed else first.parent
    return commits


async def test_a_snapshot_of_any_position_goes_on_to_the_same_commits(log: EventLog) -> None:
    events = log.read_recorded(0, EVENTS_MAX)
    decided = [each.position for each in events if isinstance(each.event, AdmissionDecided)]
    step = len(decided) // SNAPSHOTS + 1
    # Behind a decision whose commit is not recorded yet, behind that, and wherever the log is cut into equal parts.
    places = {*decided[::step], *(each + 1 for each in decided[1::step])}
    places |= set(range(1, len(events), len(events) // SNAPSHOTS))
    fold, snapshots = Fold(log), {}
    for place in sorted(places):
        await fold.on(place)
        snapshots[place] = dump_model(fold.model)
    await fold.on()
    end, commits = described(fold.model), fold.computed.by_decision

    for place, snapshot in snapshots.items():
        model = Model(Blobs(log.blob))
        load_model(model, snapshot)
        assert model.position == place
        carried_out = await rest(model, events)
        assert carried_out.items() <= commits.items(), place
        assert len(carried_out) == sum(each > place for each in decided), place
        assert described(model) == end, place


def verified(data_dir: Path, root: Path) -> list[dict[str, Any]]:
    """Verify in a process that runs the code at `root`."""
    command = [sys.executable, "-m", "services.rendering.asking.verify", str(data_dir / "gitops.git")]
    environment = {**os.environ, URL_VARIABLE: url(data_dir), "PYTHONPATH": str(root)}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    checks: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])["checks"]
    return checks


def test_a_fresh_process_renders_every_decision(recorded: tuple[Path, Any]) -> None:
    checks = verified(recorded[0], ROOT)
    assert [each for each in checks if not each["ok"]] == []
    assert {"chain", "admissions", "branch", "trailers", "tree"} == {each["check"] for each in checks}


def test_a_byte_of_the_layout_that_is_another_is_found(newest: tuple[Path, Any], tmp_path: Path) -> None:
    for folder in ("libs", "services"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    layout = tmp_path / "services" / "rendering" / "writing" / "layout.py"
    text = layout.read_text("utf-8")
    layout.write_text(text.replace("prune: disabled", "prune: disableD"), "utf-8")
    assert layout.read_text("utf-8") != text

    failed = {each["check"]: each["detail"] for each in verified(newest[0], tmp_path) if not each["ok"]}

    assert "where the log renders" in failed["admissions"]


def branch(repository: Path, tip: str) -> list[str]:
    """Return the commits of a repository, the newest first."""
    command = ["git", "-C", str(repository), "rev-list", tip]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def test_the_branch_is_rebuilt_as_it_was_at_any_position(recorded: tuple[Path, Any], tmp_path: Path) -> None:
    data_dir, expected = recorded
    for share in PLACES_PERCENT:
        with opened_log(url(data_dir)) as events:
            place = log_place_of(events, str(max(1, expected["position"] * share // 100)))
            told = [commit for position, _, commit in written(events) if position <= place.position]
            decided = sum(isinstance(each.event, AdmissionDecided) for each in events.read_recorded(0, place.position))
            rebuilt = rebuilt_branch(events, place, tmp_path / f"{share}.git")
        if len(told) == decided:  # else the last commit was not recorded by then
            assert rebuilt.commit == (told[-1] if told else "")
        if rebuilt.commit:
            assert branch(tmp_path / f"{share}.git", rebuilt.commit)[: rebuilt.commits] == lived(data_dir, rebuilt)


def lived(data_dir: Path, rebuilt: Any) -> list[str]:
    """Return as many commits of the branch that was recorded, from the rebuilt tip on."""
    return branch(data_dir / "gitops.git", rebuilt.commit)[: rebuilt.commits]


async def test_replay_writes_the_branch_in_a_process_of_its_own(newest: tuple[Path, Any], tmp_path: Path) -> None:
    data_dir, expected = newest
    to = tmp_path / "branch.git"
    arguments = ["replay", "--data-dir", str(data_dir), "--as-of", str(expected["position"]), "--gitops", str(to)]
    command = [sys.executable, "-m", "cli", *arguments]
    done = await asyncio.to_thread(subprocess.run, command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert branch(to, "main")[0] == expected["commit"]
