"""For all tests: children begin with the signals' default handling, and under `scripts/test` a skip is a failure."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

from tests.conformance.sqlserver_server import why_absent
from tests.support.children import restore_signals
from tests.support.ordering import ordered

COMPLETE = "RESEDGE_TESTS_COMPLETE"


def pytest_configure() -> None:
    """Let children hear the signals that a shell in the background has had us ignore, in every worker.

    Removals do not settle where a test does not ask for it (tests/flow/test_flow_settling.py does): each one would
    take 15 seconds.
    """
    restore_signals()
    os.environ.setdefault("RESEDGE_RENDERING_REMOVALS_SETTLE_SECONDS", "0")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the files in an order in which workers that take one after the other end together."""
    items[:] = ordered(items, lambda item: item.path)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure under `scripts/test`: what was not tried proves nothing."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get(COMPLETE):
        report.outcome = "failed"
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.longrepr = f"skipped, though scripts/test promises that nothing is: {reason}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say whether the event log's conformance suite ran on SQL Server too: it is not everywhere."""
    reports = (report for reports in terminalreporter.stats.values() for report in reports)
    if not any(str(getattr(report, "nodeid", "")).startswith("tests/conformance/") for report in reports):
        return
    absent = why_absent()
    said = f"NOT run on SQL Server: {absent}" if absent else "run on SQL Server too"
    terminalreporter.write_sep("-", "event log")
    terminalreporter.write_line(f"The conformance suite was {said}.")
