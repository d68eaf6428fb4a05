"""The relay acts for a source's service account; nobody else acts for anybody."""

from __future__ import annotations

from httpx2 import Response

from libs.web.auth import ON_BEHALF_OF
from libs.web.intents import CAUSATION, EVENT_DIGEST
from tests.flow.conftest import store
from tests.relay.conftest import Outside

RELAYED = {ON_BEHALF_OF: "store-registry", "Idempotency-Key": "k-1", EVENT_DIGEST: "d-1", CAUSATION: "inbox:t s i"}


async def as_relay(outside: Outside, name: str, headers: dict[str, str], **labels: str) -> Response:
    token = outside.server.embedded.tokens.internal("relay", frozenset({"relay"}))
    async with outside.server.client_for(token) as client:
        return await client.put(f"/v1/stores/{name}", json=store(name, **labels), headers=headers)


async def test_what_the_relay_does_for_a_source_is_the_sources(outside: Outside) -> None:
    assert (await as_relay(outside, "a", RELAYED)).status_code == 201

    fact = outside.facts()[-1]
    assert (fact.actor, fact.key, fact.causation_id) == ("store-registry", "@relay:k-1", "inbox:t s i")


async def test_the_key_stands_for_the_event_not_for_the_request_that_came_of_it(outside: Outside) -> None:
    first = await as_relay(outside, "a", RELAYED)

    again = await as_relay(outside, "a", RELAYED, size="large")
    other = await as_relay(outside, "a", RELAYED | {EVENT_DIGEST: "d-2"})

    assert again.json() == first.json()
    assert (other.status_code, other.json()["code"]) == (409, "idempotency-conflict")


async def test_nobody_else_acts_for_others_and_their_claims_count_for_nothing(outside: Outside) -> None:
    answer = await outside.admin.put("/v1/stores/a", json=store("a"), headers=RELAYED)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")

    claims = {name: value for name, value in RELAYED.items() if name != ON_BEHALF_OF}
    assert (await outside.admin.put("/v1/stores/a", json=store("a"), headers=claims)).status_code == 201
    fact = outside.facts()[-1]
    assert (fact.actor, fact.key, fact.causation_id) == ("admin", "admin:k-1", None)


async def test_the_relay_decides_about_no_dead_letter_and_acts_for_names_only(outside: Outside) -> None:
    assert (await as_relay(outside, "a", RELAYED | {ON_BEHALF_OF: "no name"})).status_code == 422
    token = outside.server.embedded.tokens.internal("relay", frozenset({"relay"}))
    async with outside.server.client_for(token) as client:
        assert (await client.post("/v1/dead-letters/x:skip", json={"reason": "x"})).status_code == 403
        assert (await client.post("/v1/events", json={})).status_code == 403
