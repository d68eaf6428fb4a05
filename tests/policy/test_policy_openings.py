"""When windows open, told in stores' own time; and what somebody may do, told before they try."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.policy.policy_words import ALL, NIGHT

if TYPE_CHECKING:
    from tests.flow.conftest import Server

SPAN = {"from": "2026-11-23T00:00:00-06:00", "to": "2026-11-25T00:00:00-06:00"}


async def test_openings_are_told_on_the_stores_own_clock(fleet: Server) -> None:
    await fleet.client.post("/v1/documents", json={"documents": list(ALL)})
    items = (await fleet.get("/v1/windows", where="/c/tx-1", **SPAN))["items"]

    assert [(each["calendar"], each["zone"], each["count"]) for each in items] == [
        (NIGHT["metadata"]["name"], "America/Chicago", 1)
    ]
    assert items[0]["openings"]
    assert all(each["from"].endswith("-06:00") for each in items[0]["openings"])
    assert (await fleet.get("/v1/windows", where="none", **SPAN))["items"] == []


async def test_what_is_open_for_a_cluster_leaves_out_what_is_frozen(fleet: Server) -> None:
    night = {"days": ["mon", "tue"], "from": "01:00", "to": "05:00"}
    freeze = {"clusters": "/c/*", "from": "2026-11-24T02:00:00-06:00", "until": "2026-11-24T03:00:00-06:00"}
    documents = [
        {"kind": "Calendar", "metadata": {"name": "deploy"}, "spec": {"clusters": "/c/*", "windows": [night]}},
        {"kind": "Freeze", "metadata": {"name": "fb"}, "spec": {**freeze, "reason": "football", "owner": "ops"}},
    ]
    said = [{"apiVersion": "resedge.dev/v1", **each} for each in documents]
    declared = await fleet.client.post("/v1/documents", json={"documents": said})
    assert declared.status_code == 200, declared.text
    (row,) = (await fleet.get("/v1/windows", cluster="tx-1", **SPAN))["items"]

    assert [(each["from"][:16], each["to"][:16]) for each in row["openings"]] == [
        ("2026-11-23T01:00", "2026-11-23T05:00"),
        ("2026-11-24T01:00", "2026-11-24T02:00"),
        ("2026-11-24T03:00", "2026-11-24T05:00"),
    ]
    (inside,) = (await fleet.get("/v1/windows", cluster="tx-1", **{**SPAN, "from": "2026-11-24T02:30:00-06:00"}))[
        "items"
    ]
    assert inside["waits_for"] == ["freeze fb until Tue 2026-11-24 03:00 America/Chicago"]


async def test_a_span_that_cannot_be_meant_is_refused(fleet: Server) -> None:
    for span in (
        {"from": "2026-11-23T00:00:00"},
        {"from": SPAN["to"], "to": SPAN["from"]},
        {**SPAN, "to": "2027-11-23T00:00:00Z"},
        {"where": "siz ="},
        {"cluster": "tx-9"},
        {"cluster": "tx-1", "application": "poss"},
        {"cluster": "tx-1", "where": "/c/tx-1"},
        {"application": "pos-api"},
    ):
        answer = await fleet.client.get("/v1/windows", params=span)
        assert answer.status_code == 422, span


async def test_an_administrator_may_and_a_viewer_may_only_read(fleet: Server) -> None:
    viewer = fleet.client_for(fleet.embedded.tokens.issue("eve", frozenset({"viewer"})))
    async with viewer:
        for client, verb, allowed in ((fleet.client, "apply", True), (viewer, "apply", False), (viewer, "get", True)):
            answer = await client.get("/v1/can-i", params={"verb": verb, "kind": "Freeze"})
            assert answer.json()["allowed"] is allowed


async def test_a_binding_reaches_as_far_as_its_clusters(fleet: Server) -> None:
    role = {"kind": "Role", "metadata": {"name": "ops"}, "spec": {"rules": [{"verbs": ["apply"], "kinds": ["Freeze"]}]}}
    bound = {"role": "ops", "subjects": [{"user": "ana"}], "clusters": "state = tx"}
    binding = {"kind": "RoleBinding", "metadata": {"name": "ops-tx"}, "spec": bound}
    documents = [{"apiVersion": "resedge.dev/v1", **each} for each in (role, binding)]
    assert (await fleet.client.post("/v1/documents", json={"documents": documents})).status_code == 200
    issued = await fleet.client.post("/v1/tokens", json={"user": "ana", "hours": 1})
    await fleet.settled()
    async with fleet.client_for(issued.json()["token"]) as ana:

        async def may(**asked: str) -> bool:
            return bool(
                (await ana.get("/v1/can-i", params={"verb": "apply", "kind": "Freeze"} | asked)).json()["allowed"]
            )

        assert await may()
        assert await may(where="/c/tx-1")
        assert not await may(where="/c/*")
        assert not await may(kind="Calendar")


async def test_a_verb_or_kind_that_no_role_can_name_is_told_with_the_nearest(fleet: Server) -> None:
    answer = await fleet.client.get("/v1/can-i", params={"verb": "aply", "kind": "Freeze"})
    assert (answer.status_code, answer.json()["fix"]) == (422, "did you mean 'apply'?")
    assert (await fleet.client.get("/v1/can-i", params={"verb": "get", "kind": "Freze"})).status_code == 422
