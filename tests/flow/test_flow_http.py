"""What holds for every route: tokens, idempotency, dry runs, many documents, health, problem documents."""

import asyncio
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from httpx2 import AsyncClient, Response

from cli.embedded import SERVICES
from libs.bus import LogFeed
from libs.commands.positions import Positions
from libs.contracts.problems import Problem
from services.rendering.app import build as rendering
from tests.flow.conftest import Server, running, store


@pytest.fixture
def server(quiet_server: Server) -> Server:
    return quiet_server


KEY = {"Idempotency-Key": "k-1"}


async def test_without_a_token_nothing_is_told(server: Server) -> None:
    for token in (None, "wrong", server.token[:-1]):
        async with server.client_for(token) as stranger:
            for path in ("/v1/stores", "/v1/events", "/metrics", "/openapi.json"):
                response = await stranger.get(path)
                assert response.status_code == 401
                assert response.headers["Content-Type"] == "application/problem+json"
                assert response.headers["WWW-Authenticate"] == "Bearer"
            assert (await stranger.get("/livez")).text == "ok"
            assert (await stranger.get("/readyz")).status_code == 200


async def test_a_viewer_reads_but_does_not_change(server: Server) -> None:
    await server.declare(store("tx-1"))
    token = server.embedded.tokens.issue("ada", frozenset({"viewer"}))
    async with server.client_for(token) as viewer:
        assert (await viewer.get("/v1/stores")).status_code == 200
        for refused in (
            await viewer.put("/v1/stores/tx-2", json=store("tx-2")),
            await viewer.delete("/v1/stores/tx-1"),
            await viewer.post("/v1/stores:import", content="x"),
            await viewer.post("/v1/documents", json={"documents": []}),
        ):
            assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")


async def test_a_repeated_request_is_answered_as_the_first_time(server: Server) -> None:
    first = await server.client.put("/v1/stores/tx-1", json=store("tx-1"), headers=KEY)
    await server.declare(store("tx-1", size="large"))
    again = await server.client.put("/v1/stores/tx-1", json=store("tx-1"), headers=KEY)
    for answer in (again, first):
        assert (answer.status_code, answer.json()["result"]) == (201, "created")
    assert again.content == first.content
    assert again.headers["ETag"] == first.headers["ETag"]
    assert again.headers["Resedge-Position"] == first.headers["Resedge-Position"]
    assert await server.settled() == 2


async def test_a_key_with_other_content_is_refused(server: Server) -> None:
    await server.client.put("/v1/stores/tx-1", json=store("tx-1"), headers=KEY)
    for path, document, query in (
        ("/v1/stores/tx-1", store("tx-1", size="large"), {}),
        ("/v1/stores/tx-2", store("tx-1"), {}),
        ("/v1/stores/tx-1", store("tx-1"), {"x": "y"}),
    ):
        refused = await server.client.put(path, json=document, headers=KEY, params=query)
        if path.endswith("tx-2"):
            assert refused.status_code == 422  # the document does not belong there, whatever the key
        else:
            assert (refused.status_code, refused.json()["code"]) == (409, "idempotency-conflict")
    assert await server.settled() == 1


@pytest.mark.parametrize("again", [False, True], ids=["same process", "after a restart"])
async def test_an_unchanged_answer_is_remembered_under_its_key(tmp_path: Path, again: bool) -> None:
    services = [build for build in SERVICES if build is not rendering]
    csv = b"name,timezone,size\ntx-1,America/Chicago,large\n"

    def load(client: AsyncClient) -> Awaitable[Response]:
        headers = {"Content-Type": "text/csv", "Idempotency-Key": "import"}
        return client.post("/v1/stores:import", content=csv, headers=headers)

    async def repeated(server: Server) -> list[Response]:
        put = await server.client.put("/v1/stores/tx-1", json=store("tx-1", size="large"), headers=KEY)
        return [put, await load(server.client)]

    def told(answers: list[Response]) -> list[Any]:
        return [
            (answer.status_code, answer.content, answer.headers.get("ETag"), answer.headers["Resedge-Position"])
            for answer in answers
        ]

    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(running(tmp_path / "data", services))
        await server.declare(store("tx-1", size="large"))
        first = told(await repeated(server))
        assert [each[0] for each in first] == [204, 200]
        await server.declare(store("tx-1", size="small"))
        position = await server.settled()
        if again:
            await stack.aclose()
            server = await stack.enter_async_context(running(tmp_path / "data", services))

        assert told(await repeated(server)) == first
        other = await server.client.put("/v1/stores/tx-1", json=store("tx-1", size="small"), headers=KEY)
        assert (other.status_code, other.json()["code"]) == (409, "idempotency-conflict")
        assert (await server.get("/v1/stores/tx-1"))["metadata"]["labels"] == {"size": "small"}
        assert await server.settled() == position


async def test_an_unchanged_answer_is_decided_again_when_the_thing_changes_meanwhile(server: Server) -> None:
    await server.declare(store("tx-1", size="large"))
    puts = [store("tx-1", size="large") if number % 2 else store("tx-1", n=str(number)) for number in range(20)]
    keys = [{"Idempotency-Key": f"k-{number}"} for number in range(20)]

    async def put(number: int) -> Response:
        return await server.client.put("/v1/stores/tx-1", json=puts[number], headers=keys[number])

    first = await asyncio.gather(*map(put, range(20)))
    assert {answer.status_code for answer in first} <= {200, 204}
    again = [await put(number) for number in range(20)]
    assert [(each.status_code, each.headers["ETag"]) for each in again] == [
        (each.status_code, each.headers["ETag"]) for each in first
    ]


async def test_a_key_belongs_to_its_actor(server: Server) -> None:
    await server.client.put("/v1/stores/tx-1", json=store("tx-1"), headers=KEY)
    token = server.embedded.tokens.issue("ada", frozenset({"admin"}))
    async with server.client_for(token) as ada:
        assert (await ada.put("/v1/stores/tx-2", json=store("tx-2"), headers=KEY)).status_code == 201


async def test_the_same_request_many_times_at_once_is_appended_once(server: Server) -> None:
    answers = await asyncio.gather(
        *(server.client.put("/v1/stores/tx-1", json=store("tx-1"), headers=KEY) for _ in range(10))
    )
    assert {(answer.status_code, answer.content) for answer in answers} == {(201, answers[0].content)}
    assert await server.settled() == 1


async def test_many_creations_at_once_all_succeed(server: Server) -> None:
    answers = await asyncio.gather(*(server.declare(store(f"tx-{index}")) for index in range(40)))
    assert {answer.status_code for answer in answers} == {201}


async def test_one_name_wanted_by_many_at_once_is_given_once(server: Server) -> None:
    documents = [store(f"tx-{index}") for index in range(12)]
    for document in documents:
        document["spec"]["clusters"] = [{"name": "the-one"}]
    answers = await asyncio.gather(*(server.declare(document) for document in documents))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 11


async def test_a_dry_run_shows_the_events_and_appends_nothing(server: Server) -> None:
    tried = await server.declare(store("tx-1"), dry_run="true")
    assert tried.status_code == 200
    body = tried.json()
    assert (body["result"], body["events"][0]["stream"]) == ("created", "store-tx-1")
    assert await server.settled() == 0
    assumed = {"document": store("tx-1"), "assume": body["events"]}
    again = await server.client.put("/v1/stores/tx-1?dry_run=true", json=assumed)
    assert (again.json()["result"], again.json()["events"]) == ("unchanged", [])
    gone = await server.client.request("DELETE", "/v1/stores/tx-1?dry_run=true", json={"assume": body["events"]})
    assert gone.json()["events"][0]["type"].endswith("StoreRemoved.v1")
    refused = await server.client.put("/v1/stores/tx-1", json=assumed)
    assert (refused.status_code, refused.json()["pointer"]) == (422, "/assume")


@pytest.mark.parametrize(
    "assume", [{}, [1], [{"stream": "store-a", "type": "nope", "data": {}}], [{"stream": "store-a"}]]
)
async def test_what_cannot_be_assumed_is_refused(server: Server, assume: Any) -> None:
    body = {"document": store("tx-1"), "assume": assume}
    response = await server.client.put("/v1/stores/tx-1?dry_run=true", json=body)
    assert response.status_code == 422


async def test_documents_that_refer_to_each_other_are_tried_together(server: Server) -> None:
    thief = store("tx-2")
    thief["spec"]["clusters"] = [{"name": "tx-1"}]
    good = {"documents": [store("tx-1"), store("tx-2")]}
    bad = {"documents": [store("tx-1"), thief]}
    tried = await server.client.post("/v1/documents?dry_run=true", json=good)
    assert [each["result"] for each in tried.json()["results"]] == ["created", "created"]
    refused = await server.client.post("/v1/documents", json=bad)
    assert (refused.status_code, refused.json()["code"]) == (409, "cluster-name-taken")
    assert refused.json()["document"] == 1
    assert await server.settled() == 0
    done = await server.client.post("/v1/documents", json=good)
    assert [(each["name"], each["position"]) for each in done.json()["results"]] == [("tx-1", 1), ("tx-2", 2)]
    again = await server.client.post("/v1/documents", json=good)
    assert [each["result"] for each in again.json()["results"]] == ["unchanged", "unchanged"]


async def test_a_document_of_an_unknown_kind_is_refused(server: Server) -> None:
    body = {"documents": [store("tx-1"), {**store("tx-2"), "kind": "Stor"}]}
    refused = await server.client.post("/v1/documents", json=body)
    assert (refused.status_code, refused.json()["document"], refused.json()["nearest"]) == (422, 1, "Store")


async def test_what_is_not_there_and_what_is_not_allowed_are_problems_too(server: Server) -> None:
    for method, path, status in (("GET", "/v1/nothing", 404), ("PATCH", "/v1/stores/a", 405)):
        response = await server.client.request(method, path)
        assert (response.status_code, response.headers["Content-Type"]) == (status, "application/problem+json")
        assert response.json()["request_id"] == response.headers["X-Request-Id"]


@pytest.mark.parametrize(
    ("query", "pointer"), [("dry_run=maybe", "?dry_run"), ("position=-1", "?position"), ("position=x", "?position")]
)
async def test_a_parameter_that_cannot_be_read_is_refused(server: Server, query: str, pointer: str) -> None:
    response = await server.client.put(f"/v1/stores/tx-1?{query}", json=store("tx-1"))
    assert (response.status_code, response.json()["pointer"]) == (422, pointer)


async def test_a_position_that_never_comes_is_waited_for_only_so_long(server: Server) -> None:
    positions = Positions()
    feed = server.embedded._feed
    assert isinstance(feed, LogFeed)
    positions.attach(feed)
    with pytest.raises(Problem) as problem:
        await positions.seen(99, server.embedded.facts, seconds=0.05)
    assert (problem.value.status, problem.value.code) == (504, "position-timeout")


async def test_readiness_lists_its_checks(server: Server) -> None:
    await server.declare(store("tx-1"))
    await server.settled()
    verbose = (await server.client.get("/readyz?verbose")).json()
    assert verbose["ready"]
    assert {"check", "ok", "detail"} == verbose["checks"][0].keys()


async def test_metrics_have_route_templates_and_no_series_per_store(server: Server) -> None:
    await server.declare(store("tx-never-a-label"))
    text = (await server.client.get("/metrics")).text
    assert 'resedge_http_request_seconds_count{method="PUT",route="/v1/stores/{name:path}",status="201"}' in text
    assert 'resedge_consumer_position{consumer="fleet"}' in text
    assert "tx-never-a-label" not in text


async def test_the_schema_describes_every_route(server: Server) -> None:
    schema = (await server.client.get("/openapi.json")).json()
    assert {"/v1/stores", "/v1/stores:import", "/v1/documents", "/v1/events"} <= schema["paths"].keys()
    operations = [each["operationId"] for path in schema["paths"].values() for each in path.values()]
    assert len(operations) == len(set(operations))


async def test_events_carry_actor_request_and_trace(server: Server) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = {"traceparent": trace, "X-Request-Id": "req-1"}
    await server.client.put("/v1/stores/tx-1", json=store("tx-1"), headers=headers)
    event = (await server.get("/v1/events"))["items"][0]
    assert (event["actor"], event["correlationid"]) == ("admin", "req-1")
    assert event["traceparent"].split("-")[1] == trace.split("-")[1]
