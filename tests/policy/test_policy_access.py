"""Roles and bindings: the last administrator stays, and the words of roles are those of the routes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi.routing import APIRoute

from cli.embedded import SERVICES
from libs.access.rights import BINDABLE, BUILT_IN, user_verb
from libs.contracts.rights import BOUND_ROLES, BUILT_IN_ROLES, RELAY_VERBS, ROLE_KINDS, ROLE_VERBS
from libs.runtime.embedded import Embedded
from libs.web.auth import RouteRule
from tests.architecture.test_architecture_routes import all_routes, rules_of
from tests.policy.policy_words import document

if TYPE_CHECKING:
    from pathlib import Path

    from httpx2 import Response

    from tests.flow.conftest import Server


def admin(name: str, *subjects: dict[str, str], **spec: Any) -> dict[str, Any]:
    return document("RoleBinding", name, role="admin", subjects=list(subjects), **spec)


ANA, BEN = {"user": "ana@example.com"}, {"user": "ben@example.com"}


WEAKER = (
    admin("root", {"service_account": "deployer"}),
    admin("root", ANA, clusters="/c/tx-1"),
    admin("root", ANA, namespaces=["pos"]),
    admin("root", ANA, expires="2030-01-01T00:00:00Z"),
    document("RoleBinding", "root", role="viewer", subjects=[ANA]),
)


async def test_the_last_admin_stays_until_there_is_another_one(fleet: Server) -> None:
    async def refused(answer: Response) -> bool:
        await fleet.settled()
        return (answer.status_code, answer.json().get("code")) == (409, "last-admin")

    assert (await fleet.declare(admin("root", ANA))).status_code == 201
    assert (await fleet.declare(admin("short", BEN, expires="2030-01-01T00:00:00Z"))).status_code == 201
    for weaker in WEAKER:
        assert await refused(await fleet.declare(weaker)), weaker
    assert await refused(await fleet.client.delete("/v1/rolebindings/root"))

    assert (await fleet.declare(admin("group", {"group": "platform"}))).status_code == 201
    for weaker in WEAKER:
        assert (await fleet.declare(weaker)).status_code == 200, weaker
        assert await refused(await fleet.client.delete("/v1/rolebindings/group"))
    assert (await fleet.client.delete("/v1/rolebindings/root")).status_code == 200


async def test_a_binding_that_never_gave_admin_for_good_can_go(fleet: Server) -> None:
    assert (await fleet.declare(admin("short", ANA, expires="2030-01-01T00:00:00Z"))).status_code == 201
    await fleet.settled()

    assert (await fleet.client.delete("/v1/rolebindings/short")).status_code == 200


async def test_an_expression_of_a_binding_may_select_nothing_yet(fleet: Server) -> None:
    made = await fleet.declare(document("RoleBinding", "later", role="viewer", subjects=[ANA], clusters="state = ny"))

    assert made.status_code == 201
    assert "selects no cluster now" in made.json()["warnings"][0]


async def test_a_person_is_kept_as_their_token_calls_them(fleet: Server) -> None:
    said = document("RoleBinding", "b", role="viewer", subjects=[{"user": "Ana@Example.com"}])
    assert (await fleet.declare(said)).status_code == 201

    assert (await fleet.get("/v1/rolebindings/b"))["spec"]["subjects"] == [ANA]


def test_the_built_in_roles_are_those_of_the_tokens() -> None:
    assert set(BUILT_IN_ROLES) == set(BUILT_IN)
    assert set(BOUND_ROLES) == set(BINDABLE)


async def test_every_route_asks_for_a_verb_and_a_kind_that_roles_can_name(tmp_path: Path) -> None:
    async with Embedded(tmp_path / "data", SERVICES).running() as app:
        rules = [
            rule
            for route in all_routes(app.routes)
            if isinstance(route, APIRoute)
            for rule in rules_of(route.dependant)
            if isinstance(rule, RouteRule)
        ]
    assert {rule.kind for rule in rules} - set(ROLE_KINDS) == set()
    assert {user_verb(rule.verb) for rule in rules} - {*ROLE_VERBS, *RELAY_VERBS} == set()
