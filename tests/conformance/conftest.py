"""The databases that every dialect's conformance test runs on."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from libs.eventlog import EventLog
from tests.conformance.sqlserver_double import STAND_IN_URL, Double
from tests.conformance.sqlserver_server import Server, server, why_absent
from tests.support.feeds import ticking_clock
from tests.support.postgres import Cluster, cluster


@dataclass
class Database:
    """Where one test's log lies; `cut` ends every connection to it, as far as the database can be cut off."""

    dialect: str
    url: str
    cut: Callable[[], None]


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    with cluster() as running:
        yield running


@pytest.fixture(scope="session")
def sqlserver() -> Iterator[Server]:
    with server() as running:
        yield running


_numbers = itertools.count()


@pytest.fixture(params=["sqlite", "postgresql", "sqlserver-stand-in", *([] if why_absent() else ["sqlserver"])])
def database(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    if request.param == "sqlite":
        return Database("sqlite", f"sqlite:///{tmp_path / f'log{next(_numbers)}.db'}", lambda: None)
    if request.param == "sqlserver-stand-in":
        double = Double(tmp_path / f"sqlserver{next(_numbers)}.db")
        monkeypatch.setitem(sys.modules, "pyodbc", double)
        return Database("sqlserver", STAND_IN_URL, double.cut)
    running: Cluster | Server = request.getfixturevalue("postgres" if request.param == "postgresql" else "sqlserver")
    url = running.new_database()
    return Database(request.param, url, lambda: running.cut_connections(url))


@pytest.fixture
def log(database: Database) -> Iterator[EventLog]:
    log = EventLog.open(database.url, clock=ticking_clock())
    yield log
    log.close()
