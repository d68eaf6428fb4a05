"""A server on a clock that the test moves, and people who talk to it with their own tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from httpx2 import AsyncClient

from cli.embedded import SERVICES
from libs.runtime.embedded import Embedded
from tests.flow.conftest import Server
from tests.support.journeys import ask, declare, settled

THURSDAY = datetime(2026, 11, 26, 18, tzinfo=UTC)
"""12:00 in Chicago on the day before Black Friday."""
HOURS = [{"days": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"], "open": "06:00", "close": "23:00"}]


@dataclass
class Hands:
    """A clock that stands still until the test moves it."""

    at: datetime = THURSDAY
    step: timedelta = field(default=timedelta(microseconds=1))

    def __call__(self) -> datetime:
        self.at += self.step
        return self.at


class Shop(Server):
    """The server, the hands of its clock, and its people's clients."""

    hands: Hands

    def __init__(self, embedded: Embedded, client: AsyncClient, token: str, hands: Hands) -> None:
        super().__init__(embedded, client, token)
        self.hands = hands
        self.people: dict[str, AsyncClient] = {}

    async def go(self, instant: datetime) -> None:
        """Move the clock and wait until rendering has judged its gates then."""
        self.hands.at = instant
        await declare(
            self, {"kind": "Store", "metadata": {"name": "clock"}, "spec": {"timezone": "UTC", "clusters": []}}
        )
        await ask(self, "PUT", "/v1/stores/clock", json=tick(instant))
        await settled(self)

    async def enter(self, *names: str) -> None:
        """Give people tokens of their own, which each of them holds from the administrator."""
        for name in names:
            body = {"user": name, "hours": 24 * 30, "reason": "test"}
            token = (await ask(self, "POST", "/v1/tokens", json=body))["token"]
            self.people[name] = self.client_for(token)

    async def by(self, name: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        head = self.embedded.log.head().position
        answer = await self.people[name].request(method, path, json=body, headers={"Resedge-Position": str(head)})
        return answer.status_code, answer.json() if answer.content else None

    async def version(self, cluster: str, name: str = "pos-api") -> str | None:
        why = await ask(self, "GET", f"/v1/clusters/{cluster}/why", params={"application": name})
        admitted: str | None = why["admitted"]
        return admitted

    async def closed(self, cluster: str, name: str = "pos-api") -> dict[str, Any]:
        why = await ask(self, "GET", f"/v1/clusters/{cluster}/why", params={"application": name})
        gate: dict[str, Any] = next(each for each in why["gates"] if each.get("first_closed"))
        return gate


def tick(instant: datetime) -> dict[str, Any]:
    """A store without clusters: a fact that changes nothing but says that time went on."""
    labels = {"at": instant.isoformat()}
    return {
        "kind": "Store",
        "metadata": {"name": "clock", "labels": labels},
        "spec": {"timezone": "UTC", "clusters": []},
    }


def shop(name: str, zone: str, **labels: str) -> dict[str, Any]:
    return {"kind": "Store", "metadata": {"name": name, "labels": labels}, "spec": {"timezone": zone, "hours": HOURS}}


def named(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": name}, "spec": spec}


@asynccontextmanager
async def opened(data_dir: Path, at: datetime = THURSDAY) -> AsyncIterator[Shop]:
    """Run all services from an instant on, with an administrator's token."""
    hands = Hands(at)
    embedded = Embedded(data_dir, SERVICES, clock=hands)
    token = embedded.tokens.issue("admin", frozenset({"admin"}))
    async with embedded.running():
        made = Shop(embedded, AsyncClient(), token, hands)
        async with made.client_for(token) as client:
            made.client = client
            yield made
            for each in made.people.values():
                await each.aclose()
