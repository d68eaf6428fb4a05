"""The log put back from an older backup: what is ahead of it stops and says so; nothing is rewritten; a word goes on.

The steps are those of docs/how-to/restore-the-log.md.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import httpx2
import pg8000.dbapi
import pytest
from sqlalchemy import make_url

from tests.support.journeys import store
from tests.support.rendered import declare, git
from tests.support.system import ROOT, System
from tests.support.topic import published_position, topic_positions
from tests.support.waiting import until

PAGE = ROOT / "docs/how-to/restore-the-log.md"
SERVICES = ("relay", "inventory", "catalog", "rendering")


class Backup:
    """A copy of all tables of a log, made and put back in SQL by the database's administrator."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._schema = str(make_url(system.log_url).username)
        each = "EXECUTE format('CREATE TABLE %I.%I AS TABLE %I.%I', '{0}_kept', t, '{0}', t);"
        system.postgres.execute(f"CREATE SCHEMA {self._schema}_kept")
        self._do(each)

    def restore(self) -> None:
        """Put the copy in the place of what is there, in one transaction."""
        self._do(
            "EXECUTE format('DELETE FROM %I.%I', '{0}', t);"
            " EXECUTE format('INSERT INTO %I.%I SELECT * FROM %I.%I', '{0}', t, '{0}_kept', t);"
        )

    def _do(self, each: str) -> None:
        body = each.format(self._schema)
        self._system.postgres.execute(
            "DO $$ DECLARE t text; BEGIN FOR t IN SELECT tablename FROM pg_tables "  # noqa: S608 - names of ours
            f"WHERE schemaname = '{self._schema}' LOOP {body} END LOOP; END $$"
        )


def table(system: System, service: str, name: str) -> list[Any]:
    """Return the rows of a view, however the service is."""
    url = make_url(system.views[service])
    connection = pg8000.dbapi.connect(
        user=str(url.username), host=url.host, port=url.port, database=url.database, ssl_context=False
    )
    try:
        cursor = connection.cursor()
        cursor.execute(f"SELECT * FROM {name}")  # noqa: S608 - a name of ours
        return sorted(map(list, cursor.fetchall()), key=repr)
    finally:
        connection.close()


def outside(system: System) -> Any:
    """Return everything that was made of the log: views, what is on Kafka, the branch."""
    views = {service: table(system, service, "documents") for service in ("inventory", "catalog")}
    return views, max(topic_positions(system)), published_position(system), git(system, "rev-parse", "main")


def said(system: System, service: str) -> str:
    try:
        answer = system.http("GET", "/readyz?verbose", service=service)
    except httpx2.TransportError:
        return ""  # not listening yet
    return "" if answer.status_code == 200 else answer.text


def carry_out(system: System, verb: str, service: str = "") -> None:
    """Run the command of the page that begins with `verb`, against a service if one is named."""
    found = re.findall(rf"^ *\$ \.venv/bin/resedge ({verb} .*)$", PAGE.read_text(), re.MULTILINE)
    assert len(found) == 1, f"{PAGE} has {len(found)} commands {verb}"
    environment = {**os.environ, "RESEDGE_LOG_URL": system.log_url, "RESEDGE_TOKEN": system.token}
    if service:
        environment["RESEDGE_SERVER"] = system.replicas(service)[0].url
    words = [each.replace("$RESEDGE_LOG_URL", system.log_url) for each in shlex.split(found[0])]
    done = subprocess.run(
        [sys.executable, "-m", "cli", *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def with_services_stopped(system: System, restore: Callable[[], None]) -> None:
    for service in SERVICES:
        system.stop(service)
    restore()
    system.start(*SERVICES, ready=False)


def while_they_run(_system: System, restore: Callable[[], None]) -> None:
    restore()


@pytest.mark.parametrize("how", [with_services_stopped, while_they_run])
def test_what_is_ahead_of_a_restored_log_stops_until_it_is_told_to_go_on(
    system: System, how: Callable[[System, Callable[[], None]], None]
) -> None:
    system.start(*SERVICES)
    system.change("PUT", "/v1/stores/one", json=store("one"))
    declare(system)
    system.settle()
    backup = Backup(system)
    kept = list(system.acknowledged)
    for number in range(5):
        system.change("PUT", f"/v1/stores/lost-{number}", json=store(f"lost-{number}"))
    lost = {"kind": "Namespace", "metadata": {"name": "lost"}, "spec": {"expression": "/c/*"}}
    assert system.change("PUT", "/v1/namespaces/lost", json=lost).status_code == 201
    until(lambda: published_position(system) == system.settle(), what="all is published")
    before = outside(system)

    how(system, backup.restore)

    for service in SERVICES:
        until(lambda s=service: stops(system, s), what=f"{service} says so")  # type: ignore[misc]  # a lambda with defaults has no type that mypy can infer
    until(lambda: "another event" in said(system, "relay") or "ends" in said(system, "relay"), what="the relay")
    if how is while_they_run:  # otherwise the fleet was folded from the log as it is now
        refused = system.http("PUT", "/v1/stores/new", json=store("new"))
        assert refused.status_code == 503, "what remembers lost facts decides nothing"
    assert outside(system) == before, "nothing is rewritten"

    system.acknowledged = kept
    for service in SERVICES:
        system.kill(service)
    carry_out(system, "admin new-epoch")
    system.start(*SERVICES, ready=False)
    for service in SERVICES:
        rebuild(system, service)
    carry_out(system, "gitops restore", "rendering")
    for service in SERVICES:
        system.wait_ready(service)
    answer = system.change("PUT", "/v1/stores/new", json=store("new"))
    assert answer.status_code == 201, answer.text
    system.check()
    until(lambda: published_position(system) == system.settle(), what="the relay goes on")
    assert system.http("GET", "/v1/stores/lost-1").status_code == 404
    assert "/lost-1/" not in git(system, "ls-tree", "-r", "--name-only", "main")
    assert before[-1].strip() in git(system, "rev-list", "main").split(), "what was committed is still there"


def stops(system: System, service: str) -> bool:
    text = said(system, service)
    return any(each in text for each in ("stopped", "ends at", "ends before", "another event", "branch main is at"))


def rebuild(system: System, service: str) -> None:
    """Let a service build its views anew, and wait until they are."""
    until(lambda: listening(system, service), what=f"{service} listens")
    for item in system.http("GET", "/v1/projections", service=service).json()["items"]:
        path = f"/v1/projections/{item['projection']}"
        begun = system.http("POST", f"{path}:rebuild", service=service)
        assert begun.status_code == 202, begun.text
        until(lambda p=path: system.http("GET", p, service=service).json()["state"] == "live")  # type: ignore[misc]  # a lambda with defaults has no type that mypy can infer


def listening(system: System, service: str) -> bool:
    try:
        return system.http("GET", "/livez", service=service).status_code == 200
    except httpx2.TransportError:
        return False
