"""A change that the API server refuses for ever is found; one that it takes, or that Flux is told to force, is not."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from libs.kubernetes import Finding, OpenSlot, immutable_changes
from tests.libs.kubernetes.kubernetes_words import corpus, manifest, one, put

CLAIM = "/spec/volumeClaimTemplates/0/spec"
POD = "/spec/template/spec"


def changes(before: dict[str, Any], *puts: tuple[str, Any]) -> list[Finding]:
    after = copy.deepcopy(before)
    for pointer, new in puts:
        put(after, pointer, new)
    return immutable_changes([manifest(before)], [manifest(after)])


def with_puts(kind: str, *puts: tuple[str, Any]) -> dict[str, Any]:
    value = one(kind)
    for pointer, new in puts:
        put(value, pointer, new)
    return value


SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "type": "Opaque", "immutable": True}
POD_ALONE = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "a"},
    "spec": {"containers": [{"name": "a", "image": "registry.example/a:1", "env": [{"name": "A", "value": "1"}]}]},
}
STORAGE = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {"name": "a"},
    "provisioner": "example.com/a",
    "parameters": {"type": "ssd"},
}


@pytest.mark.parametrize(
    ("before", "pointer", "new", "where"),
    [
        (one("Deployment"), "/spec/selector/matchLabels/app", "pos", None),
        (one("Deployment"), "/spec/selector/matchLabels/tier", "front", None),
        (one("DaemonSet"), "/spec/selector/matchLabels/app", "other", None),
        (one("StatefulSet"), "/spec/selector/matchLabels/app", "other", None),
        (one("StatefulSet"), "/spec/serviceName", "other", None),
        (one("StatefulSet"), "/spec/podManagementPolicy", "Parallel", "doubtful"),
        (one("StatefulSet"), f"{CLAIM}/resources/requests/storage", "2Gi", None),
        (one("StatefulSet"), f"{CLAIM}/accessModes/0", "ReadWriteMany", None),
        (one("StatefulSet"), "/spec/volumeClaimTemplates", [], None),
        (one("Job"), f"{POD}/containers/0/image", "registry.example/load:2", None),
        (one("Job"), f"{POD}/containers/0/args/0", "--twice", None),
        (one("Job"), f"{POD}/containers/0/env", [{"name": "A", "value": "1"}], None),
        (one("RoleBinding"), "/roleRef/name", "writer", None),
        (one("Service"), "/spec/clusterIP", "None", None),
        (with_puts("Service", ("/spec/clusterIP", "10.0.0.7")), "/spec/clusterIP", "10.0.0.8", None),
        (with_puts("ConfigMap", ("/immutable", True)), "/data/LEVEL", "debug", None),
        (with_puts("ConfigMap", ("/immutable", True)), "/data/MORE", "x", None),
        (with_puts("ConfigMap", ("/immutable", True)), "/immutable", False, None),
        (SECRET | {"stringData": {"a": "1"}}, "/stringData/a", "2", None),
        (SECRET, "/type", "kubernetes.io/tls", None),
        (one("PersistentVolumeClaim"), "/spec/resources/requests/storage", "1Gi", None),
        (one("PersistentVolumeClaim"), "/spec/storageClassName", "fast", None),
        (one("PersistentVolumeClaim"), "/spec/accessModes", ["ReadWriteOnce", "ReadOnlyMany"], None),
        (POD_ALONE, "/spec/containers/0/env/0/value", "2", None),
        (STORAGE, "/provisioner", "example.com/b", None),
        (STORAGE, "/parameters/type", "hdd", None),
        (one("CustomResourceDefinition"), "/spec/scope", "Cluster", None),
    ],
)
def test_a_change_that_no_api_server_takes_is_found(
    before: dict[str, Any], pointer: str, new: Any, where: str | None
) -> None:
    found = changes(before, (pointer, new))

    assert [each.never for each in found] == [where != "doubtful"]
    assert found[0].pointer == pointer or pointer.startswith(f"{found[0].pointer}/")
    assert "kustomize.toolkit.fluxcd.io/force" in found[0].fix


@pytest.mark.parametrize(
    ("before", "pointer", "new"),
    [
        (one("Deployment"), "/spec/replicas", 5),
        (one("Deployment"), f"{POD}/containers/0/image", "registry.example/pos-api:2"),
        (one("Deployment"), "/spec/template/metadata/labels/more", "x"),
        (one("StatefulSet"), "/spec/replicas", 3),
        (one("StatefulSet"), f"{POD}/containers/0/image", "registry.example/db:2"),
        (one("StatefulSet"), f"{CLAIM}/resources/requests/storage", "1024Mi"),
        (one("Job"), "/spec/backoffLimit", 5),
        (one("CronJob"), "/spec/jobTemplate/spec/template/spec/containers/0/image", "registry.example/close:2"),
        (one("Service"), "/spec/ports/0/port", 81),
        (one("Service"), "/spec/clusterIP", ""),
        (one("ConfigMap"), "/data/LEVEL", "debug"),
        (one("ConfigMap"), "/immutable", True),
        (with_puts("ConfigMap", ("/immutable", True)), "/metadata/labels", {"a": "b"}),
        (one("PersistentVolumeClaim"), "/spec/resources/requests/storage", "3Gi"),
        (one("RoleBinding"), "/subjects/0/name", "other"),
        (POD_ALONE, "/spec/containers/0/image", "registry.example/a:2"),
    ],
)
def test_a_change_that_an_api_server_takes_is_none(before: dict[str, Any], pointer: str, new: Any) -> None:
    assert changes(before, (pointer, new)) == []


def test_the_same_objects_change_nothing_whatever_they_are() -> None:
    objects = [manifest(each) for each in corpus()]

    assert immutable_changes(objects, objects) == []


def test_another_name_and_the_force_annotation_are_ways_out() -> None:
    forced = ("/metadata/annotations", {"kustomize.toolkit.fluxcd.io/force": "Enabled"})
    job, image = one("Job"), (f"{POD}/containers/0/image", "registry.example/load:2")

    assert changes(job, image, forced) == []
    assert changes(job, image, ("/metadata/name", "load-2")) == []
    assert changes(job, image)[0].never


def test_a_job_that_is_deleted_by_itself_or_waits_may_be_changed() -> None:
    image = (f"{POD}/containers/0/image", "registry.example/load:2")

    lapsing = changes(with_puts("Job", ("/spec/ttlSecondsAfterFinished", 60)), image)
    waiting = changes(with_puts("Job", ("/spec/suspend", True)), image)

    assert [each.never for each in (*lapsing, *waiting)] == [False, False]


def test_what_only_a_cluster_knows_is_doubtful_unless_it_is_the_same() -> None:
    before = with_puts("Deployment", ("/spec/selector/matchLabels/app", OpenSlot(1)))

    assert changes(before, ("/spec/selector/matchLabels/app", OpenSlot(1))) == []
    assert [each.never for each in changes(before, ("/spec/selector/matchLabels/app", OpenSlot(2)))] == [False]
    assert [each.never for each in changes(before, ("/spec/selector/matchLabels/app", "x"))] == [False]


def test_an_object_of_a_newer_version_of_its_api_is_the_same_object() -> None:
    before, after = one("CronJob"), one("CronJob")
    binding = one("RoleBinding") | {"apiVersion": "rbac.authorization.k8s.io/v1beta1"}
    changed = one("RoleBinding")
    put(changed, "/roleRef/name", "writer")

    assert immutable_changes([manifest(before)], [manifest(after | {"apiVersion": "batch/v2"})]) == []
    assert [each.never for each in immutable_changes([manifest(binding)], [manifest(changed)])] == [True]
