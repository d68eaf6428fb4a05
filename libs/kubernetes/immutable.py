"""Fields that an API server never changes in an existing object: a new value is refused, permanently.

Flux can be told to delete and recreate the one object: the annotation `kustomize.toolkit.fluxcd.io/force: enabled`.
Sources: `k8s.io/kubernetes/pkg/apis/*/validation` (…Update), `pkg/registry/*/strategy.go`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from libs.contracts.names import pointer_of
from libs.kubernetes.findings import Finding, OpenSlot, Path, has_slot, shown_value
from libs.kubernetes.relations import at
from libs.kubernetes.release import Manifest
from libs.kubernetes.scalars import quantity_milli

FORCE = "kustomize.toolkit.fluxcd.io/force"
_FIXED: Mapping[tuple[str, str], str] = {
    ("apps", "Deployment"): "spec.selector",
    ("apps", "ReplicaSet"): "spec.selector",
    ("apps", "DaemonSet"): "spec.selector",
    ("apps", "StatefulSet"): "spec.selector spec.serviceName spec.podManagementPolicy spec.volumeClaimTemplates",
    ("batch", "Job"): (
        "spec.selector spec.template spec.completionMode spec.podFailurePolicy spec.backoffLimitPerIndex "
        "spec.managedBy spec.successPolicy"
    ),
    ("rbac.authorization.k8s.io", "RoleBinding"): "roleRef",
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): "roleRef",
    ("", "Secret"): "type",
    ("", "PersistentVolumeClaim"): (
        "spec.accessModes spec.selector spec.storageClassName spec.volumeMode spec.dataSource spec.dataSourceRef "
        "spec.volumeName"
    ),
    ("", "ResourceQuota"): "spec.scopes",
    ("storage.k8s.io", "StorageClass"): "provisioner parameters reclaimPolicy volumeBindingMode",
    ("scheduling.k8s.io", "PriorityClass"): "value preemptionPolicy",
    ("networking.k8s.io", "IngressClass"): "spec.controller",
    ("node.k8s.io", "RuntimeClass"): "handler",
    ("discovery.k8s.io", "EndpointSlice"): "addressType",
    ("apiextensions.k8s.io", "CustomResourceDefinition"): "spec.group spec.scope spec.names.kind spec.names.plural",
}
_DEFAULTED = frozenset(
    (
        *("apiVersion", "kind", "status", "creationTimestamp", "apiGroup", "protocol", "volumeMode", "restartPolicy"),
        *("podManagementPolicy", "completionMode", "reclaimPolicy", "volumeBindingMode", "preemptionPolicy", "type"),
        *("imagePullPolicy", "terminationMessagePath", "terminationMessagePolicy", "terminationGracePeriodSeconds"),
        *("dnsPolicy", "schedulerName", "securityContext", "resources", "serviceAccount", "serviceAccountName"),
        *("storageClassName", "volumeName", "scheme", "periodSeconds", "timeoutSeconds", "successThreshold"),
        *("failureThreshold", "initialDelaySeconds", "defaultMode", "enableServiceLinks", "strategy", "annotations"),
        *("serviceName", "selector", "dataSourceRef", "dataSource", "hostNetwork", "fieldRef", "optional"),
    )
)
"""Fields with defaults of the API server: adding or removing one may change nothing."""
_CONTENT = ("data", "binaryData", "stringData")
_MISSING = object()


def immutable_changes(before: Sequence[Manifest], after: Sequence[Manifest]) -> list[Finding]:
    """Return the changes from one release to the next that the API server refuses, or (not `never`) may refuse."""
    old = {_identity(each): each for each in before}
    found: list[Finding] = []
    for new in after:
        was = old.get(_identity(new))
        if was is not None and not _forced(new):
            found += _changes(was, new)
    return found


def _identity(each: Manifest) -> tuple[str, str, str, str]:
    return each.api_version.rpartition("/")[0], each.kind, each.namespace, each.name


def _forced(each: Manifest) -> bool:
    return str(at(each.value, "metadata", "annotations", FORCE)).lower() == "enabled"


def _changes(was: Manifest, new: Manifest) -> Iterator[Finding]:
    group = new.api_version.rpartition("/")[0]
    for dotted in _FIXED.get((group, new.kind), "").split():
        path = tuple(dotted.split("."))
        sure, where = _difference(_at(was.value, path), _at(new.value, path), path)
        if where is not None:
            suspended = new.kind == "Job" and at(was.value, "spec", "suspend") is True
            lapses = new.kind == "Job" and at(was.value, "spec", "ttlSecondsAfterFinished") is not None
            yield _finding(
                new, where, "the API server never changes this field", never=sure and not (suspended or lapses)
            )
    for rule in _RULES.get((group, new.kind), ()):
        yield from rule(was, new)


def _at(value: Any, path: Path) -> Any:
    for key in path:
        value = value.get(key, _MISSING) if isinstance(value, Mapping) else _MISSING
    return value


def _finding(new: Manifest, path: Path, detail: str, *, never: bool) -> Finding:
    return Finding(
        never=never,
        object=str(new),
        pointer=pointer_of(path),
        detail=detail,
        fix=f"give the object another name, or let Flux recreate it with the annotation {FORCE}: enabled",
    )


def _difference(was: Any, new: Any, path: Path) -> tuple[bool, Path | None]:  # noqa: PLR0911 - one answer a case
    """Return (whether it is certainly a change, the first path that differs); None if nothing differs."""
    if isinstance(was, Mapping) and isinstance(new, Mapping):
        return _first(
            _difference(was.get(key, _MISSING), new.get(key, _MISSING), (*path, key)) for key in sorted({*was, *new})
        )
    if isinstance(was, list) and isinstance(new, list):
        if len(was) != len(new):
            return True, path
        return _first(_difference(old, now, (*path, at)) for at, (old, now) in enumerate(zip(was, new, strict=True)))
    if was == new or (_void(was) and _void(new)):
        return True, None
    if was is _MISSING or new is _MISSING or was is None or new is None:
        return path[-1] not in _DEFAULTED and not has_slot(was) and not has_slot(new), path
    if isinstance(was, OpenSlot) or isinstance(new, OpenSlot):
        return False, path
    if path[-1] in ("storage", "cpu", "memory", "ephemeral-storage", "sizeLimit"):
        same = quantity_milli(was) is not None and quantity_milli(was) == quantity_milli(new)
        return True, None if same else path
    return True, path


def _first(found: Iterator[tuple[bool, Path | None]]) -> tuple[bool, Path | None]:
    """Return the first difference that is sure, else the first."""
    doubtful: Path | None = None
    for sure, path in found:
        if path is not None and sure:
            return True, path
        doubtful = doubtful or path
    return False, doubtful


def _void(value: Any) -> bool:
    return value is _MISSING or value is None or value in ({}, [], "")


def _sealed(was: Manifest, new: Manifest) -> Iterator[Finding]:
    """Yield what changes in a ConfigMap or Secret that is `immutable: true`."""
    if at(was.value, "immutable") is not True:
        return
    if at(new.value, "immutable") is not True:
        yield _finding(new, ("immutable",), "an immutable object cannot become mutable", never=True)
    for part in _CONTENT:
        sure, where = _difference(_at(was.value, (part,)), _at(new.value, (part,)), (part,))
        if where is not None:
            yield _finding(new, where, f"the {new.kind} is immutable", never=sure)


def _clustered(was: Manifest, new: Manifest) -> Iterator[Finding]:
    """Yield a change of a Service's address."""
    if "ExternalName" in (at(was.value, "spec", "type"), at(new.value, "spec", "type")):
        return
    old, now = at(was.value, "spec", "clusterIP"), at(new.value, "spec", "clusterIP")
    if now not in (None, "") and now != old:
        sure = (
            not isinstance(now, OpenSlot) and not isinstance(old, OpenSlot) and (old not in (None, "") or now == "None")
        )
        detail = f"the API server never changes clusterIP, here from {shown_value(old) if old else 'the assigned one'}"
        yield _finding(new, ("spec", "clusterIP"), detail, never=sure)


def _shrunk(was: Manifest, new: Manifest) -> Iterator[Finding]:
    """Yield a claim that requests less than before."""
    path = ("spec", "resources", "requests", "storage")
    old, now = at(was.value, *path), at(new.value, *path)
    if isinstance(old, OpenSlot) or isinstance(now, OpenSlot):
        if old != now:
            yield _finding(new, path, "a volume cannot shrink, and this depends on values", never=False)
        return
    had, asks = (quantity_milli(each) if each is not None else None for each in (old, now))
    if had is not None and asks is not None and asks < had:
        yield _finding(new, path, f"a volume cannot shrink: {old} becomes {now}", never=True)


def _pod(was: Manifest, new: Manifest) -> Iterator[Finding]:
    """Yield a change of a bare Pod: all but its images is fixed."""
    old, now = (_without_images(at(each.value, "spec")) for each in (was, new))
    sure, where = _difference(old, now, ("spec",))
    if where is not None:
        yield _finding(new, where, "the API server changes only the images of a Pod", never=sure)


def _without_images(spec: Any) -> Any:
    left_out = ("activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds", "schedulingGates")
    if not isinstance(spec, Mapping):
        return spec
    answer = {key: value for key, value in spec.items() if key not in left_out}
    for part in ("containers", "initContainers"):
        if isinstance(answer.get(part), list):
            answer[part] = [
                {key: value for key, value in each.items() if key != "image"} if isinstance(each, Mapping) else each
                for each in answer[part]
            ]
    return answer


_RULES: Mapping[tuple[str, str], tuple[Callable[[Manifest, Manifest], Iterator[Finding]], ...]] = {
    ("", "ConfigMap"): (_sealed,),
    ("", "Secret"): (_sealed,),
    ("", "Service"): (_clustered,),
    ("", "PersistentVolumeClaim"): (_shrunk,),
    ("", "Pod"): (_pod,),
}
