"""Tests run in the background as in a terminal: children hear signals, and nothing waits for ever."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HANGS = """
import signal, subprocess, sys
import pytest
from tests.support.children import child, restore_signals

restore_signals()

def test_hangs():
    with child([sys.executable, "-c", "import time; time.sleep(600)"]) as held:
        print("held", held.pid)
        held.wait()

@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_child_hears(number):
    program = "print('up', flush=True); import time; time.sleep(600)"
    with child([sys.executable, "-c", program], stdout=subprocess.PIPE) as up:
        assert up.stdout.readline()
        up.send_signal(number)
        assert up.wait(60) == -number if number == signal.SIGTERM else up.wait(60) != 0

def test_goes_on():
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
"""


def test_a_run_where_signals_are_ignored_ends(tmp_path: Path) -> None:
    """As `nohup scripts/test &` begins it: what hangs fails at its limit, its child is ended, and the run goes on."""
    (tmp_path / "test_inner.py").write_text(HANGS)
    (tmp_path / "pytest.ini").write_text("[pytest]\ntimeout = 300\ntimeout_method = signal\n")
    command = f"trap '' INT TERM HUP; exec {sys.executable} -m pytest -q -o timeout=5 -p no:cacheprovider test_inner.py"
    ran = subprocess.run(
        ["bash", "-c", command],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert "1 failed, 3 passed" in ran.stdout, ran.stdout + ran.stderr
    assert "Timeout" in ran.stdout
    held = re.search(r"held (\d+)", ran.stdout)
    assert held is not None
    assert not Path(f"/proc/{held[1]}").exists()


def test_every_test_has_a_limit(pytestconfig: pytest.Config) -> None:
    assert float(pytestconfig.getini("timeout")) > 0
    assert pytestconfig.getini("timeout_method") == "signal"


def test_children_that_live_on_are_started_in_one_place() -> None:
    """`tests/support/children.py` bounds their end; what is forked off and the broker's processes end by it too."""
    starting = {
        str(path.relative_to(ROOT / "tests"))
        for path in (ROOT / "tests").rglob("*.py")
        if re.search(r"subprocess\.Popen\(|\bos\.(fork|spawn\w+)\(", path.read_text()) and "bench" not in path.parts
    }
    assert starting == {f"support/{name}.py" for name in ("children", "forking", "kafka", "starting")}
