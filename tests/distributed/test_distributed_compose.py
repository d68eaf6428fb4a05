"""The compose file brought up as processes: all of it starts, works together, is told of when it dies, and ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pg8000.dbapi
import pytest

from scripts.compose_local_file import read_variables
from tests.support.ports import free_neighbours
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]
UP_SECONDS_MAX = 600  # seven services, Kafka and PostgreSQL from nothing: 30 s alone, a few minutes on a busy machine
SERVICES = ("inventory", "grouping", "catalog", "policy", "rendering", "audit", "relay")
DOCUMENTS = """
{apiVersion: resedge.dev/v1, kind: Store, metadata: {name: tx-austin-0042}, spec: {timezone: America/Chicago}}
---
{apiVersion: resedge.dev/v1, kind: Group, metadata: {path: /geo/us/tx}, spec: {clusters: [tx-austin-0042]}}
---
{apiVersion: resedge.dev/v1, kind: Namespace, metadata: {name: pos}, spec: {expression: /g/geo/us}}
---
{apiVersion: resedge.dev/v1, kind: Application, metadata: {name: pos-api}, spec: {namespace: pos}}
"""
MANIFEST = """
{apiVersion: v1, kind: ConfigMap, metadata: {name: pos}, data: {store: "${edge.store.name}"}}
"""


class Local:
    """One system of scripts/compose-local, in a directory and on ports of its own."""

    def __init__(self, home: Path, port_base: int) -> None:
        self.home, self.port_base = home, port_base

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        options = ["--dir", str(self.home), *(["--port-base", str(self.port_base)] if words[0] == "up" else [])]
        return _run(str(ROOT / "scripts/compose-local"), *words, *options, timeout=UP_SECONDS_MAX)

    def resedge(self, *words: str) -> str:
        done = _run(str(ROOT / ".venv/bin/resedge"), *words, timeout=180, XDG_CONFIG_HOME=str(self.home / "xdg"))
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout

    def pid(self, service: str) -> int:
        kept: dict[str, Any] = json.loads((self.home / f".dev/local/run/{service}.json").read_text())
        return int(kept["pid"])


def _run(*words: str, timeout: float, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=timeout
    )


@pytest.fixture(scope="module")
def local() -> Iterator[Local]:
    # Not under pytest's own directory, which PostgreSQL's user cannot enter.
    home = Path(tempfile.mkdtemp(prefix="resedge-compose-", dir="/tmp"))
    home.chmod(0o711)
    system = Local(home, free_neighbours(10))
    try:
        up = system.run("up")
        assert up.returncode == 0, up.stderr
        (home / "xdg/resedge").mkdir(parents=True)
        shutil.copy(home / "config.yaml", home / "xdg/resedge/config.yaml")
        yield system
    finally:
        system.run("down")
        shutil.rmtree(home, ignore_errors=True)


def test_a_release_travels_through_all_services_to_a_store_s_files(local: Local, tmp_path: Path) -> None:
    (tmp_path / "documents.yaml").write_text(DOCUMENTS)
    (tmp_path / "release").mkdir()
    (tmp_path / "release/pos.yaml").write_text(MANIFEST)

    local.resedge("apply", "-f", str(tmp_path / "documents.yaml"))
    local.resedge("publish", "pos-api", "1.0.0", str(tmp_path / "release"))
    local.resedge("set-release", "pos-api", "1.0.0")
    local.resedge("wait", "--for=rendered", "--timeout", "120s")

    repository = local.home / ".dev/local/data/rendering/gitops.git"
    tree = _run("git", "-C", str(repository), "ls-tree", "-r", "--name-only", "main", timeout=30).stdout.split()
    assert [path for path in tree if path.endswith("/tx-austin-0042/pos/pos-api.yaml")]
    assert "1.0.0" in local.resedge("why", "tx-austin-0042", "pos-api")


def test_every_service_is_told_of_as_healthy(local: Local) -> None:
    status = local.run("status")

    assert status.returncode == 0, status.stdout
    told = dict(line.split(maxsplit=1) for line in status.stdout.splitlines())
    for service in (*SERVICES, "edge", "kafka", "postgres"):
        assert told[service].startswith("healthy, pid "), told[service]
    for step in ("topics", "init-log", "init-views"):
        assert told[step] == "completed"
    assert told["sqlserver"] == "replaced by the database `log` of the local PostgreSQL"
    assert "grafana" not in told


def test_each_service_s_role_sees_its_own_views_and_no_other_s(local: Local) -> None:
    known = read_variables(local.home / ".env")

    def ask(service: str, statement: str) -> Any:
        password = known[f"RESEDGE_{service.upper()}_VIEWS_PASSWORD"]
        where = {"host": "127.0.0.1", "port": local.port_base + 7, "database": "views", "ssl_context": False}
        connection = pg8000.dbapi.connect(user=f"resedge_{service}", password=password, **where)
        try:
            cursor = connection.cursor()
            cursor.execute(statement)
            return cursor.fetchone()
        finally:
            connection.close()

    assert ask("inventory", "SELECT count(*) FROM documents") == [1] or ask("inventory", "SELECT 1")
    for service in SERVICES:
        for other in {*SERVICES} - {service}:
            with pytest.raises(pg8000.dbapi.Error, match="permission denied"):
                ask(service, f"SELECT 1 FROM resedge_{other}.documents")  # noqa: S608 - our own names
        with pytest.raises(pg8000.dbapi.Error, match="permission denied"):
            ask(service, "CREATE TABLE public.theirs (a int)")


def test_a_crash_is_told_of_and_up_starts_what_is_missing(local: Local) -> None:
    before = {service: local.pid(service) for service in SERVICES}
    os.kill(before["grouping"], signal.SIGKILL)

    def status() -> subprocess.CompletedProcess[str]:
        return local.run("status", "grouping")

    # A kill takes effect a moment later, and its exit code is written by who waited for it.
    until(lambda: status().stdout.startswith("grouping  crashed: exit code 137, see "), what="the crash is told of")
    assert status().returncode == 1

    up = local.run("up")
    assert up.returncode == 0, up.stderr
    assert "started init-log" not in up.stderr, "what it needs was not started anew"
    after = {service: local.pid(service) for service in SERVICES}
    assert {service for service in SERVICES if before[service] != after[service]} == {"grouping"}
    assert "/geo/us/tx" in local.resedge("get", "groups", "-o", "name")


def test_down_ends_everything_well_and_in_reverse_order(local: Local) -> None:
    assert "inventory | " in local.run("logs", "inventory").stdout

    down = local.run("down")

    stopped = [line.removeprefix("stopped: ").split(",")[0] for line in down.stderr.splitlines()]
    assert down.returncode == 0, down.stderr
    assert stopped[:2] == ["relay", "edge"]
    assert set(stopped[-2:]) == {"postgres", "kafka"}
    assert set(stopped) == {*SERVICES, "edge", "postgres", "kafka"}
    assert local.run("status", "inventory").stdout == "inventory  not started\n"
    assert local.run("down").returncode == 0, "there is nothing left to end, which is well"


def test_a_service_that_is_not_there_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    refused = _run(str(ROOT / "scripts/compose-local"), "up", "nobody", "--dir", str(tmp_path), timeout=60)

    assert refused.returncode == 2
    assert "there is no service nobody; there are" in refused.stderr
    assert list(tmp_path.iterdir()) == []
