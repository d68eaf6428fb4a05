"""Releases and release choices over HTTP: published once, read back, chosen, refused with the object and the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.flow.conftest import store

if TYPE_CHECKING:
    from httpx2 import Response

    from tests.flow.conftest import Server

MANIFESTS = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: pos-api}
spec:
  selector: {matchLabels: {app: pos-api}}
  template:
    metadata: {labels: {app: pos-api}}
    spec:
      containers:
        - {name: main, image: "registry.example/pos-api:1", env: [{name: PORT, value: "${edge.config.port:-80}"}]}
"""
SCHEMA = {"type": "object", "properties": {"port": {"type": "integer"}}, "required": ["port"]}
WHERE = "/v1/applications/pos-api"


async def publish(server: Server, version: str, manifests: str = MANIFESTS, **more: Any) -> Response:
    return await server.client.put(f"{WHERE}/releases/{version}", json={"manifests": manifests, **more})


def declared(server: Server) -> int:
    """Return how many events of this service the log holds; others write to it at their own time."""
    return sum(".catalog." in event.type for event in server.embedded.log.read(0))


@pytest.fixture
async def catalog(server: Server) -> Server:
    documents = [
        *(store(name, size=size) for name, size in (("tx-1", "large"), ("ny-1", "small"))),
        {"kind": "Namespace", "metadata": {"name": "pos"}, "spec": {"expression": "/c/*"}},
        {"kind": "Application", "metadata": {"name": "pos-api"}, "spec": {"namespace": "pos"}},
    ]
    answer = await server.client.post("/v1/documents", json={"documents": documents})
    assert answer.status_code == 200, answer.text
    await server.settled()
    return server


async def test_a_release_is_published_once_and_never_changes(catalog: Server) -> None:
    created = await publish(catalog, "1.0.0", schema=SCHEMA, defaults={"port": 80})
    await catalog.settled()
    again = await publish(catalog, "1.0.0", schema=SCHEMA, defaults={"port": 80})
    other = await publish(catalog, "1.0.0", schema=SCHEMA, defaults={"port": 81})

    assert (created.status_code, created.json()["result"]) == (201, "created")
    assert (again.status_code, other.status_code, other.json()["code"]) == (204, 409, "release-differs")
    read = await catalog.get(f"{WHERE}/releases/1.0.0")
    assert (read["schema"], read["defaults"], read["namespace"]) == (SCHEMA, {"port": 80}, "pos")
    assert read["images"] == ["registry.example/pos-api:1"]
    assert read["objects"] == [{"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "pos", "name": "pos-api"}]
    manifests = await catalog.client.get(f"{WHERE}/releases/1.0.0/manifests")
    assert manifests.text == MANIFESTS


async def test_releases_are_listed_page_by_page(catalog: Server) -> None:
    for version in ("1.0.0", "1.1.0", "2.0.0"):
        assert (await publish(catalog, version)).status_code == 201

    first = await catalog.get(f"{WHERE}/releases", limit=2)
    rest = await catalog.get(f"{WHERE}/releases", limit=2, cursor=first["next"])

    assert [item["version"] for item in first["items"] + rest["items"]] == ["1.0.0", "1.1.0", "2.0.0"]
    assert await catalog.get(f"{WHERE}/releases:count") == {"count": 3}


async def test_a_dry_run_publishes_nothing(catalog: Server) -> None:
    before = declared(catalog)

    tried = await catalog.client.put(
        f"{WHERE}/releases/1.0.0", json={"manifests": MANIFESTS}, params={"dry_run": "true"}
    )

    assert (tried.status_code, tried.json()["result"]) == (200, "created")
    assert tried.json()["events"][0]["type"] == "dev.resedge.catalog.ReleasePublished.v1"
    assert declared(catalog) == before


async def test_a_dry_run_of_a_choice_takes_the_events_of_a_dry_run_of_its_release(catalog: Server) -> None:
    tried = await catalog.client.put(
        f"{WHERE}/releases/1.0.0", json={"manifests": MANIFESTS}, params={"dry_run": "true"}
    )

    chosen = await catalog.client.post(
        f"{WHERE}/release-choices:set",
        json={"document": {"version": "1.0.0"}, "assume": tried.json()["events"]},
        params={"dry_run": "true"},
    )

    assert (chosen.status_code, chosen.json()["result"]) == (200, "created"), chosen.text


async def test_what_cannot_be_published_names_the_object_and_the_reason(catalog: Server) -> None:
    role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: x}\n"
    bomb = "a: &a [x]\n" + "".join(f"b{number}: [*a, *a]\n" for number in range(2_000))
    before = declared(catalog)

    refused = await publish(catalog, "1", role)
    for manifests in (bomb, "kind: [", "a: 1\na: 2\n", "- 1\n"):
        assert (await publish(catalog, "1", manifests)).status_code == 422

    assert (refused.status_code, refused.json()["code"]) == (409, "cluster-scoped")
    assert "ClusterRole" in refused.json()["object"]
    assert "spec.allow" in refused.json()["fix"]
    assert declared(catalog) == before


async def test_what_the_namespace_allows_can_be_published(catalog: Server) -> None:
    role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: x}\n"
    allowing = {
        "kind": "Namespace",
        "metadata": {"name": "pos"},
        "spec": {"expression": "/c/*", "allow": ["ClusterRole"]},
    }
    assert (await catalog.declare(allowing)).status_code == 200
    await catalog.settled()

    assert (await publish(catalog, "1", role)).status_code == 201

    narrowed = {**allowing, "spec": {"expression": "/c/*"}}
    assert (await catalog.declare(narrowed)).status_code == 200
    await catalog.settled()
    assert (await publish(catalog, "1", role)).status_code == 204, "what already exists stays unchanged"
    assert (await publish(catalog, "2", role)).status_code == 409


async def test_uploads_that_do_not_fit_are_invalid(catalog: Server) -> None:
    for body, pointer in (
        ({"manifests": 1}, "/manifests"),
        ({"manifests": MANIFESTS, "shema": {}}, "/shema"),
        ({"manifests": MANIFESTS, "schema": {"type": "objekt"}}, "/schema/type"),
        ({"manifests": MANIFESTS, "schema": {"$ref": "https://example.com/x"}}, "/schema"),
        ({"manifests": MANIFESTS, "defaults": [1]}, "/defaults"),
        ({"manifests": MANIFESTS, "defaults": {"a": 2**63}}, "/defaults/a"),
    ):
        answer = await catalog.client.put(f"{WHERE}/releases/1.0.0", json=body)
        assert (answer.status_code, answer.json()["pointer"]) == (422, pointer), answer.text
    assert (await publish(catalog, "1.0.0", "#" * (4 * 1024 * 1024 + 1))).status_code == 413
    assert (await publish(catalog, "1.0.0+x")).status_code == 422
    missing = await catalog.client.put("/v1/applications/pos-apy/releases/1", json={"manifests": MANIFESTS})
    assert (missing.status_code, missing.json()["nearest"]) == (404, "pos-api")


async def test_releases_are_chosen_put_set_and_unset(catalog: Server) -> None:
    for version in ("1.0.0", "1.1.0"):
        await publish(catalog, version)
    await catalog.settled()
    assert await catalog.get(f"{WHERE}/release-choices") == {"choices": []}

    first = await catalog.client.post(f"{WHERE}/release-choices:set", json={"version": "1.0.0"})
    await catalog.settled()
    second = await catalog.client.post(
        f"{WHERE}/release-choices:set", json={"version": "1.1.0", "expression": "(size = small)"}
    )
    listed = await catalog.get(f"{WHERE}/release-choices")
    put = await catalog.client.put(f"{WHERE}/release-choices", json=listed)
    unset = await catalog.client.post(f"{WHERE}/release-choices:unset", json={"expression": "size = small"})
    await catalog.settled()
    again = await catalog.client.post(f"{WHERE}/release-choices:unset", json={"expression": "size = small"})

    assert (first.status_code, second.status_code, put.status_code, unset.status_code, again.status_code) == (
        201,
        200,
        204,
        200,
        404,
    )
    assert (again.json()["code"], again.json()["pointer"]) == ("not-found", "/expression")
    assert listed == {
        "choices": [{"expression": "/c/*", "version": "1.0.0"}, {"expression": "size = small", "version": "1.1.0"}]
    }
    read = await catalog.client.get(f"{WHERE}/release-choices")
    assert read.headers["etag"] == unset.headers["etag"] == '"3"'
    assert read.json() == {"choices": [{"expression": "/c/*", "version": "1.0.0"}]}


async def test_a_choice_that_cannot_be_is_refused(catalog: Server) -> None:
    await publish(catalog, "1.0.0", schema=SCHEMA)
    before = declared(catalog)

    for body, status, code, pointer in (
        ({"version": "1.0.1"}, 409, "unknown-reference", "/version"),
        ({"version": "1.0.0", "expression": "/g/x"}, 409, "unknown-reference", "/expression"),
        ({"version": "1.0.0", "expression": "size = xl"}, 409, "selects-nothing", "/expression"),
        ({"version": "1.0.0", "expression": "size ="}, 422, "invalid-expression", "/expression"),
        ({"version": "1.0.0"}, 409, "values-invalid", "/version"),
        ({"versions": "1.0.0"}, 422, "invalid-document", "/versions"),
    ):
        answer = await catalog.client.post(f"{WHERE}/release-choices:set", json=body)
        found = (answer.status_code, answer.json()["code"], answer.json()["pointer"])
        assert found == (status, code, pointer), answer.text
    missing = await catalog.client.post("/v1/applications/x/release-choices:set", json={"version": "1"})
    assert missing.status_code == 404
    assert declared(catalog) == before


async def test_values_of_a_release_in_force_are_tried_when_a_configuration_is_declared(catalog: Server) -> None:
    await publish(catalog, "1.0.0", schema=SCHEMA, defaults={"port": 80})
    await catalog.settled()
    await catalog.client.post(f"{WHERE}/release-choices:set", json={"version": "1.0.0"})
    await catalog.settled()
    bad = {
        "kind": "Configuration",
        "metadata": {"name": "c"},
        "spec": {"expression": "/c/ny-1", "values": {"port": "x"}},
    }

    answer = await catalog.declare(bad)

    assert (answer.status_code, answer.json()["code"], answer.json()["cluster"]) == (409, "values-invalid", "ny-1")


async def test_an_application_goes_with_its_choices_in_one_step(catalog: Server) -> None:
    await publish(catalog, "1.0.0")
    await catalog.settled()
    await catalog.client.post(f"{WHERE}/release-choices:set", json={"version": "1.0.0"})
    await catalog.settled()

    tried = await catalog.client.delete(WHERE, params={"dry_run": "true"})
    deleted = await catalog.client.delete(WHERE)
    await catalog.settled()
    await catalog.declare({"kind": "Application", "metadata": {"name": "pos-api"}, "spec": {"namespace": "pos"}})

    assert [each["stream"] for each in tried.json()["events"]] == ["application-pos-api", "choices-pos-api"]
    assert deleted.status_code == 200
    assert await catalog.get(f"{WHERE}/release-choices") == {"choices": []}
    assert (await publish(catalog, "1.0.0")).status_code == 204
    assert (await publish(catalog, "1.0.0", MANIFESTS + "# other\n")).status_code == 409


async def test_a_request_that_is_sent_twice_is_answered_twice_and_done_once(catalog: Server) -> None:
    headers = {"Idempotency-Key": "release-1"}
    body = {"manifests": MANIFESTS}

    first = await catalog.client.put(f"{WHERE}/releases/1.0.0", json=body, headers=headers)
    second = await catalog.client.put(f"{WHERE}/releases/1.0.0", json=body, headers=headers)
    other = await catalog.client.put(f"{WHERE}/releases/1.0.1", json=body, headers=headers)

    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert (other.status_code, other.json()["code"]) == (409, "idempotency-conflict")


async def test_if_match_is_held_against_the_choices_version(catalog: Server) -> None:
    await publish(catalog, "1.0.0")
    await catalog.settled()

    answer = await catalog.client.post(
        f"{WHERE}/release-choices:set", json={"version": "1.0.0"}, headers={"If-Match": '"7"'}
    )

    assert answer.status_code == 412, answer.text
