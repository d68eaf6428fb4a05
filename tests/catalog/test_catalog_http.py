"""The catalog's documents over HTTP: declared, read back, refused with code and pointer, deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.flow.conftest import store

if TYPE_CHECKING:
    from tests.flow.conftest import Server


def document(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "resedge.dev/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


POS = document("Namespace", "pos", expression="size = large", owners=["team-pos"], capacity={"cpu": "500m"})
API = document("Application", "pos-api", namespace="pos", expression="/c/*")
TAX = document(
    "Configuration",
    "tax",
    applications=["pos-api"],
    expression="/c/tx-1",
    priority=20,
    values={"tax": {"rate": 0.0825}},
)


def declared(server: Server) -> int:
    """Return how many events of this service the log holds; others write to it at their own time."""
    return sum(".catalog." in event.type for event in server.embedded.log.read(0))


@pytest.fixture
async def catalog(server: Server) -> Server:
    for name, size in (("tx-1", "large"), ("tx-2", "large"), ("ny-1", "small")):
        assert (await server.declare(store(name, size=size))).status_code == 201
    await server.settled()
    answer = await server.client.post("/v1/documents", json={"documents": [POS, API, TAX]})
    assert answer.status_code == 200, answer.text
    await server.settled()
    return server


async def test_what_is_exported_and_applied_again_is_unchanged(catalog: Server) -> None:
    for path in ("namespaces/pos", "applications/pos-api", "configurations/tax"):
        read = await catalog.client.get(f"/v1/{path}")
        assert (read.status_code, read.headers["etag"]) == (200, '"1"')
        assert (await catalog.declare(read.json())).status_code == 204
    for one in (POS, API, TAX):
        assert (await catalog.declare(one)).status_code == 204


async def test_things_are_listed_by_an_expression(catalog: Server) -> None:
    for kind in ("namespaces", "applications"):
        assert len((await catalog.get(f"/v1/{kind}", where="/c/tx-2"))["items"]) == 1
        assert (await catalog.get(f"/v1/{kind}", where="/c/ny-1"))["items"] == []
    assert await catalog.get("/v1/configurations:count", where="/c/tx-1") == {"count": 1}
    assert await catalog.get("/v1/configurations:count", where="/c/tx-2") == {"count": 0}


def kitchen(**spec: Any) -> dict[str, Any]:
    return document("Namespace", "kitchen", **spec)


def layer(**spec: Any) -> dict[str, Any]:
    return document("Configuration", "c", **{"expression": "/c/*", **spec})


CONFLICT = layer(applications=["pos-api"], priority=20, values={"tax": {"rate": 0}})
REFUSED = (
    (document("Namespace", "kube-system", expression="/c/*"), 409, "name-reserved", "/metadata/name"),
    (kitchen(expression="/g/nowhere"), 409, "unknown-reference", "/spec/expression"),
    (kitchen(expression="size = xl"), 409, "selects-nothing", "/spec/expression"),
    (document("Namespace", "pos", expression="/n/pos"), 409, "cycle", "/spec/expression"),
    (kitchen(expression="/c/*", capacity={"cpu": "lots"}), 422, "invalid-document", "/spec/capacity/cpu"),
    (kitchen(expression="/c/*", allow=["?"]), 422, "invalid-document", "/spec/allow/0"),
    (kitchen(expresion="/c/*"), 422, "invalid-document", "/spec/expresion"),
    (document("Application", "kustomization", namespace="pos"), 409, "name-reserved", "/metadata/name"),
    (document("Application", "menu", namespace="poss"), 409, "unknown-reference", "/spec/namespace"),
    (layer(applications=["x"]), 409, "unknown-reference", "/spec/applications/0"),
    (CONFLICT, 409, "configuration-conflict", "/spec/values/tax/rate"),
    (layer(priority="1"), 422, "invalid-document", "/spec/priority"),
    (layer(expression="size ="), 422, "invalid-expression", "/spec/expression"),
)


async def test_what_is_refused_says_where_and_changes_nothing(catalog: Server) -> None:
    before = declared(catalog)

    for said, *expected in REFUSED:
        answer = await catalog.declare(said)
        assert [answer.status_code, answer.json()["code"], answer.json().get("pointer")] == expected, answer.text

    assert declared(catalog) == before


async def test_deletions_are_refused_while_something_refers_to_them(catalog: Server) -> None:
    for path, referrers in (
        ("/v1/namespaces/pos", ["application pos-api"]),
        ("/v1/applications/pos-api", ["configuration tax"]),
    ):
        refused = await catalog.client.delete(path)
        assert (refused.status_code, refused.json()["referrers"]) == (409, referrers)
    for path in ("/v1/configurations/tax", "/v1/applications/pos-api", "/v1/namespaces/pos"):
        deleted = await catalog.client.delete(path, params={"position": await catalog.settled()})
        assert (deleted.status_code, deleted.json()["result"]) == (200, "deleted")
    gone = await catalog.client.delete("/v1/namespaces/pos", params={"position": await catalog.settled()})
    assert gone.status_code == 404


async def test_a_configuration_is_resolved_with_the_layer_of_each_key(catalog: Server) -> None:
    base = document(
        "Configuration", "base", expression="/c/*", namespace="pos", values={"level": "info", "tax": {"x": 1}}
    )
    assert (await catalog.declare(base)).status_code == 201

    resolved = await catalog.get("/v1/configurations:resolve", cluster="tx-1", application="pos-api")

    assert resolved["values"] == {"level": "info", "tax": {"x": 1, "rate": 0.0825}}
    assert resolved["origins"] == {"/level": "base", "/tax/x": "base", "/tax/rate": "tax"}
    assert resolved["layers"] == ["base", "tax"]
    for query in ({"cluster": "tx-9", "application": "pos-api"}, {"cluster": "tx-1", "application": "pos-apy"}):
        answer = await catalog.client.get("/v1/configurations:resolve", params=query)
        assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
    assert (await catalog.client.get("/v1/configurations:resolve")).status_code == 422


async def test_names_that_are_paths_are_invalid_or_not_found(catalog: Server) -> None:
    for path in ("/v1/applications/..%2f..%2fx", "/v1/namespaces/.git", "/v1/configurations/A"):
        answer = await catalog.client.put(path, json={"spec": {"namespace": "pos"}})
        assert answer.status_code in {404, 422}, answer.text
        assert answer.json()["code"]


async def test_every_route_is_described_once(catalog: Server) -> None:
    paths = (await catalog.get("/openapi.json"))["paths"]
    operations = [each["operationId"] for path in paths.values() for each in path.values() if "operationId" in each]

    assert len(operations) == len(set(operations))
    assert "/v1/applications/{application}/release-choices:set" in paths
    assert "under" in [each["name"] for each in paths["/v1/groups"]["get"]["parameters"]]
