"""Removals that are held back, and what people answer, over HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

from libs.contracts import RemovalsConfirmed, RemovalsHeld
from tests.flow.conftest import Server
from tests.support.journeys import application, ask, begin, declare, settled, store

WRONG = "0123456789abcdef"


async def holds(server: Server) -> list[dict[str, Any]]:
    await settled(server)
    found: list[dict[str, Any]] = (await ask(server, "GET", "/v1/holds"))["items"]
    return found


async def confirm(server: Server, plan: str, key: str = "") -> tuple[int, dict[str, Any]]:
    head = server.embedded.log.head().position
    headers = {"Resedge-Position": str(head)} | ({"Idempotency-Key": key} if key else {})
    answer = await server.client.post(f"/v1/holds/{plan}/confirm", json={"reason": "meant so"}, headers=headers)
    return answer.status_code, answer.json()


def events(server: Server, kind: type) -> int:
    return sum(isinstance(each.event, kind) for each in server.embedded.log.read_recorded(0))


async def admitted_on(server: Server, cluster: str) -> str | None:
    why = await ask(server, "GET", f"/v1/clusters/{cluster}/why", params={"application": "pos-api"})
    version: str | None = why["admitted"]
    return version


async def test_a_plan_that_grew_is_another_one_and_the_old_answer_is_void(server: Server) -> None:
    await begin(server, stores=6)
    await declare(server, application("/c/store-00 or /c/store-01 or /c/store-02"))
    first = (await holds(server))[0]
    assert (first["count"], first["admitted"], first["share_percent"]) == (3, 6, 50.0)
    assert first["examples"] == ["store-03", "store-04", "store-05"]
    assert "ApplicationDeclared" in first["cause"]

    await declare(server, application("/c/store-00"))
    second = (await holds(server))[0]
    assert second["id"] != first["id"]
    status, problem = await confirm(server, first["id"])
    assert (status, problem["code"]) == (409, "no-such-hold")
    assert second["id"] in problem["fix"]
    assert await admitted_on(server, "store-05") == "1.0.0"

    assert (await confirm(server, second["id"]))[0] == 200
    assert await holds(server) == []
    assert [await admitted_on(server, f"store-0{number}") for number in range(3)] == ["1.0.0", None, None]


async def test_everything_else_goes_on_while_something_is_held(server: Server) -> None:
    before = await begin(server, stores=4)
    await declare(server, application("/c/store-00"))
    held = (await holds(server))[0]

    await declare(server, store("store-00", size="xl"), store("store-01", size="s"), store("store-09"))

    assert await settled(server) != before
    assert (await holds(server))[0]["id"] == held["id"]
    assert events(server, RemovalsHeld) == 1
    assert await admitted_on(server, "store-01") == "1.0.0"
    assert (await server.client.get("/readyz")).status_code == 200


async def test_a_plan_that_is_taken_back_is_gone(server: Server) -> None:
    before = await begin(server, stores=4)
    await declare(server, application("/c/store-00"))
    held = (await holds(server))[0]

    await declare(server, application())

    assert await holds(server) == []
    assert (await confirm(server, held["id"]))[1]["code"] == "no-such-hold"
    assert await settled(server) == before


async def test_the_same_removal_is_asked_about_again_the_second_time(server: Server) -> None:
    await begin(server, stores=4)
    for _ in range(2):
        await declare(server, application("/c/store-00"))
        plan = (await holds(server))[0]["id"]
        assert await admitted_on(server, "store-03") == "1.0.0"
        status, body = await confirm(server, plan)
        assert (status, body["result"]) == (200, "confirmed")
        assert await holds(server) == []
        assert await admitted_on(server, "store-03") is None

        await declare(server, application())
        await settled(server)
        assert await admitted_on(server, "store-03") == "1.0.0"
    assert events(server, RemovalsHeld) == 2


async def test_a_confirmation_counts_once_however_often_it_is_sent(server: Server) -> None:
    await begin(server, stores=4)
    await declare(server, application("/c/store-00"))
    plan = (await holds(server))[0]["id"]
    assert (await confirm(server, WRONG))[1]["code"] == "no-such-hold"

    answers = await asyncio.gather(*(confirm(server, plan, "k-1") for _ in range(5)))

    assert {(status, body["result"]) for status, body in answers} == {(200, "confirmed")}
    assert events(server, RemovalsConfirmed) == 1
    await settled(server)
    assert (await confirm(server, plan, "k-1"))[1]["result"] == "confirmed"
    assert (await confirm(server, plan, "k-2"))[1]["code"] == "no-such-hold"
    assert (await confirm(server, WRONG, "k-1"))[1]["code"] == "idempotency-conflict"


async def test_a_dry_run_confirms_nothing(server: Server) -> None:
    await begin(server, stores=4)
    await declare(server, application("/c/store-00"))
    plan = (await holds(server))[0]["id"]

    tried = await server.client.post(f"/v1/holds/{plan}/confirm", json={}, params={"dry_run": "true"})

    assert tried.status_code == 200
    assert (await holds(server))[0]["id"] == plan


async def test_deleted_stores_count_for_the_fuse_and_go_when_confirmed(server: Server) -> None:
    await begin(server, stores=4)
    for number in (1, 2, 3):
        await ask(server, "DELETE", f"/v1/stores/store-0{number}")
    held = (await holds(server))[0]
    assert held["clusters_removed"] >= 2

    assert (await confirm(server, held["id"]))[0] == 200
    await settled(server)

    status = await ask(server, "GET", "/v1/rendering")
    assert (status["clusters"], status["placements"], status["held"]) == (1, 1, 0)
