"""The test command's exit status says what happened: CI reads nothing else.

The scripts are the real ones; what they call is stood for by a program that ends as the test tells it to.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.children import child
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]
STAND_IN = """#!/usr/bin/env bash
# Stands for a check or for pytest: fails when it is named in `failing`, waits when it is named in `waiting`.
call="$(basename "$0") $*"
echo "ran $call"
while [ -e waiting ] && grep -qFf waiting <<<"$call"; do sleep 0.05; done
! { [ -e failing ] && grep -qFf failing <<<"$call"; }
"""
CHECKS = (
    "ruff check --quiet .",
    "ruff format --check --quiet .",
    "mypy ",
    "lint-imports --no-logo",
    "python -m scripts.generate --check",
    "python -m scripts.names --check",
    "python -m scripts.edge --check",
    "python -m scripts.schemas --check",
)
QUICK = CHECKS[:2]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder that has the scripts `test`, `check` and `common.sh`, and stand-ins for all that they call."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "temporary").mkdir()
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    for script in ("test", "check", "common.sh"):
        shutil.copy(ROOT / "scripts" / script, tmp_path / "scripts" / script)
    for program in ("ruff", "mypy", "lint-imports", "python", "pytest"):
        (programs / program).write_text(STAND_IN)
        (programs / program).chmod(0o755)
    (tmp_path / "scripts" / "setup").write_text("#!/bin/sh\n")
    (tmp_path / "scripts" / "setup").chmod(0o755)
    tools = tmp_path / ".cache" / "bin"
    tools.mkdir(parents=True)
    (tools / "shellcheck").write_text(STAND_IN)
    (tools / "shellcheck").chmod(0o755)
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci" / "marker").write_text("#!/usr/bin/env bash\n")
    return tmp_path


def run(project: Path, *command: str) -> tuple[int, str]:
    ran = subprocess.run(
        command, cwd=project, env=environment(project), capture_output=True, text=True, timeout=60, check=False
    )
    assert list((project / "temporary").iterdir()) == [], "a temporary folder is left"
    return ran.returncode, ran.stdout + ran.stderr


def environment(project: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(project / "temporary")}


@pytest.mark.parametrize("quick", [(), ("--quick",)])
@pytest.mark.parametrize("script", ["check", "test"])
def test_all_that_passes_ends_with_zero(project: Path, script: str, quick: tuple[str, ...]) -> None:
    code, said = run(project, f"scripts/{script}", *quick)
    assert (code, "all checks passed" in said) == (0, True), said
    for each in QUICK if quick else CHECKS:
        assert f"ran {each}" in said


@pytest.mark.parametrize("failing", [*CHECKS, "shellcheck"])
def test_one_failed_check_fails_the_checks_and_the_test_command(project: Path, failing: str) -> None:
    (project / "failing").write_text(failing)
    code, said = run(project, "scripts/check")
    assert code == 1, said
    assert f"failed: {'shellcheck' if failing == 'shellcheck' else '.venv/bin/' + failing.strip()}" in said
    code, said = run(project, "scripts/test")
    assert (code, "ran pytest" in said) == (1, True), said


def test_a_failed_test_fails_the_test_command_whatever_the_checks_say(project: Path) -> None:
    (project / "failing").write_text("pytest")
    assert run(project, "scripts/test")[0] == 1
    assert run(project, "scripts/test", "tests/rendering")[0] == 1
    (project / "failing").write_text("pytest\nmypy ")
    assert run(project, "scripts/test")[0] == 1


def test_what_is_stopped_leaves_no_check_running(project: Path) -> None:
    (project / "waiting").write_text("mypy ")
    with child(["scripts/check"], cwd=project, env=environment(project), start_new_session=True) as process:
        until(lambda: len(of_session(process.pid)) > 1 and list((project / "temporary").iterdir()))
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) != 0
        until(lambda: not of_session(process.pid))
    assert list((project / "temporary").iterdir()) == []


def of_session(leader: int) -> list[int]:
    """The processes of a session that are still there."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(ProcessLookupError):
            if os.getsid(int(each.name)) == leader:
                found.append(int(each.name))
    return found
