"""Services that die of SIGKILL at each step of their work, under load; what was acknowledged stays, once."""

from __future__ import annotations

from tests.support.clients import Clients
from tests.support.drills import chance, die_at, seed, shuffled
from tests.support.rendered import render
from tests.support.system import System
from tests.support.topic import check_topic, published_position, topic_positions

APPEND = (
    "eventlog.before-lock",
    "eventlog.after-lock",
    "eventlog.after-insert",
    "eventlog.before-commit",
    "eventlog.after-commit",
    "eventlog.before-answer",
)
RELAY = (
    "relay.after-read",
    "relay.in-batch",
    "relay.before-acknowledged",
    "relay.after-acknowledged",
    "relay.before-record",
)
PROJECTOR = ("bus.view.before-commit", "bus.view.after-commit", "bus.kafka.before-ack", "bus.kafka.after-ack")


def test_a_writer_killed_at_each_step_of_an_append(system: System) -> None:
    """SIGKILL before and after the head lock, after the insert, around COMMIT and before the answer; clients retry."""
    chances = chance()
    system.start("relay")
    if seed() % 2 == 0:  # a second replica takes over what the dying one was asked
        system.start("inventory", replica="b")
    with Clients(system, seed=seed()) as clients:
        for point in shuffled(chances, APPEND):
            die_at(system, "inventory", f"{point}:{chances.randint(1, 8)}")
        system.start("inventory")
        clients.more(10)
    render(system)
    system.check()
    clients.check()


def test_a_relay_killed_at_each_step_of_publishing(system: System) -> None:
    """SIGKILL after the read, in mid-batch, sent, acknowledged, and before the record: never past what Kafka has."""
    chances = chance()
    system.start("relay", "inventory", "audit")
    with Clients(system, seed=seed()) as clients:
        clients.more(5)
        system.kill("relay")
        for point in shuffled(chances, RELAY):
            clients.more(3)  # the next relay begins with a batch
            die_at(system, "relay", f"{point}:{chances.randint(1, 3)}")
            recorded, there = published_position(system), topic_positions(system)
            assert recorded <= max(there, default=0), f"after {point}: {recorded} is recorded, the topic has {there}"
        system.start("relay")
        clients.more(5)
    render(system)
    system.check()
    clients.check()
    check_topic(system)


def test_a_projector_killed_around_its_commits(system: System) -> None:
    """SIGKILL before and after a view's commit, and before and after the commit of its offset in Kafka."""
    chances = chance()
    system.start("relay", "inventory")
    with Clients(system, seed=seed()) as clients:
        for number, point in enumerate(shuffled(chances, PROJECTOR)):
            service = ("audit", "inventory")[(number + seed()) % 2]
            if service == "inventory":
                system.kill("inventory")
            die_at(system, service, f"{point}:{chances.randint(1, 4)}")
            if service == "inventory":
                system.start("inventory")
        system.start("audit")
        clients.more(5)
    render(system)
    system.check()
    clients.check()
