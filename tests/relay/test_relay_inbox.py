"""Events from outside over HTTP: a fact, or a dead letter with the reason; both visible, each once."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.relay.conftest import ACCOUNT, BATCH, SOURCE, Outside, event, source

AUSTIN = {"name": "tx-austin-0042", "timezone": "America/Chicago", "labels": {"size": "large"}}
MANIFESTS = """apiVersion: v1
kind: ConfigMap
metadata: {name: menu}
data: {board: "1"}
"""


async def test_an_opened_store_is_a_fact_of_the_sources_service_account(outside: Outside) -> None:
    await outside.register()
    said = event("StoreOpened", AUSTIN | {"hours": [{"days": ["mon"], "open": "06:00", "close": "23:00"}]})

    answer = await outside.send(said)

    assert answer.status_code == 200, answer.text
    assert answer.json() == {"source": SOURCE, "id": said["id"], "outcome": "accepted", "position": 2}
    fact = outside.facts()[-1]
    assert (fact.stream, fact.actor) == ("store-tx-austin-0042", ACCOUNT)
    assert fact.causation_id == f"inbox:{said['type']} {SOURCE} {said['id']}"
    document = await outside.get("/v1/stores/tx-austin-0042")
    assert document["metadata"]["labels"] == {"size": "large"}
    assert document["spec"]["hours"] == [{"days": ["mon"], "open": "06:00", "close": "23:00"}]


async def test_the_same_event_again_has_its_first_outcome_and_appends_nothing(outside: Outside) -> None:
    await outside.register()
    said = event("StoreOpened", AUSTIN)
    first = await outside.send(said)
    await outside.send(event("StoreClosed", {"name": "tx-austin-0042"}))
    count = len(outside.facts())

    again = await outside.send(said | {"time": "2026-11-24T12:00:00Z"})

    assert again.json() == first.json()
    assert len(outside.facts()) == count


async def test_events_that_come_twice_at_once_are_one_fact(outside: Outside) -> None:
    await outside.register()
    said = event("StoreOpened", AUSTIN)

    answers = await asyncio.gather(*(outside.send(said) for _ in range(8)))

    assert {answer.text for answer in answers} == {answers[0].text}
    assert len(outside.facts()) == 2


async def test_the_same_id_with_other_content_is_a_dead_letter_and_changes_nothing(outside: Outside) -> None:
    await outside.register()
    said = event("StoreOpened", AUSTIN)
    await outside.send(said)

    answer = await outside.send(said | {"data": AUSTIN | {"timezone": "America/Denver"}})

    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency-conflict")
    assert (await outside.get("/v1/stores/tx-austin-0042"))["spec"]["timezone"] == "America/Chicago"
    (letter,) = await outside.letters(state="open")
    assert letter["code"] == "idempotency-conflict"
    assert [(each["id"], each["outcome"]) for each in await outside.inbox()] == [
        (said["id"], "refused"),
        (said["id"], "accepted"),
    ]


async def test_what_changes_nothing_is_noted(outside: Outside) -> None:
    await outside.register()
    await outside.send(event("StoreOpened", AUSTIN))
    said = event("StoreOpened", AUSTIN)

    answer = await outside.send(said)

    assert answer.json()["outcome"] == "unchanged"
    assert outside.facts()[-1].type == "dev.resedge.relay.EventNoted.v1"
    assert (await outside.send(said)).json() == answer.json()
    assert (await outside.inbox(source=SOURCE))[0]["outcome"] == "unchanged"


async def test_a_changed_store_keeps_what_the_event_does_not_name(outside: Outside) -> None:
    await outside.register()
    await outside.send(event("StoreOpened", AUSTIN | {"clusters": [{"name": "tx-austin-0042-a"}]}))

    await outside.send(event("StoreChanged", {"name": "tx-austin-0042", "timezone": "America/Denver"}))
    await outside.send(
        event("LabelsChanged", {"name": "tx-austin-0042", "set": {"grill": ["A", "B"]}, "remove": ["size"]})
    )

    document = await outside.get("/v1/stores/tx-austin-0042")
    assert document["metadata"]["labels"] == {"grill": ["A", "B"]}
    assert document["spec"]["timezone"] == "America/Denver"
    assert document["spec"]["clusters"] == [{"name": "tx-austin-0042-a"}]


async def test_a_closed_store_is_gone_and_one_that_is_gone_already_is_noted(outside: Outside) -> None:
    await outside.register()
    await outside.send(event("StoreOpened", AUSTIN))

    assert (await outside.send(event("StoreClosed", {"name": "tx-austin-0042"}))).json()["outcome"] == "accepted"
    assert (await outside.send(event("StoreClosed", {"name": "tx-austin-0042"}))).json()["outcome"] == "unchanged"
    assert (await outside.admin.get("/v1/stores/tx-austin-0042")).status_code == 404


async def test_a_published_release_goes_to_the_catalog(outside: Outside) -> None:
    await outside.register()
    await outside.send(event("StoreOpened", AUSTIN))
    for document in (
        {"kind": "Namespace", "metadata": {"name": "menus"}, "spec": {"expression": "/c/*"}},
        {"kind": "Application", "metadata": {"name": "menu"}, "spec": {"namespace": "menus"}},
    ):
        answer = await outside.server.declare(document)
        assert answer.status_code == 201, answer.text

    published = event("ReleasePublished", {"application": "menu", "version": "1.0.0", "manifests": MANIFESTS})
    answer = await outside.send(published)

    assert answer.json()["outcome"] == "accepted", answer.text
    release = await outside.get("/v1/applications/menu/releases/1.0.0")
    assert release["published_by"] == ACCOUNT


@pytest.mark.parametrize(
    ("said", "status", "code"),
    [
        (event("StoreOpened", AUSTIN, source="https://elsewhere.example.com"), 403, "unregistered-source"),
        (event("com.example.unheard", AUSTIN), 422, "unknown-type"),
        (event("StoreClosed", {"name": "tx-austin-0042"}), 409, "type-not-allowed"),
        (event("StoreOpened", AUSTIN | {"name": "ny-albany-0001"}), 409, "name-not-allowed"),
        (event("StoreOpened", AUSTIN | {"timezon": "UTC"}), 422, "invalid-data"),
        (event("StoreOpened", {"name": "tx-a"}), 422, "invalid-data"),
        (event("StoreOpened", AUSTIN | {"timezone": "Mars/Olympus"}), 422, "invalid-document"),
        (event("StoreOpened", ["not", "an", "object"]), 422, "invalid-data"),
        (event("StoreOpened", AUSTIN, specversion="0.3"), 422, "malformed-event"),
        (event("StoreOpened", AUSTIN, id=""), 422, "malformed-event"),
        (event("StoreOpened", AUSTIN, id="a\nb"), 422, "malformed-event"),
        (event("StoreOpened", AUSTIN, time="yesterday"), 422, "malformed-event"),
        (
            event("ReleasePublished", {"application": "tx-app", "version": "../..", "manifests": ""}),
            422,
            "invalid-data",
        ),
        (event("ReleasePublished", {"application": "tx-app", "version": "1"}), 422, "invalid-data"),
        (["not", "an", "event"], 422, "malformed-event"),
    ],
)
async def test_what_is_refused_is_a_dead_letter_with_the_reason(
    outside: Outside, said: Any, status: int, code: str
) -> None:
    allowed = [f"dev.resedge.inbox.{name}.v1" for name in ("StoreOpened", "ReleasePublished")]
    await outside.register(types=allowed, names=["tx-*"])

    answer = await outside.send(said)

    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    (letter,) = await outside.letters(kind="inbox", state="open")
    assert (letter["code"], letter["letter"]) == (code, answer.json()["letter"])
    assert answer.json()["detail"] == letter["reason"]
    shown = await outside.get(f"/v1/dead-letters/{letter['letter']}")
    assert json.loads(shown["body"]) == said
    assert (await outside.inbox(outcome="refused"))[0]["letter"] == letter["letter"]


async def test_a_token_that_is_not_the_sources_own_is_refused_whatever_it_may_do(outside: Outside) -> None:
    await outside.register()
    said = event("StoreOpened", AUSTIN)

    answer = await outside.admin.post(
        "/v1/events", content=json.dumps(said), headers={"Content-Type": "application/cloudevents+json"}
    )

    assert (answer.status_code, answer.json()["code"]) == (403, "source-mismatch")
    # The event's own id is still its own: what nobody vouched for does not take it.
    assert (await outside.send(said)).json()["outcome"] == "accepted"


async def test_who_may_only_read_sends_nothing(outside: Outside) -> None:
    viewer = outside.server.embedded.tokens.issue("viewer", frozenset({"viewer"}))
    async with outside.server.client_for(viewer) as client:
        assert (await client.post("/v1/events", json=event("StoreOpened", AUSTIN))).status_code == 403
    assert (await outside.sender.get("/v1/stores")).status_code == 403
    assert outside.facts() == []


async def test_binary_mode_carries_the_attributes_in_headers(outside: Outside) -> None:
    await outside.register()
    headers = {"ce-specversion": "1.0", "ce-id": "caf%C3%A9-1", "ce-source": SOURCE}
    headers |= {"ce-type": "dev.resedge.inbox.StoreOpened.v1", "Content-Type": "application/json"}

    answer = await outside.sender.post("/v1/events", json=AUSTIN, headers=headers)

    assert answer.json()["outcome"] == "accepted", answer.text
    assert (await outside.inbox())[0]["id"] == "café-1"


async def test_a_batch_answers_each_event(outside: Outside) -> None:
    await outside.register()
    said = [
        event("StoreOpened", AUSTIN),
        event("StoreOpened", {"name": "tx-waco-0001"}),
        event("LabelsChanged", {"name": "tx-austin-0042", "set": {"size": "small"}}),
    ]

    answer = await outside.send(said, BATCH)

    assert answer.status_code == 200
    items = answer.json()["items"]
    assert [(each["id"], each["outcome"]) for each in items] == [
        (said[0]["id"], "accepted"),
        (said[1]["id"], "refused"),
        (said[2]["id"], "accepted"),
    ]
    assert items[1]["problem"]["code"] == "invalid-data"
    assert (await outside.send([event("StoreOpened", AUSTIN)] * 501, BATCH)).status_code == 422


async def test_a_foreign_type_is_read_by_its_mapping(outside: Outside) -> None:
    fields = {"name": "/site/code", "timezone": "/site/tz", "labels": "/tags"}
    mapping = {"foreign": "com.example.SiteCreated", "type": "dev.resedge.inbox.StoreOpened.v1", "fields": fields}
    await outside.register(mappings=[mapping])

    answer = await outside.send(
        event("com.example.SiteCreated", {"site": {"code": "tx-waco-0001", "tz": "UTC"}, "tags": {"a": "b"}})
    )

    assert answer.json()["outcome"] == "accepted", answer.text
    assert (await outside.get("/v1/stores/tx-waco-0001"))["metadata"]["labels"] == {"a": "b"}


async def test_a_release_with_a_secret_is_not_kept(outside: Outside) -> None:
    await outside.register()
    await outside.send(event("StoreOpened", AUSTIN))
    await outside.server.declare({"kind": "Namespace", "metadata": {"name": "m"}, "spec": {"expression": "/c/*"}})
    await outside.server.declare({"kind": "Application", "metadata": {"name": "menu"}, "spec": {"namespace": "m"}})
    secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: hunter2}\n"

    answer = await outside.send(
        event("ReleasePublished", {"application": "menu", "version": "1.0.0", "manifests": secret})
    )

    assert answer.json()["code"] == "secret-data"
    assert b"hunter2" not in b"".join(fact.data for fact in outside.facts())


async def test_a_source_that_is_removed_sends_nothing_from_that_instant(outside: Outside) -> None:
    await outside.register()
    assert (await outside.admin.delete("/v1/sources/registry")).status_code == 200

    assert (await outside.send(event("StoreOpened", AUSTIN))).json()["code"] == "unregistered-source"


async def test_a_source_uri_belongs_to_one_source(outside: Outside) -> None:
    await outside.register()

    answer = await outside.admin.put("/v1/sources/other", json=source("other"))

    assert (answer.status_code, answer.json()["code"]) == (409, "source-taken")
    assert "registry" in answer.json()["detail"]
