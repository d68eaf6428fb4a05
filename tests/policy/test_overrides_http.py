"""Overrides over HTTP: asked for, granted by the people of a process, in force, revoked; and the glass, broken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from libs.contracts import (
    RoleBindingDeclared,
    RoleDeclared,
    RoleRule,
    RoleSubject,
    SignOffDeclared,
    SignOffStage,
    encode,
    type_name,
)
from libs.eventlog import NewEvent, Submission
from tests.policy.policy_words import BLACK_FRIDAY, changed

if TYPE_CHECKING:
    from httpx2 import AsyncClient, Response

    from libs.contracts import Event
    from tests.flow.conftest import Server

STOPPED = changed(BLACK_FRIDAY, signoff="freeze-override", clusters="state = tx")
WANTED = {"freeze": "black-friday", "expression": "/c/tx-1", "minutes": 240, "reason": "a card reader fails"}


def role(name: str, *rules: tuple[list[str], list[str]]) -> tuple[str, Event]:
    return f"role-{name}", RoleDeclared(name, [RoleRule(verbs, kinds) for verbs, kinds in rules])


def bound(name: str, role: str, person: str, clusters: str | None = None) -> tuple[str, Event]:
    return f"rolebinding-{name}", RoleBindingDeclared(name, role, [RoleSubject(user=person)], clusters)


VOTER = (["get", "approve"], ["*"])
PEOPLE: tuple[tuple[str, Event], ...] = (
    (
        "signoff-freeze-override",
        SignOffDeclared("freeze-override", [SignOffStage(["release-manager"], 1), SignOffStage(["operations"], 2)]),
    ),
    role("requester", (["get", "request"], ["*"])),
    role("release-manager", VOTER),
    role("operations", VOTER),
    role("firefighter", (["get", "request", "break-glass"], ["*"])),
    bound("rita", "requester", "rita"),
    bound("mia", "release-manager", "mia"),
    bound("ana", "operations", "ana"),
    bound("ben", "operations", "ben", "state = tx"),
    bound("una", "operations", "una", "state = ut"),
    bound("finn", "firefighter", "finn"),
)


class People:
    """The server, and what each person says to it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._clients: dict[str, AsyncClient] = {}

    def client(self, person: str) -> AsyncClient:
        if person not in self._clients:
            self._clients[person] = self.server.client_for(self.server.embedded.tokens.issue(person, frozenset()))
        return self._clients[person]

    async def post(self, person: str, path: str, body: dict[str, Any], **headers: str) -> Response:
        return await self.client(person).post(path, json=body, headers=headers)

    async def get(self, person: str, path: str, **query: Any) -> Any:
        position = await self.server.settled()
        response = await self.client(person).get(path, params={"position": position, **query})
        assert response.status_code == 200, response.text
        return response.json()

    async def requested(self) -> tuple[str, str]:
        """Ask for the usual override; return its id and that of its approval."""
        answer = await self.post("rita", "/v1/overrides", WANTED)
        assert answer.status_code == 201, answer.text
        return answer.json()["id"], answer.json()["approval"]

    async def granted(self, approval: str, *persons: str) -> list[Any]:
        said = [await self.post(each, f"/v1/approvals/{approval}/grant", {"reason": "checked"}) for each in persons]
        return [(each.status_code, each.json().get("result") or each.json().get("code")) for each in said]


@pytest.fixture
async def people(fleet: Server) -> People:
    events = [NewEvent(stream, type_name(event), encode(event)) for stream, event in PEOPLE]
    await fleet.embedded.log.append_async(Submission(events, "admin"))
    await fleet.settled()
    assert (await fleet.declare(STOPPED)).status_code == 201
    await fleet.settled()
    return People(fleet)


async def test_with_the_proper_sign_off_a_freeze_is_overridden_at_one_cluster(people: People) -> None:
    override, approval = await people.requested()
    assert (await people.get("rita", f"/v1/overrides/{override}"))["state"] == "requested"

    assert await people.granted(approval, "mia", "ana", "ben") == [
        (200, "granted"),
        (200, "granted"),
        (200, "approved"),
    ]

    shown = await people.get("rita", f"/v1/overrides/{override}")
    assert (shown["state"], shown["people"], shown["clusters"], shown["examples"]) == (
        "active",
        ["ana", "ben", "mia"],
        1,
        ["tx-1"],
    )
    assert (await people.get("ana", f"/v1/approvals/{approval}"))["state"] == "approved"
