"""Local tokens over HTTP: shown once, kept nowhere, revoked by those who may."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pyroaring import BitMap

from libs.contracts import LooseningWithheld
from libs.fleet import packed
from libs.web.auth import token_digest
from tests.policy.signoff_people import People, bound, people_of, role

if TYPE_CHECKING:
    from httpx2 import Response

    from tests.flow.conftest import Server


@pytest.fixture
async def people(fleet: Server) -> People:
    made = await people_of(fleet)
    await made.recorded(
        role("issuer", (["get", "issue"], ["Token"]), (["impersonate"], ["Principal"])),
        bound("ivy", "issuer", "ivy"),
        bound("ian", "issuer", "ian", "state = tx"),
    )
    return made


async def issued(people: People, **body: Any) -> Any:
    answer = await people.post("ivy", "/v1/tokens", {"user": "ana", **body})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def revoke(people: People, person: str, token: str, reason: str = "lost") -> Response:
    return await people.client(person).request("DELETE", f"/v1/tokens/{token}", json={"reason": reason})


async def test_a_token_lets_its_person_in_until_it_is_revoked(people: People) -> None:
    said = await issued(people)
    async with people.server.client_for(said["token"]) as ana:
        assert (await ana.get("/v1/approvals")).status_code == 200

        assert (await revoke(people, "ivy", said["id"])).status_code == 200

        await people.server.settled()
        refused = await ana.get("/v1/approvals")
    assert (refused.status_code, refused.json()["reason"]) == (401, "revoked")


async def test_a_token_is_in_no_fact_and_in_no_answer_that_is_kept(people: People) -> None:
    answers = [await people.post("ivy", "/v1/tokens", {"user": "ana"}, key="k-1") for _ in range(2)]
    first, second = (each.json() for each in answers)

    token = first["token"]
    assert answers[0].headers["cache-control"] == "no-store"
    assert second == {**first, "token": None, "warnings": second["warnings"]}
    assert "shown once" in second["warnings"][0]
    (event,) = await people.events("TokenIssued")
    assert (event.sha256, event.by.person) == (token_digest(token), "ivy")
    everything = b"".join(path.read_bytes() for path in people.server.embedded.data_dir.rglob("*") if path.is_file())
    assert token.encode() not in everything
    assert first["id"].encode() in everything


async def test_a_dry_run_shows_no_token(people: People) -> None:
    answer = await people.post("ivy", "/v1/tokens", {"user": "ana"}, dry_run="true")

    assert (answer.status_code, answer.json()["token"]) == (200, None)
    assert await people.events("TokenIssued") == []


@pytest.mark.parametrize(
    ("person", "body", "status", "code"),
    [
        ("ana", {"user": "ana"}, 403, "forbidden"),
        ("ian", {"user": "ana"}, 403, "out-of-scope"),
        ("ivy", {"user": "ana", "hours": 2161}, 422, "invalid-document"),
        ("ivy", {"user": "resedge/rendering"}, 422, "invalid-document"),
        ("ivy", {"user": "an\ta"}, 422, "invalid-document"),
        ("ivy", {"user": "ana deployer", "service_account": True}, 422, "invalid-document"),
        ("ivy", {"user": "Relay"}, 409, "name-taken"),
        ("ivy", {"user": "ana", "service_account": True}, 409, "name-taken"),
        ("ivy", {"user": "relay"}, 409, "name-taken"),
        ("ivy", {"user": "ana", "groups": ["admins"]}, 422, "invalid-document"),
    ],
)
async def test_what_is_not_issued(people: People, person: str, body: Any, status: int, code: str) -> None:
    answer = await people.post(person, "/v1/tokens", body)

    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_an_address_is_one_person_however_it_is_written(people: People) -> None:
    assert (await issued(people, user="Ana@Example.com"))["user"] == "ana@example.com"


async def test_everybody_revokes_their_own_and_nobody_else_s(people: People) -> None:
    mine, other = await issued(people), await issued(people, user="ben")

    assert (await revoke(people, "ana", other["id"])).status_code == 403
    assert (await revoke(people, "ana", mine["id"])).status_code == 200
    assert (await revoke(people, "ana", mine["id"])).status_code == 204
    assert (await revoke(people, "ana", "nothing")).status_code == 403
    assert (await revoke(people, "ivy", "nothing")).status_code == 404


async def test_tokens_are_listed_without_themselves(people: People) -> None:
    said = await issued(people, reason="a new laptop")

    (shown,) = (await people.get("ivy", "/v1/tokens"))["items"]

    assert (shown["id"], shown["user"], shown["state"], shown["by"]["person"]) == (said["id"], "ana", "active", "ivy")
    assert shown["reason"] == "a new laptop"
    assert said["token"] not in str(shown)
    assert "sha256" not in shown


async def test_only_who_may_affect_policy_there_lets_a_withheld_change_count(people: People) -> None:
    facts = people.server.embedded.facts.fleet
    on = packed(facts.selection.everything)
    await people.recorded(
        role("affecting", (["get", "policy:affect"], ["*"])),
        bound("pam", "affecting", "pam"),
        bound("pat", "affecting", "pat", "state = tx"),
        ("withheld-w1", LooseningWithheld("w1", on, ["store-tx-1"], "hours of tx-1")),
    )

    async def confirm(person: str, reason: str = "they moved") -> Response:
        return await people.post(person, "/v1/withheld/w1/confirm", {"reason": reason})

    (shown,) = (await people.get("pat", "/v1/withheld"))["items"]
    assert (shown["id"], shown["clusters"], shown["what"]) == ("w1", 3, "hours of tx-1")
    assert (await confirm("ana")).status_code == 403
    assert (await confirm("pat")).json()["code"] == "out-of-scope"
    assert (await confirm("pam", " ")).status_code == 422
    assert (await confirm("pam")).status_code == 200
    assert (await people.get("pam", "/v1/withheld"))["items"] == []
    assert (await confirm("pam")).status_code == 204
    assert (await people.post("pam", "/v1/withheld/w2/confirm", {"reason": "x"})).status_code == 404
    (event,) = await people.events("LooseningConfirmed")
    assert (event.by.person, event.reason) == ("pam", "they moved")


async def test_who_may_affect_policy_on_some_clusters_confirms_what_stays_within(people: People) -> None:
    facts = people.server.embedded.facts.fleet
    tx = facts.selection.ordinal("tx-1")
    assert tx is not None
    await people.recorded(
        role("affecting", (["policy:affect"], ["*"])),
        bound("pat", "affecting", "pat", "state = tx"),
        ("withheld-w1", LooseningWithheld("w1", packed(BitMap([tx])))),
    )

    assert (await people.post("pat", "/v1/withheld/w1/confirm", {"reason": "they moved"})).status_code == 200
