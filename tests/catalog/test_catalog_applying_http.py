"""What no store's API server would take is refused when it is published or chosen, with object and path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.flow.conftest import store

if TYPE_CHECKING:
    from httpx2 import Response

    from tests.flow.conftest import Server

WHERE = "/v1/applications/pos-api"


def deployment(name: str = "pos-api", app: str = "pos-api", **more: Any) -> dict[str, Any]:
    container = {"name": "main", "image": "registry.example/pos-api:1", **more.pop("container", {})}
    spec = {
        "selector": {"matchLabels": {"app": app}},
        "template": {"metadata": {"labels": {"app": app}}, "spec": {"containers": [container]}},
    }
    metadata = {"name": name, **more.pop("metadata", {})}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec | more}


def document(kind: str, name: str, **spec: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": name}, "spec": spec}


async def declare(server: Server, *documents: dict[str, Any]) -> Response:
    return await server.client.post("/v1/documents", json={"documents": list(documents)})


async def publish(server: Server, version: str, *objects: Any, query: str = "", **more: Any) -> Response:
    body = {"manifests": yaml.safe_dump_all(objects), **more}
    answer = await server.client.put(f"{WHERE}/releases/{version}{query}", json=body)
    await server.settled()
    return answer


async def choose(server: Server, version: str, expression: str = "/c/*", query: str = "") -> Response:
    body = {"version": version, "expression": expression}
    answer = await server.client.post(f"{WHERE}/release-choices:set{query}", json=body)
    await server.settled()
    return answer


@pytest.fixture
async def catalog(server: Server) -> Server:
    documents = [
        *(store(name, size=size) for name, size in (("tx-1", "large"), ("ny-1", "small"))),
        document("Namespace", "pos", expression="/c/*", allow=["namespace/monitoring", "flux-annotations"]),
        document("Application", "pos-api", namespace="pos"),
    ]
    answer = await declare(server, *documents)
    assert answer.status_code == 200, answer.text
    await server.settled()
    return server


async def test_what_can_never_be_applied_is_refused_with_object_and_path(catalog: Server) -> None:
    answer = await publish(catalog, "1.0.0", deployment(replicas="3", container={"imagePullPolicy": "always"}))

    told = answer.json()
    assert (answer.status_code, told["code"]) == (409, "never-applies")
    assert (told["object"], told["pointer"]) == ("Deployment/pos/pos-api", "/spec/replicas")
    assert len(told["problems"]) == 2
    assert (await catalog.client.get(f"{WHERE}/releases/1.0.0")).status_code == 404


async def test_what_is_doubtful_is_a_warning_and_with_strict_a_refusal(catalog: Server) -> None:
    strict = await publish(catalog, "1.0.0", deployment(replcas=3), query="?strict=true")
    tried = await publish(catalog, "1.0.0", deployment(replcas=3), query="?dry_run=true")
    taken = await publish(catalog, "1.0.0", deployment(replcas=3))

    assert (strict.status_code, strict.json()["code"]) == (409, "doubtful-manifests")
    assert (strict.json()["pointer"], strict.json()["fix"]) == ("/spec/replcas", "did you mean replicas?")
    assert (tried.status_code, taken.status_code) == (200, 201)
    assert tried.json()["warnings"] == taken.json()["warnings"]
    assert "/spec/replcas" in taken.json()["warnings"][0]


@pytest.mark.parametrize(
    ("container", "path"),
    [
        ({"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}, "env/1"),
        ({"ports": [{"containerPort": 80}, {"containerPort": 80, "protocol": "TCP"}]}, "ports/1"),
        ({"resources": {"requests": {"cpu": 2}, "limits": {"cpu": 1}}}, "resources/requests/cpu"),
        ({"workingDir": 5}, "workingDir"),
        ({"stdin": "${edge.store.name}"}, "stdin"),
        ({"stdin": "${edge.labels.size}"}, "stdin"),
        ({"stdin": "a ${edge.config.stdin}"}, "stdin"),
    ],
)
async def test_each_of_these_is_refused(catalog: Server, container: dict[str, Any], path: str) -> None:
    answer = await publish(catalog, "1.0.0", deployment(container=container))

    assert (answer.status_code, answer.json()["code"]) == (409, "never-applies")
    assert answer.json()["pointer"] == f"/spec/template/spec/containers/0/{path}"


async def test_an_annotation_that_steers_kustomize_is_refused(catalog: Server) -> None:
    key = "internal.config.kubernetes.io/needsHashSuffix"

    answer = await publish(catalog, "1.0.0", deployment(metadata={"annotations": {key: "enabled"}}))

    assert (answer.status_code, answer.json()["code"]) == (409, "kustomize-annotation")
    assert answer.json()["pointer"] == f"/metadata/annotations/{key.replace('/', '~1')}"


BUDGET = {
    "apiVersion": "policy/v1beta1",
    "kind": "PodDisruptionBudget",
    "metadata": {"name": "pos-api"},
    "spec": {"minAvailable": 1},
}
TILL = {"apiVersion": "example.com/v1", "kind": "Till", "metadata": {"name": "front"}, "spec": {"lanes": 2}}
TILLS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "tills.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"kind": "Till", "plural": "tills"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {"spec": {"type": "object", "properties": {"lanes": {"type": "integer"}}}},
                    }
                },
            }
        ],
    },
}


async def test_a_version_that_is_named_makes_a_missing_api_a_refusal(catalog: Server) -> None:
    unnamed = await publish(catalog, "1.0.0", BUDGET)
    await declare(catalog, document("Namespace", "pos", expression="/c/*", kubernetes="v1.33.2"))
    named = await publish(catalog, "1.0.1", BUDGET)

    assert unnamed.status_code == 201
    assert "policy/v1beta1" in unnamed.json()["warnings"][0]
    assert (named.status_code, named.json()["code"], named.json()["fix"]) == (409, "never-applies", "use policy/v1")
    assert (await catalog.get("/v1/namespaces/pos"))["spec"]["kubernetes"] == "1.33"


async def test_a_cluster_says_its_own_version(catalog: Server) -> None:
    flow = {
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1beta3",
        "kind": "FlowSchema",
        "metadata": {"name": "a"},
        "spec": {"priorityLevelConfiguration": {"name": "b"}},
    }
    for name, version in (("tx-1", "1.31"), ("ny-1", "1.35")):
        spec = {"timezone": "America/Chicago", "clusters": [{"name": name, "kubernetes": version}]}
        assert (await declare(catalog, document("Store", name, **spec))).status_code == 200
    await declare(catalog, document("Namespace", "pos", expression="/c/*", allow=["FlowSchema"]))
    await catalog.settled()

    some = await publish(catalog, "1.0.0", flow)
    await declare(catalog, document("Application", "pos-api", namespace="pos", expression="/c/ny-1"))
    none = await publish(catalog, "1.0.1", flow)

    assert (some.status_code, none.status_code) == (201, 409)
    assert "1.35" in some.json()["warnings"][0]
    assert (await catalog.get("/v1/stores/tx-1"))["spec"]["clusters"] == [{"name": "tx-1", "kubernetes": "1.31"}]


@pytest.mark.parametrize(
    "spec", [{"kubernetes": "latest"}, {"kubernetes": 1.31}, {"crds": ["tills.example.com"]}, {"crds": ["Till.v1"]}]
)
async def test_a_version_or_kind_that_means_nothing_is_named(catalog: Server, spec: dict[str, Any]) -> None:
    answer = await declare(catalog, document("Namespace", "pos", expression="/c/*", **spec))

    assert answer.status_code == 422
    assert answer.json()["pointer"].endswith(f"/spec/{next(iter(spec))}" + ("/0" if "crds" in spec else ""))


async def test_a_custom_kind_is_known_from_the_release_from_another_release_or_by_registration(catalog: Server) -> None:
    named = {"expression": "/c/*", "kubernetes": "1.35", "allow": ["CustomResourceDefinition"]}
    await declare(catalog, document("Namespace", "pos", **named), document("Application", "tills", namespace="pos"))
    await catalog.settled()
    wrong = TILL | {"spec": {"lanes": "two"}}

    unknown = await publish(catalog, "1.0.0", TILL)
    own = await publish(catalog, "1.0.1", TILLS, TILL)
    misfit = await publish(catalog, "1.0.2", TILLS, wrong)
    await catalog.client.put("/v1/applications/tills/releases/1", json={"manifests": yaml.safe_dump(TILLS)})
    await catalog.settled()
    await catalog.client.post("/v1/applications/tills/release-choices:set", json={"version": "1"})
    await catalog.settled()
    elsewhere = await publish(catalog, "1.0.3", TILL)
    elsewhere_misfit = await publish(catalog, "1.0.4", wrong)

    assert [each.status_code for each in (unknown, own, misfit, elsewhere)] == [409, 201, 409, 201]
    assert (elsewhere_misfit.status_code, elsewhere_misfit.json()["pointer"]) == (409, "/spec/lanes")
    await declare(catalog, document("Namespace", "pos", **named, crds=["Drawer.v1.example.com"]))
    registered = await publish(catalog, "1.0.5", TILL | {"kind": "Drawer"})
    assert (registered.status_code, registered.json()["warnings"]) == (201, [])


async def test_an_object_in_a_namespace_that_nobody_makes_is_doubtful(catalog: Server) -> None:
    there = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "monitoring"}, "data": {}}

    nobody = await publish(catalog, "1.0.0", there)
    await declare(catalog, document("Namespace", "monitoring", expression="/c/tx-1"))
    some = await publish(catalog, "1.0.1", there)
    await declare(catalog, document("Namespace", "monitoring", expression="/c/*"))
    everywhere = await publish(catalog, "1.0.2", there)

    assert "no Namespace monitoring is declared" in nobody.json()["warnings"][0]
    assert "for 1 of its clusters" in some.json()["warnings"][0]
    assert everywhere.json()["warnings"] == []


@pytest.mark.parametrize("name", ["cloudbuild", "appveyor", "codeship-steps"])
async def test_a_name_that_flux_leaves_out_is_refused(catalog: Server, name: str) -> None:
    application = await declare(catalog, document("Application", name, namespace="pos"))
    namespace = await declare(catalog, document("Namespace", name, expression="/c/*"))

    assert (application.status_code, application.json()["code"]) == (409, "name-reserved")
    assert (namespace.status_code, namespace.json()["code"]) == (409, "name-reserved")


async def test_replicas_that_an_autoscaler_manages_are_doubtful_whoever_has_the_autoscaler(catalog: Server) -> None:
    scaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "pos-api"},
        "spec": {
            "maxReplicas": 3,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "pos-api"},
        },
    }

    beside = await publish(catalog, "1.0.0", deployment(replicas=2), scaler)
    without = await publish(catalog, "1.0.1", deployment(), scaler)
    await declare(catalog, document("Application", "scaling", namespace="pos"))
    await catalog.settled()
    where = "/v1/applications/scaling"
    await catalog.client.put(f"{where}/releases/1", json={"manifests": yaml.safe_dump(scaler)})
    await catalog.settled()
    await catalog.client.post(f"{where}/release-choices:set", json={"version": "1"})
    await catalog.settled()
    elsewhere = await publish(catalog, "1.0.2", deployment(replicas=2))

    assert "/spec/replicas: HorizontalPodAutoscaler/pos/pos-api manages" in beside.json()["warnings"][0]
    assert without.json()["warnings"] == []
    assert beside.json()["warnings"] == elsewhere.json()["warnings"]


async def test_a_change_of_an_immutable_field_is_refused_where_the_old_one_runs(catalog: Server) -> None:
    await publish(catalog, "1.0.0", deployment())
    await publish(catalog, "2.0.0", deployment(app="pos"))
    assert (await choose(catalog, "1.0.0", "/c/tx-1")).is_success

    tried = await choose(catalog, "2.0.0", query="?dry_run=true")
    refused = await choose(catalog, "2.0.0")
    elsewhere = await choose(catalog, "2.0.0", "/c/ny-1")

    told = refused.json()
    assert (tried.status_code, refused.status_code, told["code"]) == (409, 409, "immutable-field")
    assert (told["object"], told["field"]) == ("Deployment/pos/pos-api", "/spec/selector/matchLabels/app")
    assert (told["pointer"], told["cluster"]) == ("/version", "tx-1")
    assert "kustomize.toolkit.fluxcd.io/force" in told["fix"]
    assert elsewhere.is_success


async def test_the_documented_ways_out_of_an_immutable_field_are_taken(catalog: Server) -> None:
    force = {"annotations": {"kustomize.toolkit.fluxcd.io/force": "enabled"}}
    await publish(catalog, "1.0.0", deployment())
    await publish(catalog, "2.0.0", deployment(app="pos", metadata=force))
    await publish(catalog, "3.0.0", deployment(name="pos", app="other"))

    for version in ("1.0.0", "2.0.0", "3.0.0"):
        answer = await choose(catalog, version)
        assert answer.is_success, answer.text


async def test_what_the_api_server_may_have_filled_in_is_a_warning_only(catalog: Server) -> None:
    claim: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "journal"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    await publish(catalog, "1.0.0", claim)
    await publish(catalog, "2.0.0", claim | {"spec": claim["spec"] | {"storageClassName": "local-path"}})
    await choose(catalog, "1.0.0")

    strict = await choose(catalog, "2.0.0", query="?strict=true")
    answer = await choose(catalog, "2.0.0")

    assert (strict.status_code, strict.json()["code"]) == (409, "doubtful-choice")
    assert answer.is_success
    assert strict.json()["problems"] == answer.json()["warnings"]
    assert "/spec/storageClassName" in answer.json()["warnings"][0]
