"""What a run took: told by the workers, kept by the process that leads, and written into the page between its marks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from scripts.times import BEGIN, END, TIMES_PAGE, by_file, tables, weights
from tests.support.times import RECORDED, WRITTEN_TO

ROOT = Path(__file__).resolve().parents[2]
INNER = """
from tests.conftest import pytest_addoption, pytest_configure, pytest_runtest_makereport

def pytest_collection_modifyitems(items): pass
"""
WORKS = """
import subprocess, sys, time

def test_waits(): time.sleep(0.4)
def test_has_a_child_compute():
    subprocess.run([sys.executable, "-c", "import time\\nwhile time.process_time() < 0.4: pass"], check=True)
"""
RUN = {
    "seconds": 605.0,
    "workers": 3,
    "cores": 2,
    "tests": {
        "tests/a/test_x.py::one[a::b]": [2.0, 0.5],
        "tests/a/test_x.py::two": [1.0, 1.0],
        "tests/y.py::z": [4, 0],
    },
}


def test_a_run_keeps_what_each_test_took_and_computed_with_its_children(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(INNER)
    (tmp_path / "test_inner.py").write_text(WORKS)
    kept = tmp_path / "times.json"
    for workers in ("0", "1"):
        ran = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", workers, "test_inner.py"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), WRITTEN_TO: str(kept)},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        tests = json.loads(kept.read_text())["tests"]
        waits, computes = tests["test_inner.py::test_waits"], tests["test_inner.py::test_has_a_child_compute"]
        assert waits[0] >= 0.4 > computes[1] - computes[0]
        assert computes[1] >= 0.4 > waits[1]
        kept.unlink()


def test_files_are_added_up_and_the_slowest_come_first() -> None:
    assert by_file(RUN["tests"]) == {"tests/y.py": (4.0, 0.0), "tests/a/test_x.py": (3.0, 1.5)}  # type: ignore[arg-type]  # mypy joins the values to `object`
    assert weights(RUN) == {"tests/y.py": 4.0, "tests/a/test_x.py": 3.0}
    text = tables(RUN)
    assert (text.startswith(BEGIN), text.endswith(END)) == (True, True)
    assert "3 tests in 2 files took 10 min 5 s with 3 workers" in text
    assert text.index("| `tests/y.py` | 4.0 | 0.0 |") < text.index("| `tests/a/test_x.py` | 3.0 | 1.5 |")
    assert text.index("| `tests/a/test_x.py::one[a::b]` | 2.0 | 0.5 |") < text.index(
        "| `tests/a/test_x.py::two` | 1.0 | 1.0 |"
    )


def test_the_page_has_a_place_for_the_tables_and_the_order_of_files_its_figures() -> None:
    text = TIMES_PAGE.read_text("utf-8")
    assert (text.count(BEGIN), text.count(END)) == (1, 1)
    assert set(json.loads(RECORDED.read_text("utf-8"))) >= {"tests/flow/test_flow_crashes.py"}
