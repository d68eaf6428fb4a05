"""Groups over HTTP: documents, members, counts, lists below a path, problems with code and pointer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.flow.conftest import store

if TYPE_CHECKING:
    from tests.flow.conftest import Server


def group(path: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "resedge.dev/v1", "kind": "Group", "metadata": {"path": path}, "spec": spec}


def declared(server: Server) -> int:
    """Return how many events of this service the log holds; others write to it at their own time."""
    return sum(".grouping." in event.type for event in server.embedded.log.read(0))


@pytest.fixture
async def texas(server: Server) -> Server:
    for name, city in (("tx-1", "austin"), ("tx-2", "austin"), ("tx-3", "dallas")):
        assert (await server.declare(store(name, city=city))).status_code == 201
    await server.settled()
    return server


async def test_a_group_is_declared_read_and_declared_again(texas: Server) -> None:
    document = group("/geo/us/tx/austin", expression="(city = austin)", clusters=["tx-3"])

    created = await texas.declare(document)
    again = await texas.declare(document)
    read = await texas.client.get("/v1/groups/geo/us/tx/austin", params={"position": await texas.settled()})
    exported = await texas.declare(read.json())

    assert (created.status_code, created.json()["result"], again.status_code) == (201, "created", 204)
    assert read.json()["spec"] == {"clusters": ["tx-3"], "expression": "city = austin"}
    assert read.headers["etag"] == created.headers["etag"] == '"1"'
    assert exported.status_code == 204


async def test_members_of_groups_below_are_members_page_by_page(texas: Server) -> None:
    await texas.declare(group("/geo/us/tx/austin", expression="city = austin"))
    await texas.declare(group("/geo/us/tx/dallas", clusters=["tx-3"]))

    first = await texas.get("/v1/groups/geo/us:members", limit=2)
    rest = await texas.get("/v1/groups/geo/us:members", limit=2, cursor=first["next"])

    assert (first["count"], [item["name"] for item in first["items"]]) == (3, ["tx-1", "tx-2"])
    assert (rest["items"], rest["next"]) == ([{"name": "tx-3", "store": "tx-3"}], None)
    assert await texas.get("/v1/groups/geo/us/tx/austin:count") == {"count": 2}


async def test_groups_are_listed_below_a_path_and_by_an_expression(texas: Server) -> None:
    for path, city in (("/geo/us/tx/austin", "austin"), ("/geo/us/tx-x", "dallas"), ("/geo/us", None), ("/fr", None)):
        spec = {} if city is None else {"expression": f"city = {city}"}
        assert (await texas.declare(group(path, **spec))).status_code == 201

    below = await texas.get("/v1/groups", under="/geo/us/tx")
    first = await texas.get("/v1/groups", under="/geo", limit=2)
    rest = await texas.get("/v1/groups", under="/geo", limit=2, cursor=first["next"])
    holding = await texas.get("/v1/groups", where="/c/tx-3")

    assert [item["metadata"]["path"] for item in below["items"]] == ["/geo/us/tx/austin"]
    assert [item["metadata"]["path"] for item in first["items"] + rest["items"]] == [
        "/geo/us",
        "/geo/us/tx-x",
        "/geo/us/tx/austin",
    ]
    assert [item["metadata"]["path"] for item in holding["items"]] == ["/geo/us", "/geo/us/tx-x"]
    assert await texas.get("/v1/groups:count") == {"count": 4}
    assert await texas.get("/v1/groups:count", under="/geo") == {"count": 3}


async def test_a_cluster_that_is_gone_is_left_out_of_the_document(texas: Server) -> None:
    await texas.declare(group("/geo", clusters=["tx-1", "tx-3"]))
    await texas.settled()

    assert (await texas.client.delete("/v1/stores/tx-3")).status_code == 200

    assert (await texas.get("/v1/groups/geo"))["spec"] == {"clusters": ["tx-1"]}


async def test_a_group_is_deleted_unless_something_refers_to_it(texas: Server) -> None:
    await texas.declare(group("/geo/tx", clusters=["tx-1"]))
    await texas.settled()
    await texas.declare(group("/delivery", expression="/g/geo"))
    await texas.settled()

    refused = await texas.client.delete("/v1/groups/geo/tx")
    deleted = await texas.client.delete("/v1/groups/delivery")
    gone = await texas.client.delete("/v1/groups/delivery", params={"position": deleted.json()["position"]})
    freed = await texas.client.delete("/v1/groups/geo/tx")

    assert (refused.status_code, refused.json()["code"]) == (409, "still-referenced")
    assert refused.json()["referrers"] == ["group /delivery"]
    assert (deleted.status_code, deleted.json()["result"], gone.status_code, freed.status_code) == (
        200,
        "deleted",
        404,
        200,
    )


REFUSED = (
    (group("/geo", clusters=["tx-9"]), 409, "unknown-reference", "/spec/clusters/0"),
    (group("/geo", expression="/g/nowhere"), 409, "unknown-reference", "/spec/expression"),
    (group("/geo", expression="/g/geo"), 409, "cycle", "/spec/expression"),
    (group("/geo", expression="city = rome"), 409, "selects-nothing", "/spec/expression"),
    (group("/geo", expression="city ="), 422, "invalid-expression", "/spec/expression"),
    (group("/geo", cluster=["tx-1"]), 422, "invalid-document", "/spec/cluster"),
    (group("/Geo"), 422, "invalid-document", "/metadata/path"),
)


async def test_what_is_refused_says_where_and_changes_nothing(texas: Server) -> None:
    before = declared(texas)

    for document, *expected in REFUSED:
        answer = await texas.declare(document)
        assert [answer.status_code, answer.json()["code"], answer.json()["pointer"]] == expected

    assert declared(texas) == before


async def test_a_path_that_escapes_is_not_found_or_invalid(texas: Server) -> None:
    for path in ("/v1/groups/geo/%2e%2e/x", "/v1/groups/.git"):
        answer = await texas.client.put(path, json={"spec": {}})
        assert answer.status_code in {404, 422}, answer.text


async def test_a_path_that_does_not_exist_is_not_found(texas: Server) -> None:
    await texas.declare(group("/geo/us"))
    position = await texas.settled()

    for path in ("/v1/groups/geo/uz", "/v1/groups/geo/uz:members", "/v1/groups/geo/uz:count"):
        answer = await texas.client.get(path, params={"position": position})
        assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
    listed = await texas.client.get("/v1/groups", params={"under": "/geo/uz"})
    assert (listed.status_code, listed.json()["nearest"]) == (404, "/geo/us")


async def test_groups_that_refer_to_each_other_are_tried_together(texas: Server) -> None:
    answer = await texas.client.post(
        "/v1/documents",
        params={"dry_run": "true"},
        json={"documents": [group("/geo", expression="city = austin"), group("/delivery", expression="/g/geo")]},
    )

    assert [each["result"] for each in answer.json()["results"]] == ["created", "created"]
    assert (await texas.get("/v1/groups"))["items"] == []
