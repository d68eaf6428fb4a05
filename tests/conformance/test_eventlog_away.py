"""A log whose database is away says so in one way, whatever the driver raises and whatever was asked."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from libs.eventlog import EventLog, LogUnavailable
from tests.support.feeds import ticking_clock
from tests.support.postgres import Cluster
from tests.support.proxy import Proxy

ASKED: list[Callable[[EventLog], object]] = [
    lambda log: log.acquire_lease("relay", "a"),
    lambda log: log.head(),
    lambda log: log.read(0),
    lambda log: log.read_raw(0),
]


@pytest.mark.parametrize("ask", ASKED, ids=["lease", "head", "read", "raw"])
def test_whatever_is_asked_of_a_log_that_is_away_is_unavailable(
    postgres: Cluster, ask: Callable[[EventLog], object]
) -> None:
    with Proxy(postgres.port) as proxy:
        log = EventLog.open(proxy.through(postgres.new_database()), clock=ticking_clock())
    try:
        for _ in range(3):  # on the connections that it had, and on new ones
            with pytest.raises(LogUnavailable):
                ask(log)
    finally:
        log.close()
