"""Two relays and two renderers: one of each hangs, the other takes over, the first wakes up and sets nobody back."""

from __future__ import annotations

import time

from libs.contracts import ForeignCommitFound
from tests.support.clients import Clients
from tests.support.drills import chance, seed
from tests.support.rendered import check_branch, declare, git
from tests.support.system import System
from tests.support.topic import check_topic, published_position
from tests.support.waiting import until

LEASE_SECONDS = 3.0


def leader(system: System, replicas: tuple[str, ...] = ("a", "b")) -> str:
    """Return the relay that publishes, once there is one."""
    return str(
        until(
            lambda: next((each for each in replicas if system.metrics("relay", each)["resedge_relay_leads"]), ""),
            what="a relay leads",
        )
    )


def foreign_commits(system: System) -> int:
    log = system.log()
    try:
        return sum(isinstance(each.event, ForeignCommitFound) for each in log.read_recorded(0, 100_000))
    finally:
        log.close()


def test_a_relay_that_hung_sets_nobody_back(system: System) -> None:
    chances = chance()
    system.start("relay", "inventory")
    system.start("relay", replica="b")
    positions: list[int] = []
    with Clients(system, seed=seed(), pause_seconds=0.02) as clients:
        for _ in range(2):
            clients.more(10)
            hung = leader(system)
            other = "b" if hung == "a" else "a"
            positions.append(published_position(system))
            system.pause("relay", hung)
            assert leader(system, (other,)) == other
            clients.more(10)
            until(lambda: published_position(system) > positions[-1], what="the other one goes on")
            time.sleep(chances.random())  # wherever the other one is by then
            positions.append(published_position(system))
            system.resume("relay", hung)
            until(lambda h=hung: not system.metrics("relay", h)["resedge_relay_leads"])  # type: ignore[misc]  # a lambda with defaults has no type that mypy can infer
            positions.append(published_position(system))
    clients.check()

    assert positions == sorted(positions)
    until(lambda: published_position(system) == system.settle(), what="all is published")
    check_topic(system)
    system.check()


def test_a_renderer_that_hung_writes_nothing_over_the_other_ones_commits(system: System) -> None:
    chances = chance()
    system.start("relay", "inventory", "catalog", "rendering")
    system.start("rendering", replica="b", ready=False)
    with Clients(system, seed=seed(), pause_seconds=0.05) as clients:
        clients.more(5)
        declare(system)
        writing, waiting = "a", "b"
        for _ in range(2):
            clients.more(5)
            time.sleep(chances.random() * 0.3)  # wherever it is in its writing
            pause_outside_the_lock(system, writing)
            system.wait_ready("rendering", waiting)
            clients.more(5)
            system.resume("rendering", writing)
            until(lambda w=writing: "lease" in unready(system, w), what="it says so")  # type: ignore[misc]  # a lambda with defaults has no type that mypy can infer
            clients.more(3)
            system.kill("rendering", writing)
            system.start("rendering", replica=writing, ready=False)
            writing, waiting = waiting, writing
        system.kill("rendering", waiting)
    clients.check()

    system.check()
    assert foreign_commits(system) == 0
    check_branch(system)


def pause_outside_the_lock(system: System, replica: str) -> None:
    """Pause a renderer, but not while it moves the ref: a live process keeps that lock until it has ended."""
    lock = system.directory / "gitops.git" / "refs" / "heads" / "main.lock"

    def outside() -> bool:
        system.pause("rendering", replica)
        held = lock.exists()
        if held:
            system.resume("rendering", replica)
        return not held

    until(outside, what="it is paused between two moves of the ref")


def unready(system: System, replica: str) -> str:
    answer = system.http("GET", "/readyz?verbose", service="rendering", replica=replica)
    return "" if answer.status_code == 200 else answer.text


def test_a_renderer_with_a_repository_of_its_own_takes_over_with_the_same_commits(system: System) -> None:
    own = system.directory / "own.git"
    system.start("relay", "inventory", "catalog", "rendering")
    system.start("rendering", replica="b", ready=False, RESEDGE_RENDERING_REPOSITORY=str(own))
    with Clients(system, seed=seed(), pause_seconds=0.05) as clients:
        clients.more(5)
        declare(system)
        clients.more(5)
        system.pause("rendering")
        system.wait_ready("rendering", "b")
        clients.more(5)
        system.resume("rendering")
        until(lambda: "lease" in unready(system, "a"), what="it says so")
        system.kill("rendering")
    clients.check()

    system.check()
    assert foreign_commits(system) == 0
    left = git(system, "rev-parse", "main").strip()
    assert left in git(system, "--git-dir", str(own), "rev-list", "main").split(), "the same commits, and more"
