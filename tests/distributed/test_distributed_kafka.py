"""Kafka is a doorbell: killed, wiped, away for a while, or full of what nobody of ours has sent, nothing is lost."""

from __future__ import annotations

import asyncio
import os
import random
from typing import Any

from libs.bus.messages import EVENTS_TOPIC, from_record, to_message
from libs.contracts import StoreDeclared
from libs.eventlog import EventLog
from libs.eventlog.model import GENESIS
from tests.support.feeds import log_of
from tests.support.journeys import store
from tests.support.kafka import Broker
from tests.support.load import SEED, Load, held, median, produce
from tests.support.rendered import render
from tests.support.system import System
from tests.support.waiting import until

AWAY_SECONDS = float(os.environ.get("RESEDGE_DRILL_AWAY_SECONDS", "12"))

Raw = tuple[bytes | None, bytes, list[tuple[str, bytes]]]


def put_store(system: System, prefix: str = "s", replica: str = "") -> Any:
    """Return a client that declares a new store each time."""

    def work(dice: random.Random, client: int, turn: int) -> None:
        name = f"{prefix}{client}-{turn}"
        answer = system.change("PUT", f"/v1/stores/{name}", json=store(name, size=dice.choice("sl")), replica=replica)
        assert answer.status_code == 201, answer.text

    return work


def published(system: System) -> bool:
    """Whether Kafka has acknowledged everything that is in the log."""
    log = system.log()
    try:
        return system.metrics("relay")["resedge_relay_position"] == log.head().position
    finally:
        log.close()


def check_topic(system: System, *, since: int = 1) -> None:
    """Hold the topic against the log: every event from `since` on is in it, in order at its first coming."""
    records = asyncio.run(held(system.broker.servers, system.prefix + EVENTS_TOPIC))
    positions = [from_record(record).recorded.position for record in records]
    first = list(dict.fromkeys(positions))
    log = system.log()
    try:
        assert first == sorted(first), "an event came for the first time after a later one"
        assert set(range(since, log.head().position + 1)) <= set(first)
    finally:
        log.close()


def test_kafka_killed_under_load_loses_nothing(system: System, broker: Broker) -> None:
    system.start("relay", "inventory")
    with Load(put_store(system), pause_seconds=0.02) as load:
        load.run(1.5)
        broker.kill()
        load.run(1.0)
        before = load.done
        broker.start()
        load.run(2.0)
    assert load.done > before

    render(system)
    until(lambda: published(system), what="all is published")
    check_topic(system)
    system.check()


def test_kafka_wiped_under_load_loses_nothing(system: System, broker: Broker) -> None:
    system.start("relay", "inventory", "grouping")
    with Load(put_store(system), pause_seconds=0.02) as load:
        load.run(1.5)
        broker.wipe()
        load.run(1.0)
        broker.start()
        load.run(2.0)

    render(system)
    until(lambda: published(system), 60, what="all is published")
    system.check()


def test_kafka_wiped_in_silence_lets_nobody_stay_behind(system: System, broker: Broker) -> None:
    system.start("relay", "inventory")
    system.start("inventory", replica="b")
    system.pause("inventory")
    work = put_store(system, replica="b")
    for turn in range(20):
        work(random.Random(SEED), 7, turn)
    until(lambda: published(system), what="all is published")
    broker.wipe()
    system.resume("inventory")
    broker.start()

    system.check()


def test_with_kafka_away_commands_go_on_as_before(system: System, broker: Broker) -> None:
    system.start("relay", "inventory", "catalog")
    with Load(put_store(system, "before"), clients=1) as before:
        before.run(3.0)
    system.settle()
    broker.kill()
    try:
        with Load(put_store(system, "while"), clients=1) as during:
            during.run(AWAY_SECONDS)
        own = system.change("PUT", "/v1/namespaces/pos", json=namespace("/c/while0-0"))
        system.start("grouping")
        late = system.change("PUT", "/v1/groups/geo/us", json=group("/geo/us", clusters=["while0-1"]))
    finally:
        broker.start()
    was, became = median(before.seconds), median(during.seconds)
    print(f"\na command took {was * 1e3:.1f} ms with Kafka, {became * 1e3:.1f} ms without it")

    assert own.status_code == 201, f"catalog decides on what inventory has written: {own.text}"
    assert late.status_code == 201, f"a service starts without Kafka: {late.text}"
    assert became < 3 * was + 0.05, "appends do not wait for Kafka"
    until(lambda: published(system), what="the relay drains")
    check_topic(system)
    system.check()


def namespace(expression: str) -> dict[str, Any]:
    return {"kind": "Namespace", "metadata": {"name": "pos"}, "spec": {"expression": expression}}


def group(path: str, **spec: Any) -> dict[str, Any]:
    return {"kind": "Group", "metadata": {"path": path}, "spec": spec}


def test_what_is_doubled_late_mixed_up_or_not_ours_changes_nothing(system: System, broker: Broker) -> None:
    system.start("relay", "inventory", "catalog")
    topic, dice = system.prefix + EVENTS_TOPIC, random.Random(SEED)
    with Load(put_store(system), pause_seconds=0.02) as load:
        for _ in range(6):
            load.run(0.4)
            log = system.log()
            try:
                asyncio.run(produce(broker.servers, topic, noise(log, dice)))
            finally:
                log.close()
    figures = system.metrics("inventory")

    assert figures['resedge_kafka_events_total{outcome="foreign"}'] > 0
    assert figures['resedge_kafka_events_total{outcome="duplicate"}'] > 0
    assert system.http("GET", "/readyz", service="inventory").status_code == 200
    system.check()


def noise(log: EventLog, dice: random.Random) -> list[Raw]:
    """Return what nobody should have sent: events twice, late and mixed up, of another log, broken, of no log."""
    head = log.head().position
    first = max(0, head - 30)
    ours = messages(log, first, head)
    other = log_of(*((f"store-x{n}", StoreDeclared(f"x{n}", "UTC")) for n in range(head + 3)))
    try:
        theirs = messages(other, first, head + 3)[-10:]
    finally:
        other.close()
    again = [dice.choice(ours) for _ in range(20)]
    key, value, headers = ours[-1]
    broken: list[Raw] = [
        (key, value + b" ", headers),
        (key, value, [(name, b"\xff" if name == "resedge_envelope" else said) for name, said in headers]),
        (key, value, headers[:3]),
        (None, b"\x00\xff", []),
        (None, b"", [("resedge_envelope", b""), ("resedge_hash", b""), ("resedge_previous", b"")]),
        (None, b"x" * 900_000, [("ce_type", b"large")]),
    ]
    mixed = [*again, *theirs, *broken, *ours[::-1]]
    dice.shuffle(mixed)
    return mixed


def messages(log: EventLog, after: int, until_position: int) -> list[Raw]:
    """Return the messages that the relay would send of a part of a log."""
    previous = log.hash_at(after) if after else GENESIS
    found: list[Raw] = []
    for raw in log.read_raw(after, until_position - after):
        message = to_message(raw, previous)
        found.append((message.key, message.value, message.headers))
        previous = raw[2]
    return found


def test_a_slow_reader_keeps_nobody_from_an_answer(system: System) -> None:
    system.start("relay", "inventory")
    system.start("inventory", replica="b")
    with Load(put_store(system, replica="a"), pause_seconds=0.02) as load:
        for _ in range(3):
            system.pause("inventory", "b")
            load.run(0.6)
            system.resume("inventory", "b")
            load.run(0.3)
    until(lambda: published(system), what="all is published")

    system.check()
