"""Processes that outlive the command that started them."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.compose_local_file import Health
from scripts.compose_local_processes import Process, ProcessFailed, unhealthy
from tests.support.waiting import until

BASE = {"PATH": os.environ["PATH"]}
ENDS_WELL = (
    "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
    "print('begun', flush=True)\ntime.sleep(60)\n"
)
STUBBORN = ENDS_WELL.replace("lambda *_: sys.exit(0)", "signal.SIG_IGN")


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    made = Process(tmp_path, "it")
    yield made
    if made.runs and made.started is not None:
        os.kill(made.started.pid, signal.SIGKILL)


def begin(process: Process, code: str, **how: float) -> None:
    process.start([sys.executable, "-c", code], {**BASE, "ONLY": "this"}, **how)  # type: ignore[arg-type]  # mypy cannot tell which field each value is for
    until(lambda: process.log.read_text() or not process.runs)


def test_it_runs_detached_with_its_own_environment_until_it_is_told_to_end(process: Process) -> None:
    begin(
        process,
        ENDS_WELL.replace("'begun'", "__import__('os').environ.get('ONLY'), 'HOME' in __import__('os').environ"),
    )

    assert process.runs
    assert process.exit_code is None
    assert process.started is not None
    assert os.getsid(process.started.pid) != os.getsid(0)
    assert process.log.read_text() == "this False\n"
    assert process.stop() == 0
    assert not process.runs


def test_one_that_does_not_end_is_killed(process: Process) -> None:
    begin(process, STUBBORN, grace_seconds=0.3)

    assert process.stop() == 128 + signal.SIGKILL


def test_a_crash_leaves_its_exit_code(process: Process) -> None:
    begin(process, ENDS_WELL)
    assert process.started is not None
    os.kill(process.started.pid, signal.SIGKILL)

    assert process.stop() == 128 + signal.SIGKILL
    process.forget()
    assert process.started is None


def test_another_process_of_the_same_number_is_never_taken_for_it(process: Process) -> None:
    begin(process, ENDS_WELL)
    assert process.started is not None
    kept = process._file(".json")
    said = json.loads(kept.read_text())
    kept.write_text(json.dumps({**said, "pid": os.getpid()}))

    assert not process.runs
    kept.write_text(json.dumps(said))
    assert process.stop() == 0


def test_a_step_that_fails_says_its_last_words(process: Process) -> None:
    process.start([sys.executable, "-c", "print('the reason'); raise SystemExit(3)"], BASE, once=True)

    with pytest.raises(ProcessFailed, match=r"it failed with exit code 3\n  it \| the reason"):
        process.wait_completed(10)


def test_it_is_healthy_when_its_check_says_so(process: Process, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    health = Health(("test", "-e", str(flag)), interval=0.02, retries=3, start_period=10, start_interval=0.02)
    begin(process, f"import time; print(1, flush=True); time.sleep(.3); open({str(flag)!r}, 'w'); time.sleep(60)")

    process.wait_healthy(health, lambda: unhealthy(health, BASE, tmp_path))

    assert flag.exists()
    flag.unlink()
    late = Health(health.test, interval=0.02, retries=3)
    with pytest.raises(ProcessFailed, match="it is not healthy: exit 1"):
        process.wait_healthy(late, lambda: unhealthy(late, BASE, tmp_path))


def test_waiting_for_health_ends_when_the_process_does(process: Process, tmp_path: Path) -> None:
    health = Health(("false",), interval=0.02, retries=3, start_period=60, start_interval=0.02)
    begin(process, "raise SystemExit(5)")

    with pytest.raises(ProcessFailed, match="it ended with exit code"):
        process.wait_healthy(health, lambda: unhealthy(health, BASE, tmp_path))


def test_a_check_has_its_time() -> None:
    assert unhealthy(Health(("sleep", "5"), timeout=0.1), BASE, Path("/")) == "its check took longer than 0.1 s"
