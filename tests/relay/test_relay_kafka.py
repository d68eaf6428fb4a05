"""Events from outside by Kafka: signed, in both modes, acknowledged once their outcome is in the log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from httpx2 import ASGITransport, AsyncClient, Response

from libs.runtime.embedded import Embedded
from libs.runtime.service import Build, Ports, Service
from services.catalog.app import build as catalog
from services.inventory.app import build as inventory
from services.relay.inbox_kafka import InboxTopic
from services.relay.receiving import Receiving
from services.relay.signatures import sign
from tests.flow.conftest import Server
from tests.relay.conftest import ACCOUNT, STRUCTURED, Outside, event, public_key
from tests.support.kafka import Broker, kafka
from tests.support.waiting import eventually

KEY = Ed25519PrivateKey.generate()
AUSTIN = {"name": "tx-austin-0042", "timezone": "America/Chicago"}
Headers = list[tuple[str, bytes]]
T = TypeVar("T")


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with kafka() as running:
        yield running


class Flaky:
    """The services' API, which can be away."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self.away = False
        self.asked = 0

    def __call__(self) -> AsyncClient:
        client = self._ports.api()
        usual = client._transport

        class Transport(ASGITransport):
            async def handle_async_request(inner, request: Any) -> Response:  # noqa: N805 - `self` is the API's
                self.asked += 1
                if self.away:
                    return Response(503, request=request)
                return await usual.handle_async_request(request)

        client._transport = Transport(usual.app)  # type: ignore[attr-defined]  # httpx gives no other way in
        return client


class Inside:
    """The relay on the inbox's topic, beside the services that it commands."""

    def __init__(self) -> None:
        self.receiving: Receiving
        self.api: Flaky
        self.topic: InboxTopic

    def build(self, ports: Ports) -> Service:
        self.api = Flaky(ports)
        self.receiving = receiving = Receiving(ports, self.api)
        return Service(
            name="relay",
            router=receiving.router,
            consumers=receiving.consumers,
            kinds=receiving.kinds,
            commands=receiving.commands,
            start=receiving.begin,
            stop=receiving.end,
        )


def build_of(inside: Inside) -> Build:
    def build(ports: Ports) -> Service:
        return inside.build(ports)

    build.__module__ = "services.relay.app"  # by which the composition names it
    return build


@asynccontextmanager
async def listening(data_dir: Path, broker: Broker, prefix: str) -> AsyncIterator[tuple[Outside, Inside]]:
    inside = Inside()
    embedded = Embedded(data_dir, (inventory, catalog, build_of(inside)))
    token = embedded.tokens.issue("admin", frozenset({"admin"}))
    async with embedded.running():
        server = Server(embedded, AsyncClient(), token)
        async with server.client_for(token) as client:
            server.client = client
            inside.topic = InboxTopic(broker.servers, inside.receiving.inbox, prefix)
            await inside.topic.begin()
            try:
                yield Outside(server, client, KEY), inside
            finally:
                await inside.topic.end()


def structured(said: Any, key: Ed25519PrivateKey | None = KEY) -> tuple[bytes, Headers]:
    value = json.dumps(said).encode()
    headers = [("content-type", STRUCTURED.encode())]
    attributes = {name: text for name, text in said.items() if name != "data"} if isinstance(said, dict) else {}
    return value, headers + (
        [] if key is None else [("ce_signature", sign(key, attributes, value, structured=True).encode())]
    )


def binary(said: dict[str, Any], key: Ed25519PrivateKey = KEY) -> tuple[bytes, Headers]:
    value = json.dumps(said["data"]).encode()
    attributes = {name: str(text) for name, text in said.items() if name != "data"}
    headers = [(f"ce_{name}", text.encode()) for name, text in attributes.items()]
    signature = sign(key, attributes | {"datacontenttype": "application/json"}, value)
    return value, [*headers, ("content-type", b"application/json"), ("ce_signature", signature.encode())]


async def send(broker: Broker, prefix: str, *messages: tuple[bytes, Headers]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=broker.servers, acks="all")
    await producer.start()
    try:
        for value, headers in messages:
            await producer.send_and_wait(f"{prefix}resedge.inbox", value, key=b"k", headers=headers)
    finally:
        await producer.stop()


async def inbox_of(outside: Outside, count: int, seconds: float = 20) -> list[dict[str, Any]]:
    async def found() -> list[dict[str, Any]] | None:
        items = await outside.inbox()
        return items if len(items) >= count else None

    return (await eventually(found, seconds) or [])[::-1]


async def dead_letters(broker: Broker, prefix: str, count: int) -> list[Any]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=broker.servers, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        consumer.assign([TopicPartition(f"{prefix}resedge.inbox.dlq", 0)])
        found: list[Any] = []
        async with asyncio.timeout(20):
            while len(found) < count:
                found += [each for some in (await consumer.getmany(timeout_ms=300)).values() for each in some]
        return found
    finally:
        await consumer.stop()


async def committed(broker: Broker, prefix: str) -> int:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=broker.servers, group_id=f"{prefix}resedge.relay", enable_auto_commit=False
    )
    await consumer.start()
    try:
        parts = [TopicPartition(f"{prefix}resedge.inbox", number) for number in range(3)]
        consumer.assign(parts)
        return sum([await consumer.committed(part) or 0 for part in parts])
    finally:
        await consumer.stop()


async def test_signed_events_are_facts_and_all_others_dead_letters(tmp_path: Path, broker: Broker) -> None:
    broker.topics("a.")
    async with listening(tmp_path / "data", broker, "a.") as (outside, _):
        await outside.register(publicKey=public_key(KEY))
        good = structured(event("StoreOpened", AUSTIN))
        messages = [
            good,
            binary(event("LabelsChanged", {"name": "tx-austin-0042", "set": {"size": "large"}})),
            structured(event("StoreClosed", {"name": "tx-austin-0042"}), Ed25519PrivateKey.generate()),
            structured(event("StoreClosed", {"name": "tx-austin-0042"}), None),
            structured(event("StoreClosed", {"name": "tx-austin-0042"}, source="urn:unknown")),
            structured(event("StoreOpened", {"name": "tx-waco-0001"})),
            (b"\x00 not an event", []),
            (b"", []),
            good,
        ]

        await send(broker, "a.", *messages)

        rows = await inbox_of(outside, 8)
        assert [each["outcome"] for each in rows] == ["accepted"] * 2 + ["refused"] * 6
        codes = [each.get("code") for each in rows[2:]]
        assert codes == ["bad-signature"] * 2 + ["unregistered-source", "invalid-data"] + ["malformed-event"] * 2
        document = await outside.get("/v1/stores/tx-austin-0042")
        assert document["metadata"]["labels"] == {"size": "large"}
        assert {each.actor for each in outside.facts() if each.stream.startswith("store-")} == {ACCOUNT}

        told = await dead_letters(broker, "a.", 6)
        assert [dict(each.headers)["resedge_code"].decode() for each in told] == codes
        assert told[3].value == messages[5][0]
        assert len(await outside.letters(kind="inbox", state="open")) == 6


async def test_a_letter_from_kafka_is_verified_again_when_it_is_tried_again(tmp_path: Path, broker: Broker) -> None:
    broker.topics("b.")
    async with listening(tmp_path / "data", broker, "b.") as (outside, _):
        await outside.register()  # without a key
        await send(broker, "b.", binary(event("StoreOpened", AUSTIN)))
        (row,) = await inbox_of(outside, 1)

        assert (await outside.decide(row["letter"], "retry")).json()["code"] == "bad-signature"
        await outside.register(publicKey=public_key(KEY))
        assert (await outside.decide(row["letter"], "retry")).json()["outcome"] == "accepted"


async def test_what_cannot_be_decided_now_waits_in_its_place_and_is_not_lost(tmp_path: Path, broker: Broker) -> None:
    broker.topics("c.")
    async with listening(tmp_path / "data", broker, "c.") as (outside, inside):
        await outside.register(publicKey=public_key(KEY))
        inside.api.away = True
        await send(
            broker, "c.", *(structured(event("StoreOpened", {"name": f"s{n}", "timezone": "UTC"})) for n in range(3))
        )

        async def tried() -> bool:
            return inside.api.asked >= 2

        await eventually(tried)
        assert await committed(broker, "c.") == 0
        assert await outside.letters() == []

    # The process ended with the message at hand; the next one takes it up again.
    async with listening(tmp_path / "data", broker, "c.") as (outside, _):
        rows = await inbox_of(outside, 3)
        assert [each["outcome"] for each in rows] == ["accepted"] * 3
        assert [each["stream"] for each in rows] == ["store-s0", "store-s1", "store-s2"]

        async def acknowledged() -> bool:
            return await committed(broker, "c.") == 3

        await eventually(acknowledged)


async def test_the_relay_takes_events_once_kafka_is_there(tmp_path: Path, broker: Broker) -> None:
    broker.topics("d.")
    await asyncio.to_thread(broker.kill)
    async with listening(tmp_path / "data", broker, "d.") as (outside, inside):
        await outside.register(publicKey=public_key(KEY))

        async def said() -> bool:
            return "cannot be reached" in (await inside.topic.ready()).detail

        await eventually(said)
        await asyncio.to_thread(broker.start)
        await send(broker, "d.", structured(event("StoreOpened", AUSTIN)))
        assert (await inbox_of(outside, 1, 40))[0]["outcome"] == "accepted"


async def test_a_message_that_is_too_large_for_the_dead_letters_holds_up_nobody(tmp_path: Path, broker: Broker) -> None:
    broker.topics("e.")
    async with listening(tmp_path / "data", broker, "e.") as (outside, _):
        await outside.register(publicKey=public_key(KEY))
        swelling = [("ce_odd", b"\xff" * 400_000)]  # as text it is three times as long
        await send(broker, "e.", (b"{}", swelling), structured(event("StoreOpened", AUSTIN)))

        rows = await inbox_of(outside, 2)
        assert [each["outcome"] for each in rows] == ["refused", "accepted"]
        (told,) = await dead_letters(broker, "e.", 1)
        headers = dict(told.headers)
        assert headers["resedge_letter"].decode() == rows[0]["letter"]
        assert headers["resedge_cut"] == b"true"
