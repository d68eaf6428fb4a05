"""What tests take: kept while a whole run goes on, and read for the order of files and for `scripts/test --quick`.

A run only writes where it is told to (`RESEDGE_TESTS_TIMES`); what is committed, `tests/data/times.json`, changes with
`python -m scripts.times` alone, so that two runs of one commit go in one order.

A test's CPU seconds are those of the process that ran it and of the children that ended meanwhile.
"""

from __future__ import annotations

import json
import os
import resource
import time
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

WRITTEN_TO = "RESEDGE_TESTS_TIMES"
ROOT = Path(__file__).parents[2]
RECORDED = ROOT / "tests" / "data" / "times.json"
QUICK_SECONDS_MAX = 1.5
"""What a file may have taken, in the recorded run, that `scripts/test --quick` runs too."""
_CPU = "cpu_seconds"


class Times:
    """A plugin of every process of a run: those that run tests tell the CPU seconds, the one that leads keeps all."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._cpu = _cpu_seconds()
        self._tests: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])

    def spent(self, report: pytest.TestReport) -> None:
        """Put on a report what has been computed since the one before."""
        now = _cpu_seconds()
        setattr(report, _CPU, now - self._cpu)
        self._cpu = now

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        kept = self._tests[report.nodeid]
        kept[0] += report.duration
        kept[1] += getattr(report, _CPU, 0.0)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        path = os.environ.get(WRITTEN_TO)
        if not path or hasattr(session.config, "workerinput"):
            return
        written = {
            "seconds": round(time.monotonic() - self._began, 1),
            "workers": session.config.getoption("numprocesses", None) or 1,
            "cores": os.cpu_count(),
            "tests": {name: [round(each, 3) for each in kept] for name, kept in self._tests.items()},
        }
        Path(path).write_text(json.dumps(written), "utf-8")


@cache
def recorded() -> dict[str, float]:
    """Return the seconds of each file of tests in the last recorded run, by its path from the project's folder."""
    return {name: float(seconds) for name, seconds in json.loads(RECORDED.read_text("utf-8")).items()}


def seconds_of(path: Path) -> float:
    """Return what a file took in the recorded run; 0 if it is newer."""
    name = str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)
    return recorded().get(name, 0.0)


def _cpu_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime
