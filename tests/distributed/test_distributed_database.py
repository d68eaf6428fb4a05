"""A database that restarts, and connections that break around COMMIT: nothing acknowledged is lost or doubled."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.clients import Clients
from tests.support.drills import chance, seed
from tests.support.postgres import Cluster
from tests.support.proxy import AFTER, BEFORE, Proxy
from tests.support.rendered import check_branch, declare
from tests.support.system import System

CUTS = 12


@pytest.fixture
def log_proxy(postgres: Cluster) -> Iterator[Proxy]:
    with Proxy(postgres.port) as proxy:
        yield proxy


@pytest.fixture
def views_proxy(postgres: Cluster) -> Iterator[Proxy]:
    with Proxy(postgres.port) as proxy:
        yield proxy


def test_a_database_that_restarts(system: System) -> None:
    """PostgreSQL is killed with the log and all views in it, twice, under load; everybody goes on by itself."""
    system.start("relay", "inventory", "catalog", "rendering", "audit")
    with Clients(system, seed=seed()) as clients:
        clients.more(5)
        declare(system)
        for _ in range(2):
            clients.more(chance().randint(5, 15))
            system.postgres.restart()
        clients.more(10)
    system.check()
    clients.check()
    check_branch(system)


def test_connections_cut_around_commit(system: System, log_proxy: Proxy, views_proxy: Proxy) -> None:
    """COMMITs of the log, and of views, are cut before PostgreSQL gets them or before its answer comes back."""
    services = ("relay", "inventory", "catalog", "rendering")
    chances = chance()
    system.log_url = log_proxy.through(system.log_url)
    for service in services:
        system.views[service] = views_proxy.through(system.new_views())
    system.start(*services)
    with Clients(system, seed=seed()) as clients:
        clients.more(5)
        declare(system)
        for _ in range(CUTS):
            chances.choice((log_proxy, views_proxy)).cut(chances.choice((BEFORE, AFTER)))
        clients.more(10)
    system.check()
    clients.check()
    check_branch(system)
