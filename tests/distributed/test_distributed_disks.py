"""Disks that are full or read-only for a while, and commits that fail: every process goes on by itself."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from libs.eventlog import EventLog
from libs.eventlog.appender import WAITS_SECONDS
from libs.runtime.clock import utc_now
from tests.support.clients import Clients
from tests.support.disks import SmallDisk, small_disk
from tests.support.drills import chance, seed
from tests.support.postgres import database_user
from tests.support.refusing import Refusal
from tests.support.rendered import check_branch, declare
from tests.support.system import System
from tests.support.waiting import until

SERVICES = ("relay", "inventory", "catalog", "rendering", "audit")
LONGER_THAN_ALL_RETRIES_SECONDS = sum(WAITS_SECONDS) + 2.0


def readiness(system: System, service: str) -> str:
    return system.http("GET", "/readyz?verbose", service=service).text


def test_a_renderer_whose_disk_is_full_and_read_only_for_a_while(system: System) -> None:
    """The disk of the repository is filled and freed, made read-only and writable again, under load."""
    with small_disk(system.directory / "gitops.git", 24) as disk:
        system.start(*SERVICES)
        with Clients(system, seed=seed()) as clients:
            clients.more(5)
            declare(system)
            disk.fill()
            clients.more(chance().randint(3, 8))
            until(lambda: "No space left" in readiness(system, "rendering"), what="the renderer says what it lacks")
            disk.free()
            clients.more(5)
            disk.make_read_only()
            clients.more(chance().randint(3, 8))
            until(lambda: "Read-only file system" in readiness(system, "rendering"), what="the renderer says so")
            disk.make_writable()
            clients.more(5)
        system.check()
        clients.check()
        check_branch(system)
        for service in SERVICES:
            system.wait_ready(service)
            system.stop(service)


def test_a_log_whose_commits_fail_through_all_retries(system: System) -> None:
    """PostgreSQL refuses every COMMIT of the log for longer than an append is tried again, under load, twice."""
    EventLog.open(system.log_url, clock=utc_now).close()
    refusal = Refusal(system.postgres, system.log_url)
    system.start(*SERVICES)
    with Clients(system, seed=seed()) as clients:
        clients.more(5)
        declare(system)
        for _ in range(2):
            with refusal.refusing():
                # Every retry inside the services fails: an outage that is shorter shows nothing.
                time.sleep(LONGER_THAN_ALL_RETRIES_SECONDS + chance().random())
            clients.more(5)
        assert clients.answers["503"], clients.answers
    system.check()
    clients.check()
    check_branch(system)
    for service in SERVICES:
        system.wait_ready(service)


def test_a_log_whose_disk_is_full_for_a_while(system: System) -> None:
    """The tables of the log lie on a small disk of PostgreSQL's that is filled and freed, under load."""
    EventLog.open(system.log_url, clock=utc_now).close()
    with space_of_its_own(system) as disk:
        system.start(*SERVICES)
        with Clients(system, seed=seed()) as clients:
            clients.more(5)
            declare(system)
            disk.fill()
            # What is free in pages that PostgreSQL has already taken is used up first.
            until(lambda: clients.answers["503"], 90.0, "a change is answered with a 503")
            time.sleep(LONGER_THAN_ALL_RETRIES_SECONDS)  # every retry inside the services fails as well
            disk.free()
            clients.more(10)
        system.check()
        clients.check()
        check_branch(system)
        for service in SERVICES:
            system.wait_ready(service)


@contextmanager
def space_of_its_own(system: System) -> Iterator[SmallDisk]:
    """Move the tables of the log to a small disk, and back at the end: the server is other drills' as well."""
    schema = system.log_url.partition("://")[2].partition("@")[0]
    space = f"space_{schema}"
    directory = Path(tempfile.mkdtemp(prefix="resedge-space-"))
    directory.chmod(0o755)
    try:
        with small_disk(directory / "disk", 24) as disk:
            location = disk.path / "space"
            location.mkdir()
            shutil.chown(location, database_user() or "root")
            system.postgres.execute(f"CREATE TABLESPACE {space} LOCATION '{location}'")
            moved = f"""DO $$ DECLARE each record; BEGIN
                FOR each IN SELECT tablename AS name FROM pg_tables WHERE schemaname = '{schema}' LOOP
                    EXECUTE format('ALTER TABLE {schema}.%I SET TABLESPACE %s', each.name, '{{0}}');
                END LOOP;
                FOR each IN SELECT indexname AS name FROM pg_indexes WHERE schemaname = '{schema}' LOOP
                    EXECUTE format('ALTER INDEX {schema}.%I SET TABLESPACE %s', each.name, '{{0}}');
                END LOOP; END $$"""  # noqa: S608 - our names
            system.postgres.execute(moved.format(space))
            try:
                yield disk
            finally:
                disk.free()
                system.__exit__()
                system.postgres.execute(moved.format("pg_default"))
                system.postgres.execute(f"DROP TABLESPACE {space}")
    finally:
        shutil.rmtree(directory, ignore_errors=True)
