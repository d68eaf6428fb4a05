"""A consumer that cannot apply an event is a dead letter, and goes on when somebody has decided."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from sqlalchemy.ext.asyncio import AsyncConnection

from libs.bus import ViewConsumer
from libs.contracts import LetterSettled, LetterSkipped, Recorded, StoreDeclared
from libs.runtime.service import Ports, Service
from services.inventory.app import build as inventory
from services.relay.app import build as relay
from tests.flow.conftest import Server, running, store
from tests.support.waiting import eventually


class Touchy(ViewConsumer):
    """A view that cannot bear some stores."""

    def __init__(self, ports: Ports, unbearable: set[str]) -> None:
        super().__init__("touchy.stores", ports.log, ports.engine)
        self.unbearable = unbearable
        self.seen: list[str] = []

    async def project(self, connection: AsyncConnection, batch: Sequence[Recorded]) -> None:
        del connection  # what it has seen is all that it keeps
        for recorded in batch:
            if isinstance(recorded.event, StoreDeclared):
                if recorded.event.name in self.unbearable:
                    raise ValueError(f"{recorded.event.name} is too much")
                self.seen.append(recorded.event.name)


class Composition:
    """The view as a service of its own, beside inventory and the relay."""

    def __init__(self, *unbearable: str) -> None:
        self.unbearable = set(unbearable)
        self.view: Touchy

    def build(self) -> Any:
        def build(ports: Ports) -> Service:
            self.view = Touchy(ports, self.unbearable)
            return Service(name="touchy", router=APIRouter(), consumers=[self.view])

        build.__module__ = "services.touchy.app"  # by which the composition names it
        return build


async def open_letter(server: Server) -> Any:
    async def found() -> Any:
        return (await server.client.get("/v1/dead-letters?kind=consumer&state=open")).json()["items"]

    return (await eventually(found))[0]


async def test_a_skip_lets_the_consumer_go_on_after_the_event(tmp_path: Path) -> None:
    composition = Composition("b")
    async with running(tmp_path / "data", (inventory, relay, composition.build())) as server:
        for name in ("a", "b", "c"):
            await server.declare(store(name))

        letter = await open_letter(server)
        assert (letter["letter"], letter["consumer"]) == ("touchy.stores@2", "touchy.stores")
        assert "too much" in letter["reason"]
        answer = await server.client.post(f"/v1/dead-letters/{letter['letter']}:skip", json={"reason": "a test"})
        assert answer.status_code == 200, answer.text

        async def went_on() -> bool:
            return composition.view.seen == ["a", "c"]

        await eventually(went_on)
        kinds = [type(each.event) for each in server.embedded.log.read_recorded(0)]
        assert LetterSkipped in kinds


async def test_a_retry_lets_the_consumer_try_what_is_repaired(tmp_path: Path) -> None:
    composition = Composition("b")
    async with running(tmp_path / "data", (inventory, relay, composition.build())) as server:
        for name in ("a", "b", "c"):
            await server.declare(store(name))
        letter = await open_letter(server)
        composition.unbearable.clear()

        answer = await server.client.post(f"/v1/dead-letters/{letter['letter']}:retry", json={"reason": "repaired"})
        assert answer.json()["result"] == "retried"

        async def settled() -> bool:
            return any(isinstance(each.event, LetterSettled) for each in server.embedded.log.read_recorded(0))

        await eventually(settled)
        assert composition.view.seen == ["a", "b", "c"]

        async def closed() -> bool:
            items = (await server.client.get("/v1/dead-letters?kind=consumer")).json()["items"]
            return [each["state"] for each in items] == ["settled"]

        await eventually(closed)
