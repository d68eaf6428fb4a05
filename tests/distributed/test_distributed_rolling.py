"""A rolling restart of everything under load: a client that tries again on 503 sees no other fault."""

from __future__ import annotations

from tests.support.clients import GROUPS, NAMESPACES, STORES, Clients
from tests.support.drills import chance, seed
from tests.support.system import SERVICES, System
from tests.support.waiting import until

READS = (
    ("inventory", "/v1/stores:count"),
    ("grouping", "/v1/groups"),
    ("catalog", "/v1/namespaces"),
    ("policy", "/v1/calendars"),
    ("rendering", "/v1/rendering"),
    ("audit", "/v1/events"),
    ("relay", "/v1/inbox"),
)
ALLOWED = {"200", "201", "503", "ConnectError"}


def test_a_rolling_restart_of_every_service(system: System) -> None:
    """Both replicas of every service are told to end and started again, one after the other, while clients go on."""
    system.start()
    system.start(*(service for service in SERVICES if service != "rendering"), replica="b")
    system.start("rendering", replica="b", ready=False)  # it stands by until the other one lets go
    order = [(service, replica) for replica in "ab" for service in chance().sample(SERVICES, len(SERVICES))]
    with Clients(system, STORES, GROUPS, NAMESPACES, seed=seed(), pause_seconds=0.1, reads=READS) as clients:
        clients.more(5)
        for service, replica in order:
            system.stop(service, replica)
            if service == "rendering":
                system.wait_ready(service, "b" if replica == "a" else "a")
                system.start(service, replica=replica, ready=False)
            else:
                system.start(service, replica=replica)
        clients.more(10)
    assert set(clients.answers) <= ALLOWED, clients.answers
    system.kill("rendering", "b")  # it stands by, and would never be where the log is
    until(lambda: system.metrics("relay"), what="the relay answers")
    system.check()
    clients.check()
