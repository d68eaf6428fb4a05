"""Overrides over HTTP: asked for, granted by the people of a process, in force, revoked; and the glass, broken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import structlog
from prometheus_client import REGISTRY

from tests.policy.policy_words import BLACK_FRIDAY, changed
from tests.policy.signoff_people import WANTED, People, people_of

if TYPE_CHECKING:
    from tests.flow.conftest import Server


@pytest.fixture
async def people(fleet: Server) -> People:
    return await people_of(fleet)


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


async def test_every_fact_says_who_from_where_and_with_which_token(people: People) -> None:
    _, approval = await people.requested()
    await people.post("mia", f"/v1/approvals/{approval}/grant", {"reason": "checked", "ticket": "OPS-7"})

    asked, requested, granted = await people.events("OverrideRequested", "ApprovalRequested", "ApprovalGranted")

    assert (asked.by.person, requested.by.person, granted.by.person) == ("rita", "rita", "mia")
    assert all(each.by.token.startswith("file-") and each.by.address == "127.0.0.1" for each in (asked, granted))
    assert (granted.reason, granted.ticket) == ("checked", "OPS-7")


async def test_it_is_revoked_and_the_log_says_why(people: People) -> None:
    override, approval = await people.requested()
    await people.granted(approval, "mia", "ana", "ben")

    answer = await people.post("rita", f"/v1/overrides/{override}/revoke", {"reason": "solved"})

    assert (answer.status_code, answer.json()["result"]) == (200, "revoked")
    assert (await people.get("ana", f"/v1/overrides/{override}"))["state"] == "revoked"
    assert (await people.post("rita", f"/v1/overrides/{override}/revoke", {"reason": "again"})).status_code == 204


async def test_what_was_asked_for_is_listed_by_state(people: People) -> None:
    first, approval = await people.requested()
    second, _ = await people.requested()
    await people.granted(approval, "mia", "ana", "ben")

    async def ids(**query: str) -> list[str]:
        return [each["id"] for each in (await people.get("mia", "/v1/overrides", **query))["items"]]

    assert sorted(await ids()) == sorted([first, second])
    assert (await ids(state="active"), await ids(state="requested")) == ([first], [second])
    page = await people.get("mia", "/v1/overrides", limit="1")
    rest = await people.get("mia", "/v1/overrides", limit="1", cursor=page["next"])
    assert sorted([page["items"][0]["id"], rest["items"][0]["id"]]) == sorted([first, second])
    assert rest["next"] is None
    bad = await people.client("mia").get("/v1/overrides", params={"state": "activ"})
    assert (bad.status_code, bad.json()["fix"]) == (422, "did you mean 'active'?")


async def test_a_repeated_request_asks_once(people: People) -> None:
    answers = [await people.post("rita", "/v1/overrides", WANTED, key="k-1") for _ in range(2)]

    assert answers[0].json() == answers[1].json()
    assert len(await people.events("OverrideRequested")) == 1


async def test_a_dry_run_asks_nobody(people: People) -> None:
    answer = await people.post("rita", "/v1/overrides", WANTED, dry_run="true")

    assert [each["type"].split(".")[-2] for each in answer.json()["events"]] == [
        "OverrideRequested",
        "ApprovalRequested",
    ]
    assert await people.events("OverrideRequested") == []


@pytest.mark.parametrize(
    ("person", "body", "status", "code"),
    [
        ("rita", {**WANTED, "expression": "/c/ut-1"}, 409, "selects-nothing"),
        ("rita", {**WANTED, "freeze": "nothing"}, 409, "unknown-reference"),
        ("rita", {**WANTED, "freeze": None}, 422, "invalid-document"),
        ("rita", {**WANTED, "minutes": 100_000}, 422, "invalid-document"),
        ("rita", {**WANTED, "until": "tomorrow"}, 422, "invalid-document"),
        ("rita", {**WANTED, "break_glass": True}, 403, "forbidden"),
        ("mia", WANTED, 403, "forbidden"),
        ("rob", WANTED, 403, "out-of-scope"),
    ],
)
async def test_what_cannot_be_asked_for(people: People, person: str, body: Any, status: int, code: str) -> None:
    answer = await people.post(person, "/v1/overrides", body)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert await people.events("OverrideRequested") == []


async def test_who_may_ask_for_some_clusters_asks_for_those(people: People) -> None:
    assert (await people.post("rob", "/v1/overrides", {**WANTED, "expression": "/c/tx-2"})).status_code == 201


async def test_an_override_beyond_ones_reach_is_not_revoked_either(people: People) -> None:
    override, _ = await people.requested()

    answer = await people.post("rob", f"/v1/overrides/{override}/revoke", {"reason": "I do not like it"})

    assert (answer.status_code, answer.json()["code"]) == (403, "out-of-scope")


async def test_broken_glass_counts_at_once_and_is_heard(people: People) -> None:
    before = broken()
    with structlog.testing.capture_logs() as said:
        answer = await people.post("finn", "/v1/overrides", {**WANTED, "break_glass": True}, key="k-2")
        again = await people.post("finn", "/v1/overrides", {**WANTED, "break_glass": True}, key="k-2")

    assert (answer.status_code, answer.json()["result"], answer.json()["approval"]) == (201, "started", None)
    assert again.json() == answer.json()
    shown = await people.get("mia", f"/v1/overrides/{answer.json()['id']}")
    assert (shown["state"], shown["break_glass"], shown["people"]) == ("active", True, ["finn"])
    loud = [each for each in said if each["event"] == "policy.break-glass"]
    assert [(each["log_level"], each["person"], each["reason"]) for each in loud] == [
        ("error", "finn", "a card reader fails")
    ]
    assert broken() == before + 1


async def test_a_dry_run_breaks_nothing(people: People) -> None:
    before = broken()

    answer = await people.post("finn", "/v1/overrides", {**WANTED, "break_glass": True}, dry_run="true")

    assert (answer.status_code, broken()) == (200, before)


async def test_broken_glass_stays_within_reach(people: People) -> None:
    body = {**WANTED, "expression": "/c/*", "break_glass": True}

    assert (await people.post("fred", "/v1/overrides", body)).json()["code"] == "out-of-scope"
    assert (await people.post("fay", "/v1/overrides", {**WANTED, "expression": "/c/*"})).status_code == 201
    assert (await people.post("fay", "/v1/overrides", body)).json()["code"] == "out-of-scope"
    assert (await people.post("fred", "/v1/overrides", {**body, "expression": "/c/tx-2"})).status_code == 201


async def test_a_freeze_without_a_process_points_to_the_glass(people: People) -> None:
    await people.server.declare(changed(BLACK_FRIDAY, signoff=None))
    await people.server.settled()

    answer = await people.post("rita", "/v1/overrides", WANTED)

    assert (answer.status_code, answer.json()["code"]) == (409, "no-sign-off")
    assert "break-glass" in answer.json()["fix"]


async def test_nobody_finds_what_is_not_there(people: People) -> None:
    assert (await people.client("mia").get("/v1/overrides/nothing")).status_code == 404
    assert (await people.post("rita", "/v1/overrides/nothing/revoke", {"reason": "x"})).status_code == 404


def broken() -> float:
    return REGISTRY.get_sample_value("resedge_break_glass_total") or 0.0
