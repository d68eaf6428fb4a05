"""People of several roles before a server that knows their sign-off process, each with a token of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
    bound("fred", "firefighter", "fred", "/c/tx-2"),
    bound("rob", "requester", "rob", "/c/tx-2"),
    bound("fay", "requester", "fay"),
    bound("fay-tx-2", "firefighter", "fay", "/c/tx-2"),
)


class People:
    """The server, and what each person says to it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._clients: dict[str, AsyncClient] = {}

    def client(self, person: str) -> AsyncClient:
        if person == "admin":
            return self.server.client
        if person not in self._clients:
            self._clients[person] = self.server.client_for(self.server.embedded.tokens.issue(person, frozenset()))
        return self._clients[person]

    async def post(self, person: str, path: str, body: dict[str, Any], key: str = "", **query: Any) -> Response:
        """Say something, having seen all that was said before."""
        headers = {"Idempotency-Key": key} if key else {}
        return await self.client(person).post(path, json=body, headers=headers, params=query)

    async def get(self, person: str, path: str, **query: Any) -> Any:
        position = await self.server.settled()
        response = await self.client(person).get(path, params={"position": position, **query})
        assert response.status_code == 200, response.text
        return response.json()

    async def recorded(self, *events: tuple[str, Event]) -> None:
        """Take facts that somebody declared before."""
        said = [NewEvent(stream, type_name(event), encode(event)) for stream, event in events]
        await self.server.embedded.log.append_async(Submission(said, "admin"))
        await self.server.settled()

    async def elsewhere(self, *events: tuple[str, Event]) -> None:
        """Take facts that another process appends: this one has not heard of them when it is asked next."""
        said = [NewEvent(stream, type_name(event), encode(event)) for stream, event in events]
        await self.server.embedded.log.append_async(Submission(said, "elsewhere"))

    async def events(self, *types: str) -> list[Any]:
        """Return what the log holds of some types, the oldest first."""
        await self.server.settled()
        recorded = self.server.embedded.log.read_recorded(0, 10_000)
        return [each.event for each in recorded if type(each.event).__name__ in types]

    async def requested(self) -> tuple[str, str]:
        """Ask for the usual override; return its id and that of its approval."""
        answer = await self.post("rita", "/v1/overrides", WANTED)
        assert answer.status_code == 201, answer.text
        return answer.json()["id"], answer.json()["approval"]

    async def granted(self, approval: str, *persons: str) -> list[Any]:
        said = [await self.post(each, f"/v1/approvals/{approval}/grant", {"reason": "checked"}) for each in persons]
        return [(each.status_code, each.json().get("result") or each.json().get("code")) for each in said]


async def people_of(fleet: Server) -> People:
    """Declare the process, the roles, who holds them, and a freeze that is overridden by it."""
    people = People(fleet)
    await people.recorded(*PEOPLE)
    assert (await fleet.declare(STOPPED)).status_code == 201
    await fleet.settled()
    return people
