"""For all tests: children begin with the signals' default handling, and under `scripts/test` a skip is a failure.

`--quick` runs the files that took little in the recorded run, and those that it does not know.
"""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

from tests.conformance.sqlserver_server import why_absent
from tests.support.children import restore_signals
from tests.support.ordering import ordered
from tests.support.times import QUICK_SECONDS_MAX, Times, seconds_of

COMPLETE = "RESEDGE_TESTS_COMPLETE"
TIMES = pytest.StashKey[Times]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Take `--quick`."""
    parser.addoption("--quick", action="store_true", help="run only the files that take little")


def pytest_configure(config: pytest.Config) -> None:
    """Let children hear the signals that a shell in the background has had us ignore, in every worker.

    Removals do not settle where a test does not ask for it (tests/flow/test_flow_settling.py does): each one would
    take 15 seconds.
    """
    restore_signals()
    os.environ.setdefault("RESEDGE_RENDERING_REMOVALS_SETTLE_SECONDS", "0")
    config.stash[TIMES] = Times()
    config.pluginmanager.register(config.stash[TIMES])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run the files in an order in which workers that take one after the other end together."""
    if config.getoption("--quick"):
        left_out = [item for item in items if seconds_of(item.path) > QUICK_SECONDS_MAX]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if seconds_of(item.path) <= QUICK_SECONDS_MAX]
    items[:] = ordered(items, lambda item: item.path, seconds_of)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure under `scripts/test`: what was not tried proves nothing."""
    report = yield
    item.config.stash[TIMES].spent(report)
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
