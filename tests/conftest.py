"""For all tests: where everything that they need was promised (`scripts/test`), a test that skips itself fails."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

COMPLETE = "RESEDGE_TESTS_COMPLETE"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure under `scripts/test`: what was not tried proves nothing."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get(COMPLETE):
        report.outcome = "failed"
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.longrepr = f"skipped, though scripts/test promises that nothing is: {reason}"
    return report
