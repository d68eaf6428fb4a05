"""Law over HTTP: what it takes is said where something is declared or published; where it leaves nothing, no."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.policy.policy_words import LOTTERY, NO_LOTTERY, changed, document

if TYPE_CHECKING:
    from httpx2 import Response

    from tests.flow.conftest import Server

MANIFEST = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: lottery}\ndata: {port: '${edge.config.port:-80}'}\n"
SCHEMA = {"type": "object", "properties": {"port": {"type": "integer"}}}
TAKES = "law no-lottery-in-utah takes 1 of 3 placements of lottery, e.g. ut-1"
STRICT = changed(NO_LOTTERY, on_conflict="refuse")


async def publish(server: Server, version: str) -> Response:
    body = {"manifests": MANIFEST, "schema": SCHEMA}
    answer = await server.client.put(f"/v1/applications/lottery/releases/{version}", json=body)
    await server.settled()
    return answer


async def choose(server: Server, version: str, expression: str | None = None) -> Response:
    body = {"version": version, **({} if expression is None else {"expression": expression})}
    answer = await server.client.post("/v1/applications/lottery/release-choices:set", json=body)
    await server.settled()
    return answer


async def declare(server: Server, one: dict[str, Any]) -> Response:
    answer = await server.declare(one)
    await server.settled()
    return answer


@pytest.fixture
async def law(fleet: Server) -> Server:
    answer = await declare(fleet, NO_LOTTERY)
    assert answer.status_code == 201, answer.text
    return fleet


async def test_law_says_what_it_takes_of_what_runs(fleet: Server) -> None:
    assert (await publish(fleet, "1")).json()["warnings"] == []
    assert (await choose(fleet, "1")).json()["warnings"] == []

    declared = await declare(fleet, STRICT)

    assert (declared.status_code, declared.json()["warnings"]) == (201, [TAKES])


async def test_law_to_come_says_when(fleet: Server) -> None:
    declared = await declare(fleet, changed(NO_LOTTERY, from_="2150-01-01T00:00:00Z"))

    assert declared.json()["warnings"] == [f"{TAKES}, from 2150-01-01T00:00:00Z"]
    assert (await publish(fleet, "1")).json()["warnings"] == []


async def test_whatever_brings_placements_is_warned(law: Server) -> None:
    labels = document("Namespace", "pos", expression="/c/*", owners=["team"])
    assert (await declare(law, labels)).json()["warnings"] == [TAKES]
    narrowed = changed(LOTTERY, expression="state in (tx, ut)")
    assert (await declare(law, narrowed)).json()["warnings"] == [TAKES]
    assert (await publish(law, "1")).json()["warnings"] == [TAKES]
    assert (await choose(law, "1", "not /c/tx-1")).json()["warnings"] == [TAKES.replace("1 of 3", "1 of 2")]


async def test_what_law_would_leave_no_cluster_is_refused(law: Server) -> None:
    assert (await publish(law, "1")).status_code == 201
    chosen = await choose(law, "1", "state = ut")
    assert (chosen.status_code, chosen.json()["code"], chosen.json()["pointer"]) == (
        409,
        "law-leaves-nothing",
        "/expression",
    )
    other = document("Application", "scratch", namespace="pos")
    assert (await declare(law, other)).status_code == 201
    both = changed(NO_LOTTERY, forbid={"applications": ["lottery", "scratch"]})
    assert (await declare(law, both)).status_code == 200
    assert (await law.client.delete("/v1/applications/scratch")).status_code == 409

    utah = changed(document("Application", "lottery", namespace="pos"), expression="state = ut")
    assert (await declare(law, utah)).json()["code"] == "law-leaves-nothing"
    moved = await law.client.post("/v1/stores:label", json={"where": "/c/*", "set": {"state": "ut"}})
    assert moved.status_code == 200, moved.text
    await law.settled()
    refused = await publish(law, "2")
    assert (refused.status_code, refused.json()["code"]) == (409, "law-leaves-nothing")


async def test_law_that_refuses_lets_nothing_come_to_its_clusters(law: Server) -> None:
    assert (await publish(law, "1")).status_code == 201
    assert (await choose(law, "1", "state = tx")).status_code == 201
    assert (await declare(law, STRICT)).status_code == 200

    everywhere = await choose(law, "1")
    assert (everywhere.status_code, everywhere.json()["code"]) == (409, "law-forbids")
    assert "Utah Code 76-10-1102" in everywhere.json()["detail"]
    assert everywhere.json()["laws"] == ["no-lottery-in-utah"]
    assert (await publish(law, "2")).json()["code"] == "law-forbids"
    assert (await declare(law, changed(LOTTERY, expression="state = tx"))).status_code == 200
    assert (await publish(law, "2")).status_code == 201
    assert (await choose(law, "2", "state = tx")).status_code == 200
    wider = await declare(law, LOTTERY)
    assert (wider.json()["code"], wider.json()["pointer"]) == ("law-forbids", "/spec/expression")


async def test_law_that_is_over_forbids_nothing(fleet: Server) -> None:
    declared = await declare(fleet, changed(STRICT, until="2026-02-01T00:00:00Z"))

    assert declared.json()["warnings"] == ["the law has already ended: it forbids nothing"]
    assert (await publish(fleet, "1")).json()["warnings"] == []
    assert (await choose(fleet, "1")).status_code == 201


async def test_values_need_not_fit_where_law_forbids(law: Server) -> None:
    assert (await publish(law, "1")).status_code == 201
    assert (await choose(law, "1")).status_code == 201

    def port(expression: str) -> dict[str, Any]:
        return document("Configuration", "p", applications=["lottery"], expression=expression, values={"port": "x"})

    assert (await declare(law, port("state = tx"))).json()["code"] == "values-invalid"
    assert (await declare(law, port("state = ut"))).status_code == 201


async def test_an_application_that_is_narrowed_to_where_law_leaves_nothing_is_refused(law: Server) -> None:
    narrowed = changed(LOTTERY, expression="state = ut")

    refused = await declare(law, narrowed)

    assert (refused.status_code, refused.json()["code"]) == (409, "law-leaves-nothing")
    assert (await declare(law, changed(LOTTERY, expression="not state = ut"))).status_code == 200
