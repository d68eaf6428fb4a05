"""Events from outside reach the log exactly once each, whatever becomes of the relays that take them."""

from __future__ import annotations

import asyncio
import base64
import json
from collections import Counter
from typing import Any

from aiokafka import AIOKafkaProducer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from libs.web.auth import TokenStore
from services.relay.signatures import sign
from tests.support.drills import chance, die_at, shuffled
from tests.support.system import System
from tests.support.waiting import until

SOURCE = "urn:example:registry"
KEY = Ed25519PrivateKey.generate()
OPENED = "dev.resedge.inbox.StoreOpened.v1"
POINTS = ("relay.inbox.before-ack", "relay.inbox.after-ack")


def begin(system: System) -> None:
    """Start inventory and one relay, which commands it directly, and register the source."""
    system.start("inventory")
    system._environment["RESEDGE_API_URL"] = system.processes["inventory", "a"].url
    system.start("relay")
    key = base64.b64encode(KEY.public_key().public_bytes_raw()).decode()
    spec = {"source": SOURCE, "serviceAccount": "registry", "types": [OPENED], "publicKey": key}
    document = {"kind": "Source", "metadata": {"name": "registry"}, "spec": spec}
    assert system.change("PUT", "/v1/sources/registry", json=document).status_code == 201


def message(number: int) -> tuple[bytes, list[tuple[str, bytes]], bytes]:
    name = f"store-{number:03}"
    value = json.dumps({"name": name, "timezone": "UTC"}).encode()
    attributes = {"specversion": "1.0", "id": f"e-{number}", "source": SOURCE, "type": OPENED}
    headers = [(f"ce_{key}", text.encode()) for key, text in attributes.items()]
    signature = sign(KEY, attributes | {"datacontenttype": "application/json"}, value)
    headers += [("content-type", b"application/json"), ("ce_signature", signature.encode())]
    return value, headers, name.encode()


def send(system: System, numbers: range) -> None:
    async def sending() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=system.broker.servers, acks="all")
        await producer.start()
        try:
            for number in numbers:
                value, headers, key = message(number)
                await producer.send_and_wait(f"{system.prefix}resedge.inbox", value, key=key, headers=headers)
        finally:
            await producer.stop()

    asyncio.run(sending())


def inbox(system: System) -> list[dict[str, Any]]:
    answer = system.http("GET", "/v1/inbox?limit=1000")
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def check(system: System, count: int) -> None:
    """Every event is one fact of the source's, in its place; nothing else is."""
    until(lambda: len(inbox(system)) >= count, 60, "every event has an outcome")
    system.check()
    assert Counter(each["outcome"] for each in inbox(system)) == {"accepted": count}
    log = system.log()
    try:
        facts = [each for each in log.read(0, 10_000) if each.type.endswith("StoreDeclared.v1")]
    finally:
        log.close()
    assert Counter(each.stream for each in facts) == {f"store-store-{number:03}": 1 for number in range(count)}
    assert {each.actor for each in facts} == {"registry"}


def test_a_relay_killed_before_and_after_its_acknowledgements(system: System) -> None:
    """SIGKILL around the acknowledgement of a message; what was sent is there, once."""
    chances = chance()
    begin(system)
    system.kill("relay")
    sent = 0
    for point in shuffled(chances, POINTS):
        send(system, range(sent, sent + 12))
        sent += 12
        die_at(system, "relay", f"{point}:{chances.randint(1, 4)}")
    system.start("relay")
    check(system, sent)


def test_two_relays_share_the_inbox_and_one_of_them_dies(system: System) -> None:
    """Both take partitions of the topic; when one hangs or dies, the other takes its messages over."""
    begin(system)
    system.start("relay", replica="b")
    send(system, range(20))
    system.kill("relay")
    send(system, range(20, 40))
    system.restart("relay")
    check(system, 40)


def test_what_came_by_http_and_by_kafka_is_one_fact(system: System) -> None:
    """The same event on both ways, many times over, while the service that decides it is restarted."""
    begin(system)
    token = TokenStore(system.directory / "tokens.json").issue("registry", frozenset({"source"}))
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/cloudevents+json"}
    system.stop("inventory")
    for number in range(10):
        value, _, _ = message(number)
        said = {"specversion": "1.0", "id": f"e-{number}", "source": SOURCE, "type": OPENED, "data": json.loads(value)}
        answer = system.http("POST", "/v1/events", content=json.dumps(said), headers=headers)
        assert answer.status_code == 503, answer.text
    send(system, range(10))
    system.restart("inventory")
    for number in range(10):
        value, _, _ = message(number)
        said = {"specversion": "1.0", "id": f"e-{number}", "source": SOURCE, "type": OPENED, "data": json.loads(value)}
        answer = system._answered("POST", "/v1/events", content=json.dumps(said), headers=headers)
        assert answer.json()["outcome"] == "accepted", answer.text
    check(system, 10)
