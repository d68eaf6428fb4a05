"""Each thing that stops a namespace in a store is found, with its object and path; what an API server takes is not."""

from __future__ import annotations

import lzma
import re
from typing import Any

import msgspec
import pytest

from libs.kubernetes import OpenSlot, minors
from libs.kubernetes.schemas import PACKS
from tests.libs.kubernetes.kubernetes_words import checked, corpus, found, one, only, put

LARGE = "x" * (1024 * 1024 + 1)
POD = "/spec/template/spec"
MAIN = f"{POD}/containers/0"


@pytest.mark.parametrize("minor", minors())
def test_every_version_takes_the_corpus(minor: str) -> None:
    assert found(checked(*corpus(), versions=(minor,))) == []


@pytest.mark.parametrize(
    ("kind", "pointer", "new", "where"),
    [
        ("Deployment", "/metadata/labels/team", "check out", "/metadata/labels/team"),
        ("Deployment", "/metadata/labels/team", "x" * 64, "/metadata/labels/team"),
        ("Deployment", "/metadata/labels/a b", "x", "/metadata/labels/a b"),
        ("Deployment", "/metadata/annotations/a b", "x", "/metadata/annotations/a b"),
        ("Deployment", "/metadata/annotations/notes", "x" * (256 * 1024), "/metadata/annotations"),
        ("Deployment", "/metadata/managedFields", [{"manager": "kubectl"}], "/metadata/managedFields"),
        ("Deployment", "/spec/replicas", "2", "/spec/replicas"),
        ("Deployment", "/spec/replicas", -1, "/spec/replicas"),
        ("Deployment", "/spec/replicas", 1.5, "/spec/replicas"),
        ("Deployment", "/spec/replicas", 2**31, "/spec/replicas"),
        ("Deployment", "/spec/paused", "yes", "/spec/paused"),
        ("Deployment", "/spec/template/metadata/labels/app", "other", "/spec/selector/matchLabels/app"),
        ("Deployment", "/spec/selector", {}, "/spec/selector"),
        ("Deployment", "/spec/selector", None, "/spec/selector"),
        ("Deployment", "/spec/strategy/type", "Rolling", "/spec/strategy/type"),
        ("Deployment", "/spec/strategy/type", "Recreate", "/spec/strategy/rollingUpdate"),
        ("Deployment", "/spec/strategy/rollingUpdate/maxSurge", 0, "/spec/strategy/rollingUpdate/maxUnavailable"),
        ("Deployment", f"{POD}/restartPolicy", "Never", f"{POD}/restartPolicy"),
        ("Deployment", f"{POD}/containers", [], f"{POD}/containers"),
        ("Deployment", f"{POD}/initContainers/0/name", "main", f"{MAIN}/name"),
        ("Deployment", f"{POD}/nodeSelector/kubernetes.io~1os", "linux or so", f"{POD}/nodeSelector/kubernetes.io~1os"),
        ("Deployment", f"{MAIN}/name", "Main", f"{MAIN}/name"),
        ("Deployment", f"{MAIN}/image", "", f"{MAIN}/image"),
        ("Deployment", f"{MAIN}/imagePullPolicy", "always", f"{MAIN}/imagePullPolicy"),
        ("Deployment", f"{MAIN}/env/0/value", 8080, f"{MAIN}/env/0/value"),
        ("Deployment", f"{MAIN}/env/1/name", "PORT", f"{MAIN}/env/1"),
        ("Deployment", f"{MAIN}/env/1/value", "x", f"{MAIN}/env/1/valueFrom"),
        ("Deployment", f"{MAIN}/env/0/name", "A=B", f"{MAIN}/env/0/name"),
        ("Deployment", f"{MAIN}/ports/1/containerPort", 8080, f"{MAIN}/ports/1"),
        ("Deployment", f"{MAIN}/ports/1/containerPort", 65536, f"{MAIN}/ports/1/containerPort"),
        ("Deployment", f"{MAIN}/ports/1/containerPort", "9090", f"{MAIN}/ports/1/containerPort"),
        ("Deployment", f"{MAIN}/ports/1/name", "http", f"{MAIN}/ports/1/name"),
        ("Deployment", f"{MAIN}/ports/1/name", "the-metrics-port", f"{MAIN}/ports/1/name"),
        ("Deployment", f"{MAIN}/ports/1/protocol", "tcp", f"{MAIN}/ports/1/protocol"),
        ("Deployment", f"{MAIN}/resources/requests/cpu", "2", f"{MAIN}/resources/requests/cpu"),
        ("Deployment", f"{MAIN}/resources/requests/memory", "1Gi", f"{MAIN}/resources/requests/memory"),
        ("Deployment", f"{MAIN}/resources/requests/memory", "1GB", f"{MAIN}/resources/requests/memory"),
        ("Deployment", f"{MAIN}/resources/limits/gpu", "1", f"{MAIN}/resources/limits/gpu"),
        ("Deployment", f"{MAIN}/resources/limits/memory", "-1Gi", f"{MAIN}/resources/limits/memory"),
        ("Deployment", f"{MAIN}/readinessProbe/exec", {"command": ["x"]}, f"{MAIN}/readinessProbe"),
        ("Deployment", f"{MAIN}/volumeMounts/0/name", "cfg", f"{MAIN}/volumeMounts/0/name"),
        ("Deployment", f"{MAIN}/volumeMounts/0/subPath", "../x", f"{MAIN}/volumeMounts/0/subPath"),
        ("Deployment", f"{POD}/volumes/0/emptyDir", {}, f"{POD}/volumes/0"),
        ("Deployment", f"{POD}/volumes", {"name": "config"}, f"{POD}/volumes"),
        ("DaemonSet", f"{MAIN}/ports/0/hostPort", 99999, f"{MAIN}/ports/0/hostPort"),
        ("StatefulSet", f"{MAIN}/volumeMounts/0/mountPath", "", f"{MAIN}/volumeMounts/0/mountPath"),
        ("StatefulSet", "/spec/volumeClaimTemplates/0/spec/resources/requests/storage", "0",
         "/spec/volumeClaimTemplates/0/spec/resources/requests/storage"),
        ("Job", f"{POD}/restartPolicy", None, f"{POD}/restartPolicy"),
        ("Job", "/spec/backoffLimit", "2", "/spec/backoffLimit"),
        ("CronJob", "/spec/schedule", "0 3 * *", "/spec/schedule"),
        ("CronJob", "/spec/concurrencyPolicy", "Never", "/spec/concurrencyPolicy"),
        ("Service", "/spec/ports/1/name", "http", "/spec/ports/1/name"),
        ("Service", "/spec/ports/1/name", None, "/spec/ports/1"),
        ("Service", "/spec/ports/1/port", 80, "/spec/ports/1"),
        ("Service", "/spec/ports/0/port", "eighty", "/spec/ports/0/port"),
        ("Service", "/spec/ports/0/targetPort", 0, "/spec/ports/0/targetPort"),
        ("Service", "/spec/selector/app", "pos api", "/spec/selector/app"),
        ("Service", "/spec/type", "Clusterip", "/spec/type"),
        ("ConfigMap", "/data/a b", "x", "/data/a b"),
        ("ConfigMap", "/data/..", "x", "/data/.."),
        ("ConfigMap", "/data/port", 80, "/data/port"),
        ("ConfigMap", "/data/logo.png", "x", "/binaryData/logo.png"),
        ("ConfigMap", "/binaryData/logo.png", "not base64!", "/binaryData/logo.png"),
        ("ConfigMap", "/data/large", LARGE, ""),
        ("PersistentVolumeClaim", "/spec/accessModes", ["ReadWrite"], "/spec/accessModes/0"),
        ("PersistentVolumeClaim", "/spec/accessModes", None, "/spec/accessModes"),
        ("RoleBinding", "/roleRef", None, "/roleRef"),
        ("RoleBinding", "/subjects/0/name", "", "/subjects/0/name"),
        ("Ingress", "/spec/rules/0/http/paths/0/pathType", None, "/spec/rules/0/http/paths/0/pathType"),
        ("Ingress", "/spec/rules/0/host", "10.0.0.1", "/spec/rules/0/host"),
        ("NetworkPolicy", "/spec/policyTypes/0", "ingress", "/spec/policyTypes/0"),
        ("PodDisruptionBudget", "/spec/maxUnavailable", 1, "/spec"),
        ("HorizontalPodAutoscaler", "/spec/minReplicas", 5, "/spec/maxReplicas"),
        ("HorizontalPodAutoscaler", "/spec/maxReplicas", 0, "/spec/maxReplicas"),
        ("Till", "/spec/lanes", "2", "/spec/lanes"),
        ("Till", "/spec/lanes", None, "/spec/lanes"),
        ("Till", "/spec/mode", "automatic", "/spec/mode"),
        ("Till", "/spec/drawers/1/name", "a", "/spec/drawers/1"),
        ("Till", "/metadata/labels/app", "a b", "/metadata/labels/app"),
    ],
)  # fmt: skip
def test_what_no_api_server_takes_is_found_at_its_place(kind: str, pointer: str, new: Any, where: str) -> None:
    objects = corpus()
    broken = next(each for each in objects if each["kind"] == kind)
    put(broken, pointer, new)

    refused = checked(*objects).refused

    assert {(each.object.partition("/")[0], each.pointer) for each in refused} >= {(kind, where)}
    assert {each.object.partition("/")[0] for each in refused} == {kind}


@pytest.mark.parametrize(
    ("kind", "pointer", "near"),
    [
        ("Deployment", "/spec/replcas", "replicas"),
        ("Deployment", f"{MAIN}/imagepullPolicy", "imagePullPolicy"),
        ("Deployment", f"{MAIN}/ressources", "resources"),
        ("Deployment", f"{MAIN}/volumeMount", "volumeMounts"),
        ("Service", "/spec/ports/0/target_port", "targetPort"),
        ("Till", "/spec/lane", "lanes"),
    ],
)
def test_a_misspelt_field_is_doubtful_and_the_nearest_is_named(kind: str, pointer: str, near: str) -> None:
    objects = corpus()
    put(next(each for each in objects if each["kind"] == kind), pointer, "x")

    finding = only(checked(*objects))

    assert (finding.never, finding.pointer, finding.fix) == (False, pointer, f"did you mean {near}?")


@pytest.mark.parametrize(
    ("kind", "pointer", "new"),
    [
        ("Deployment", "/spec/replicas", None),
        ("Deployment", "/spec/replicas", 2.0),
        ("Deployment", "/metadata/labels/team", ""),
        ("Deployment", "/metadata/creationTimestamp", None),
        ("Deployment", "/status", {"replicas": "many"}),
        ("Deployment", f"{MAIN}/imagePullPolicy", ""),
        ("Deployment", f"{MAIN}/resources/requests/cpu", 1),
        ("Deployment", f"{MAIN}/resources/requests/cpu", 0.5),
        ("Deployment", f"{MAIN}/resources/requests/memory", "+1e3"),
        ("Deployment", f"{MAIN}/resources/requests", {"cpu": "1000m"}),
        ("Deployment", f"{MAIN}/env/0/name", "my.var-1"),
        ("Deployment", f"{MAIN}/ports/1", {"name": "dns", "containerPort": 8080, "protocol": "UDP"}),
        ("Deployment", f"{MAIN}/env/1", {"name": "EMPTY", "value": ""}),
        ("Service", "/spec/ports", [{"port": 80}]),
        ("Service", "/spec/ports/0/targetPort", "http"),
        ("ConfigMap", "/data/empty", ""),
        ("ConfigMap", "/data/large", "x" * (1024 * 1024 - 100)),
        ("ConfigMap", "/binaryData/logo.png", "iVBO\nRw0KGgo="),
        ("StatefulSet", "/spec/serviceName", ""),
        ("Till", "/spec/drawers/0/amount", "five"),
        ("Till", "/status", {"open": True}),
        ("CronJob", "/spec/schedule", "@daily"),
        ("Ingress", "/spec/rules/0/host", "*.store.example"),
    ],
)
def test_what_an_api_server_takes_is_not_refused(kind: str, pointer: str, new: Any) -> None:
    objects = corpus()
    put(next(each for each in objects if each["kind"] == kind), pointer, new)

    assert [str(each) for each in checked(*objects).refused] == []


def test_an_api_that_the_named_version_does_not_have_is_refused_and_the_one_it_has_is_named() -> None:
    budget = one("PodDisruptionBudget") | {"apiVersion": "policy/v1beta1"}

    named, unnamed = only(checked(budget)), only(checked(budget, named=False))

    assert (named.never, named.pointer, named.fix) == (True, "/apiVersion", "use policy/v1")
    assert not unnamed.never


def test_an_api_that_only_some_of_the_versions_have_is_doubtful() -> None:
    schema = {"apiVersion": "flowcontrol.apiserver.k8s.io/v1beta3", "kind": "FlowSchema", "metadata": {"name": "a"}}
    schema["spec"] = {"priorityLevelConfiguration": {"name": "b"}}

    finding = only(checked(schema, versions=("1.31", "1.35")))

    assert not finding.never
    assert "1.35" in finding.detail
    assert only(checked(schema, versions=("1.35",))).never
    assert found(checked(schema, versions=("1.31",))) == []


def test_a_custom_kind_needs_its_definition_or_its_registration() -> None:
    till = one("Till")

    assert only(checked(till)).never
    assert found(checked(till, registered=[("example.com/v1", "Till")])) == []
    assert found(checked(till, one("CustomResourceDefinition"))) == []
    assert only(checked(till, registered=[("example.com/v2", "Till")])).pointer == "/apiVersion"


def test_replicas_beside_an_autoscaler_are_doubtful() -> None:
    scaler = one("HorizontalPodAutoscaler")
    put(scaler, "/spec/scaleTargetRef", {"apiVersion": "apps/v1", "kind": "Deployment", "name": "pos-api"})
    deployment = one("Deployment")

    finding = only(checked(scaler, deployment))
    del deployment["spec"]["replicas"]

    assert (finding.never, finding.object, finding.pointer) == (False, "Deployment/pos/pos-api", "/spec/replicas")
    assert "HorizontalPodAutoscaler/pos/db" in finding.detail
    assert found(checked(scaler, deployment)) == []


def test_an_object_that_no_etcd_takes_is_refused_and_a_large_one_is_doubtful() -> None:
    def with_arguments(size: int) -> dict[str, Any]:
        deployment = one("Deployment")
        put(deployment, f"{MAIN}/args", ["x" * 1000] * (size // 1000))
        return deployment

    assert only(checked(with_arguments(1_700_000))).never
    assert not only(checked(with_arguments(1_200_000))).never
    assert found(checked(with_arguments(1_000_000))) == []


def test_a_hundred_findings_are_kept_and_what_is_refused_before_what_is_doubtful() -> None:
    deployment = one("Deployment")
    for number in range(200):
        put(deployment, f"/spec/unknown{number}", "x")
    put(deployment, f"{MAIN}/image", 5)

    report = checked(deployment)

    assert len(report.findings) == 100
    assert report.left_out == 101
    assert [each.pointer for each in report.refused] == [f"{MAIN}/image"]


def test_packs_say_where_they_come_from_and_are_small() -> None:
    for minor in minors():
        body = (PACKS / f"{minor}.json.xz").read_bytes()
        read = msgspec.json.decode(lzma.decompress(body))

        assert len(body) < 100_000
        assert re.fullmatch(rf"k8s\.io/kubernetes v{minor}\.\d+ h1:\S+=", read["module"])
        assert {"Deployment", "StatefulSet", "DaemonSet"} <= read["kinds"]["apps/v1"].keys()
    assert (PACKS / "NOTICE.md").is_file()
    assert len(minors()) >= 5


def test_text_that_may_be_any_text_asks_nothing_of_a_slot() -> None:
    deployment = one("Deployment")
    put(deployment, f"{MAIN}/env/0/value", OpenSlot(1, text=True))
    put(deployment, "/metadata/labels/team", OpenSlot(2, text=True))
    put(deployment, "/spec/replicas", OpenSlot(3))

    assert [(each.slot, each.pointer) for each in checked(deployment).demands] == [
        (2, "/metadata/labels/team"),
        (3, "/spec/replicas"),
    ]
