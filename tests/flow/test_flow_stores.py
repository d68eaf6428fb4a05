"""Stores and clusters over HTTP: declare, read, page, select, import, label, delete."""

from typing import Any

import pytest

from tests.flow.conftest import Server, store


@pytest.fixture
def server(quiet_server: Server) -> Server:
    return quiet_server


CSV = {"Content-Type": "text/csv"}


async def test_declaring_twice_changes_nothing_the_second_time(server: Server) -> None:
    first = await server.declare(store("tx-1", size="large"))
    again = await server.declare(store("tx-1", size="large"))
    other = await server.declare(store("tx-1", size="small"))
    assert [first.status_code, again.status_code, other.status_code] == [201, 204, 200]
    assert first.json() == {"result": "created", "warnings": [], "version": 1, "position": 1}
    assert (again.content, again.headers["ETag"]) == (b"", '"1"')
    assert (other.headers["ETag"], other.headers["Resedge-Position"]) == ('"2"', "2")


async def test_a_document_is_read_back_as_it_was_declared(server: Server) -> None:
    document = store("tx-1", size="large", grill=["Acme3000", "Acme3001"])
    await server.declare(document)
    read = await server.get("/v1/stores/tx-1")
    assert read["metadata"] == document["metadata"]
    assert (await server.declare(read)).status_code == 204


async def test_a_client_reads_its_own_writes_by_position(server: Server) -> None:
    for index in range(20):
        put = await server.declare(store("tx-1", index=str(index)))
        headers = {"Resedge-Position": put.headers["Resedge-Position"]}
        got = await server.client.get("/v1/stores/tx-1", headers=headers)
        assert got.json()["metadata"]["labels"] == {"index": str(index)}
        assert got.headers["ETag"] == put.headers["ETag"]


async def test_if_match_lets_only_the_expected_version_change(server: Server) -> None:
    put = await server.declare(store("tx-1"))
    path, document = "/v1/stores/tx-1", store("tx-1", size="large")
    wrong = await server.client.put(path, json=document, headers={"If-Match": '"7"'})
    assert (wrong.status_code, wrong.json()["code"], wrong.json()["version"]) == (412, "precondition-failed", 1)
    right = await server.client.put(path, json=document, headers={"If-Match": put.headers["ETag"]})
    assert right.status_code == 200
    missing = await server.client.put("/v1/stores/tx-2", json=store("tx-2"), headers={"If-Match": "*"})
    assert missing.status_code == 412
    taken = await server.client.put(path, json=store("tx-1"), headers={"If-None-Match": "*"})
    assert taken.status_code == 412
    assert (await server.client.delete(path, headers={"If-Match": '"1"'})).status_code == 412


async def test_a_deleted_store_is_gone_and_can_come_back(server: Server) -> None:
    await server.declare(store("tx-1"))
    deleted = await server.client.delete("/v1/stores/tx-1")
    assert (deleted.status_code, deleted.json()["result"]) == (200, "deleted")
    await server.settled()
    assert (await server.client.get("/v1/stores/tx-1")).status_code == 404
    assert (await server.client.delete("/v1/stores/tx-1")).status_code == 404
    assert (await server.get("/v1/stores"))["items"] == []
    back = await server.declare(store("tx-1"))
    assert (back.status_code, back.json()["version"]) == (201, 3)


async def test_lists_go_on_where_the_page_before_ended(server: Server) -> None:
    for index in range(7):
        await server.declare(store(f"tx-{index}", size="large" if index % 2 else "small"))
    await server.settled()
    for path, wanted in (
        ("/v1/stores?limit=3", [f"tx-{index}" for index in range(7)]),
        ("/v1/stores?limit=2&where=size%20%3D%20large", ["tx-1", "tx-3", "tx-5"]),
        ("/v1/clusters?limit=2&where=size%20%3D%20large", ["tx-1", "tx-3", "tx-5"]),
    ):
        found: list[str] = []
        following: str | None = path
        while following is not None:
            response = await server.client.get(following)
            found += [each.get("name") or each["metadata"]["name"] for each in response.json()["items"]]
            link = response.headers.get("Link")
            assert (link is None) == (response.json()["next"] is None)
            following = None if link is None else link.partition(">")[0][1:]
        assert found == wanted


async def test_things_are_counted(server: Server) -> None:
    for name in ("tx-1", "tx-2"):
        await server.declare(store(name, size=name))
    assert await server.get("/v1/stores:count") == {"count": 2}
    assert await server.get("/v1/stores:count", where="size = tx-1") == {"count": 1}
    assert await server.get("/v1/clusters:count") == {"count": 2}


@pytest.mark.parametrize(
    ("where", "code", "near"),
    [
        ("size = large and", "invalid-expression", None),
        ("/g/geo/nowhere", "unknown-reference", None),
        ("sise = large", "unknown-reference", "size"),
    ],
)
async def test_a_query_that_makes_no_sense_is_told_with_its_place(
    server: Server, where: str, code: str, near: str | None
) -> None:
    await server.declare(store("tx-1", size="large"))
    await server.settled()
    response = await server.client.get("/v1/stores", params={"where": where})
    problem = response.json()
    assert (response.status_code, problem["code"], problem["pointer"]) == (422, code, "?where")
    assert isinstance(problem["position"], int)
    assert problem.get("nearest") == near


async def test_what_is_not_there_is_not_found_with_the_nearest_name(server: Server) -> None:
    await server.declare(store("tx-austin"))
    await server.settled()
    for path in ("/v1/stores/tx-autsin", "/v1/clusters/tx-autsin"):
        response = await server.client.get(path)
        assert (response.status_code, response.json()["nearest"]) == (404, "tx-austin")


@pytest.mark.parametrize("name", ["..%2F..%2Fx", ".git", "A", "a_b", "-a", "a" * 64, "%00"])
async def test_a_name_that_is_none_is_refused(server: Server, name: str) -> None:
    response = await server.client.put(f"/v1/stores/{name}", json={"spec": {"timezone": "UTC"}})
    assert (response.status_code, response.json()["pointer"]) == (422, "/metadata/name")
    assert (await server.client.get(f"/v1/stores/{name}")).status_code == 404


async def test_an_unknown_field_is_refused_with_the_nearest_one(server: Server) -> None:
    document = store("tx-1")
    document["spec"]["clustres"] = []
    problem = (await server.declare(document)).json()
    assert (problem["pointer"], problem["nearest"], problem["code"]) == (
        "/spec/clustres",
        "clusters",
        "invalid-document",
    )
    assert problem["request_id"]
    assert await server.settled() == 0


async def test_a_cluster_name_that_another_store_has_is_refused(server: Server) -> None:
    await server.declare(store("tx-1"))
    thief = store("tx-2")
    thief["spec"]["clusters"] = [{"name": "tx-1"}]
    refused = await server.declare(thief)
    assert (refused.status_code, refused.json()["code"]) == (409, "cluster-name-taken")
    assert refused.json()["pointer"] == "/spec/clusters/0/name"


async def test_a_cluster_shows_what_it_is(server: Server) -> None:
    document = store("tx-1", size="large", role="till")
    about = {"labels": {"role": "kitchen"}, "capacity": {"cpu": "4"}, "kubernetes": "v1.33.4+k3s1"}
    document["spec"]["clusters"] = [{"name": "tx-1-k", **about}]
    await server.declare(document)
    cluster = await server.get("/v1/clusters/tx-1-k")
    assert cluster.pop("path").endswith("/tx-1-k")
    assert cluster == {
        "name": "tx-1-k",
        "store": "tx-1",
        "timezone": "America/Chicago",
        "labels": {"role": "kitchen", "size": "large"},
        "capacity": {"cpu": "4"},
        "kubernetes": "1.33",
        "groups": [],
        "namespaces": [],
    }
    explained = await server.get("/v1/clusters/tx-1-k/explain", expression="size = large and role = till")
    assert explained["holds"] is False
    assert [(each["term"], each["holds"]) for each in explained["terms"]] == [
        ("size = large", True),
        ("role = till", False),
    ] or [each["holds"] for each in explained["terms"]] == [False, True]


async def test_deleting_a_cluster_edits_its_store(server: Server) -> None:
    await server.declare(store("tx-1"))
    await server.settled()
    deleted = await server.client.delete("/v1/clusters/tx-1")
    assert (deleted.status_code, deleted.json()["version"]) == (200, 2)
    assert (await server.get("/v1/stores/tx-1"))["spec"]["clusters"] == []
    assert (await server.client.delete("/v1/clusters/tx-1")).status_code == 404


def counted(answer: dict[str, Any]) -> tuple[int, ...]:
    return tuple(answer[word] for word in ("created", "configured", "unchanged", "position"))


async def test_an_import_is_one_submission(server: Server) -> None:
    rows = "name,timezone,size,grill\n" + "".join(f"tx-{n},UTC,large,a|b\n" for n in range(250))
    taken = await server.client.post("/v1/stores:import", content=rows, headers=CSV)
    assert counted(taken.json()) == (250, 0, 0, 250)
    again = await server.client.post("/v1/stores:import", content=rows, headers=CSV)
    assert counted(again.json()) == (0, 0, 250, 250)
    changed = await server.client.post("/v1/stores:import", content=rows.replace("tx-0,UTC", "tx-0,GMT"), headers=CSV)
    assert counted(changed.json()) == (0, 1, 249, 251)
    assert changed.json()["fields"] == {"timezone": 1}
    assert (await server.get("/v1/stores/tx-7"))["metadata"]["labels"] == {"size": "large", "grill": ["a", "b"]}


async def test_one_bad_row_and_none_is_taken(server: Server) -> None:
    rows = "name,timezone\ngood,UTC\nBad,UTC\nworse,Mars\n"
    refused = await server.client.post("/v1/stores:import", content=rows, headers=CSV)
    assert refused.status_code == 422
    assert [(each["row"], each["column"]) for each in refused.json()["errors"]] == [(3, "name"), (4, "timezone")]
    assert await server.settled() == 0


async def test_an_import_may_be_tried_first(server: Server) -> None:
    rows = "name,timezone\n" + "".join(f"tx-{n},UTC\n" for n in range(150))
    tried = await server.client.post("/v1/stores:import?dry_run=true", content=rows, headers=CSV)
    assert tried.json()["created"] == 150
    assert len(tried.json()["events"]) == 100
    assert await server.settled() == 0


async def test_an_import_row_with_a_taken_cluster_name_is_refused(server: Server) -> None:
    document = store("tx-1")
    document["spec"]["clusters"] = [{"name": "tx-2"}]
    await server.declare(document)
    refused = await server.client.post("/v1/stores:import", content="name,timezone\ntx-2,UTC\n", headers=CSV)
    assert (refused.status_code, refused.json()["code"]) == (409, "cluster-name-taken")
    assert refused.json()["errors"][0]["row"] == 2


async def test_many_stores_are_labelled_at_once(server: Server) -> None:
    for index in range(4):
        await server.declare(store(f"tx-{index}", size="large" if index % 2 else "small", old="x"))
    await server.settled()
    body = {"where": "size = large", "set": {"beta": ["a", "b"]}, "remove": ["old"]}
    changed = await server.client.post("/v1/stores:label", json=body)
    assert changed.json() == {"changed": 2, "position": 6}
    again = await server.client.post("/v1/stores:label", json=body)
    assert again.json()["changed"] == 0
    assert (await server.get("/v1/stores/tx-1"))["metadata"]["labels"] == {"size": "large", "beta": ["a", "b"]}
    assert (await server.get("/v1/stores/tx-2"))["metadata"]["labels"] == {"size": "small", "old": "x"}


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        ({"where": "/g/nowhere", "set": {"a": "b"}}, 409, "/where"),
        ({"where": "and", "set": {"a": "b"}}, 422, "/where"),
        ({"where": "/c/*", "set": {"a": 1}}, 422, "/set/a"),
        ({"where": "/c/*", "set": {"a": "b"}, "remove": ["a"]}, 422, "/set/a"),
        ({"where": "/c/*"}, 422, None),
        ({"set": {"a": "b"}}, 422, "/where"),
    ],
)
async def test_labels_that_cannot_be_put_are_refused(
    server: Server, body: dict[str, Any], status: int, pointer: str | None
) -> None:
    await server.declare(store("tx-1"))
    refused = await server.client.post("/v1/stores:label", json=body)
    assert (refused.status_code, refused.json().get("pointer")) == (status, pointer)


BOMBS = {
    "depth": b"[" * 8_000_000,
    "integer": b'{"a": ' + b"9" * 8_000_000 + b"}",
    "too-large": b" " * 9_000_000,
    "keys": b'{"spec": {"timezone": "UTC", "timezone": "UTC"}}',
    "alias": b"a0: &a0 [x]\n"
    + b"".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n".encode() for n in range(1, 12)),
}


@pytest.mark.parametrize("bomb", BOMBS)
async def test_a_bomb_is_refused_and_changes_nothing(server: Server, bomb: str) -> None:
    kind = "application/yaml" if bomb == "alias" else "application/json"
    response = await server.client.put("/v1/stores/tx-1", content=BOMBS[bomb], headers={"Content-Type": kind})
    assert response.status_code in {413, 422}
    assert await server.settled() == 0
