"""A program that is forked off runs as if it had been started from nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.children import end, program, ran
from tests.support.starting import ROOT, start

TOLD = """
import json, os, signal, sys
if __name__ == "__main__":
    parent = os.getppid()
    own = [sys.argv[1:], os.getcwd(), dict(os.environ), os.getsid(0) == os.getpid(), hash("x")]
    handled = [signal.getsignal(each) is not signal.SIG_IGN for each in (signal.SIGINT, signal.SIGTERM)]
    print(json.dumps([parent, *own, handled, sorted(os.listdir("/proc/self/fd"))]))
    print("said", file=sys.stderr)
    sys.exit(3)
"""


def test_it_is_our_child_with_its_own_environment_arguments_outputs_and_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "told_program.py").write_text(TOLD)
    monkeypatch.setenv("RESEDGE_LEAKS", "yes")
    seen: dict[str, set[int]] = {}
    err = tmp_path / "err"
    for replica in "aab":
        out = tmp_path / f"out-{replica}"
        environment = {"ONLY": "this"}
        process = start(
            "told_program", "one", "two words", environment=environment, out=out, err=err, directory=tmp_path,
            replica=replica,
        )  # fmt: skip
        try:
            assert process.wait(60) == 3
        finally:
            end(process)
        parent, arguments, directory, kept, leads, seed, handled, files = json.loads(out.read_text().splitlines()[-1])
        assert (parent, arguments, directory, kept) == (
            os.getpid(),
            ["one", "two words"],
            str(tmp_path),
            {"ONLY": "this"},
        )
        assert (leads, handled, files) == (True, [True, True], ["0", "1", "2", "3"])  # 3 lists the folder
        seen.setdefault(replica, set()).add(seed)
    assert err.read_text() == "said\n" * 3
    assert len(seen["a"]) == len(seen["b"]) == 1
    assert seen["a"] != seen["b"]


def test_a_signal_ends_it_and_is_told(tmp_path: Path) -> None:
    (tmp_path / "waits.py").write_text("import time\ntime.sleep(600)\n")
    with program("waits", environment={}, out=tmp_path / "out", directory=tmp_path) as waiting:
        assert waiting.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(0.05)
        waiting.send_signal(signal.SIGTERM)
        assert waiting.wait(60) == -signal.SIGTERM
        waiting.kill()  # what has ended is not signalled: its number may be another's


def test_a_crash_point_kills_it(tmp_path: Path) -> None:
    code = (
        "from libs.contracts.crash import crash_point\nfor n in range(3): print(n, flush=True); crash_point('here')\n"
    )
    (tmp_path / "crashes.py").write_text(code)
    environment = {"RESEDGE_CRASH_AT": "here:2"}
    killed = ran("crashes", environment=environment, seconds=60, directory=tmp_path)
    assert (killed.returncode, killed.stdout.split()) == (-signal.SIGKILL, ["0", "1"])


def test_it_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    (tmp_path / "waits.py").write_text("import time\nprint('up', flush=True)\ntime.sleep(600)\n")
    starter = (
        "import os, signal, sys, time; from pathlib import Path; from tests.support.starting import start\n"
        "out = Path(sys.argv[1], 'out')\n"
        "held = start('waits', environment={}, out=out, directory=out.parent)\n"
        "while not out.exists() or not out.read_text(): time.sleep(0.02)\n"
        "print(held.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", starter, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    held = Path(f"/proc/{int(told.stdout)}")
    assert told.returncode == -signal.SIGKILL
    for _ in range(500):
        if not held.exists() or "\nState:\tZ" in held.joinpath("status").read_text():
            break
        signal.sigtimedwait((), 0.02)
    assert not held.exists() or "\nState:\tZ" in held.joinpath("status").read_text()
