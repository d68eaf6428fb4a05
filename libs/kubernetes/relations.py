"""Values of one object that must fit together: a request and its limit, a selector and its labels, names used twice.

Each rule reads a small part of the object (`read`) and judges that part alone, so that a part which holds slots can be
kept in the log and judged for each cluster's values. As with scalars, what a rule of a given name says never changes.
Sources: `k8s.io/kubernetes/pkg/apis/*/validation`; structured-merge-diff (list keys).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from libs.kubernetes.findings import OpenSlot, shown_value
from libs.kubernetes.scalars import quantity_milli

_Problem = tuple[tuple[str | int, ...], str]
"""The place below the part's owner, and what is wrong."""

NAMES_SHOWN_MAX = 10
_COMPARED = ("cpu", "memory", "ephemeral-storage")


@dataclass(frozen=True, slots=True)
class _Rule:
    """`read` returns the part of a value that `judge` needs, or None if there is nothing to judge."""

    read: Callable[[Any], Any]
    judge: Callable[[Any], Iterator[_Problem]]


def at(value: Any, *path: str) -> Any:
    """Return what stands at a path of maps, or None."""
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def maps(value: Any) -> list[dict[str, Any]]:
    """Return the maps of a list."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


# --- lists with keys ------------------------------------------------------------------------------------------------


def keyed(keys: list[str], defaults: Mapping[str, Any], items: list[Any]) -> dict[str, Any]:
    """Return the part that the rule `unique` judges: of each item its keys, a default where one is left out."""
    told = [
        {key: each.get(key, defaults.get(key)) if isinstance(each, dict) else None for key in keys} for each in items
    ]
    return {"keys": keys, "items": told}


def _unique(part: Any) -> Iterator[_Problem]:
    seen: dict[bytes, int] = {}
    for index, each in enumerate(part["items"]):
        if any(each.get(key) is None for key in part["keys"]):
            continue
        first = seen.setdefault(msgspec.json.encode(each), index)
        if first != index:
            named = ", ".join(f"{key} {shown_value(each[key])}" for key in part["keys"])
            yield (index,), f"{named} is in the list twice: see item {first}"


def _set(part: Any) -> Iterator[_Problem]:
    seen: dict[bytes, int] = {}
    for index, each in enumerate(part):
        first = seen.setdefault(msgspec.json.encode(each), index)
        if first != index:
            yield (index,), f"{shown_value(each)} is in the list twice: see item {first}"


# --- pods -----------------------------------------------------------------------------------------------------------


def _read_resources(value: Any) -> Any:
    requests, limits = at(value, "requests"), at(value, "limits")
    if not isinstance(requests, dict) or not isinstance(limits, dict):
        return None
    both = [name for name in requests if name in limits]
    return {name: [requests[name], limits[name]] for name in both} or None


def _resources(part: Any) -> Iterator[_Problem]:
    for name, (request, limit) in part.items():
        asked, most = quantity_milli(request), quantity_milli(limit)
        if asked is None or most is None:
            continue
        if name in _COMPARED and asked > most:
            yield ("requests", name), f"the request {request} is over the limit {limit}"
        elif name not in _COMPARED and ("/" in name or name.startswith("hugepages-")) and asked != most:
            yield (
                ("requests", name),
                f"the request {request} differs from the limit {limit}: {name} allows no overcommit",
            )


def _read_port_names(value: Any) -> Any:
    names = [each.get("name") for each in maps(at(value, "ports"))]
    return names if len([each for each in names if each]) > 1 else None


def _port_names(part: Any) -> Iterator[_Problem]:
    seen: dict[str, int] = {}
    for index, name in enumerate(part):
        if name and seen.setdefault(str(name), index) != index:
            yield ("ports", index, "name"), f"the name {shown_value(name)} is in the list twice"


def _read_containers(value: Any) -> Any:
    names = {
        part: [each.get("name") for each in maps(at(value, part))]
        for part in ("initContainers", "containers")
        if at(value, part)
    }
    return names if len(names) > 1 else None


def _containers(part: Any) -> Iterator[_Problem]:
    before = {name for name in part["initContainers"] if isinstance(name, str)}
    for index, name in enumerate(part["containers"]):
        if isinstance(name, str) and name in before:
            yield ("containers", index, "name"), f"an init container also has the name {shown_value(name)}"


def _read_mounts(value: Any) -> Any:
    if not isinstance(at(value, "volumes"), (list, type(None))):
        return None
    mounts = [
        [part, index, place, mount.get("name")]
        for part in ("initContainers", "containers")
        for index, container in enumerate(maps(at(value, part)))
        for place, mount in enumerate(maps(container.get("volumeMounts")))
    ]
    return {"volumes": [each.get("name") for each in maps(at(value, "volumes"))], "mounts": mounts} if mounts else None


def _mounts(part: Any) -> Iterator[_Problem]:
    known = {name for name in part["volumes"] if isinstance(name, (str, OpenSlot))}
    listed = ", ".join([name for name in part["volumes"] if isinstance(name, str)][:NAMES_SHOWN_MAX]) or "none"
    for containers, index, place, name in part["mounts"]:
        if isinstance(name, (str, OpenSlot)) and name not in known:
            yield (
                (containers, index, "volumeMounts", place, "name"),
                f"there is no volume {shown_value(name)}; known: {listed}",
            )


def _read_env(value: Any) -> Any:
    return at(value, "value") if at(value, "valueFrom") is not None else None


def _env(part: Any) -> Iterator[_Problem]:
    if part != "":
        yield ("valueFrom",), "a variable can have value or valueFrom, not both"


# --- workloads ------------------------------------------------------------------------------------------------------


def _read_selector(value: Any) -> Any:
    selector = at(value, "selector")
    if not isinstance(selector, dict) or not isinstance(at(value, "template"), dict):
        return None
    return {
        "labels": at(value, "template", "metadata", "labels") or {},
        "match": selector.get("matchLabels") or {},
        "expressions": maps(selector.get("matchExpressions")),
    }


def _selector(part: Any) -> Iterator[_Problem]:
    labels, match, expressions = part["labels"], part["match"], part["expressions"]
    if not isinstance(labels, dict) or not isinstance(match, dict):
        return
    if not match and not expressions:
        yield ("selector",), "the selector is empty"
    for key, value in match.items():
        if labels.get(key) != value:
            has = f"has {shown_value(labels[key])}" if key in labels else "does not have it"
            yield ("selector", "matchLabels", key), f"it selects {shown_value(value)}, and the template {has}"
    for index, each in enumerate(expressions):
        if not _matches(each, labels):
            yield ("selector", "matchExpressions", index), "it does not select the labels of the template"


def _matches(expression: Mapping[str, Any], labels: Mapping[str, Any]) -> bool:
    key, values = str(expression.get("key")), expression.get("values")
    values = values if isinstance(values, list) else []
    match expression.get("operator"):
        case "In":
            return key in labels and labels[key] in values
        case "NotIn":
            return key not in labels or labels[key] not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
    return True


def _always(part: Any) -> Iterator[_Problem]:
    if part not in ("", "Always"):
        yield ("template", "spec", "restartPolicy"), f"{shown_value(part)}: only Always is allowed here"


def _read_once(value: Any) -> Any:
    spec = at(value, "template", "spec")
    return spec.get("restartPolicy") or "" if isinstance(spec, dict) else None


def _once(part: Any) -> Iterator[_Problem]:
    if part not in ("OnFailure", "Never"):
        said = f"{shown_value(part)}: " if part else "the default is Always: "
        yield ("template", "spec", "restartPolicy"), f"{said}a Job allows only OnFailure or Never"


def _read_rolling(value: Any) -> Any:
    if not isinstance(value, dict) or not {"maxUnavailable", "maxSurge"} <= value.keys():
        return None
    return [value["maxUnavailable"], value["maxSurge"]]


def _rolling(part: Any) -> Iterator[_Problem]:
    if all(each in (0, "0%", "0") for each in part):
        yield ("maxUnavailable",), "maxUnavailable and maxSurge are both 0, so no Pod could ever be replaced"


def _read_bounds(value: Any) -> Any:
    low, high = at(value, "minReplicas"), at(value, "maxReplicas")
    return None if low is None or high is None else [low, high]


def _bounds(part: Any) -> Iterator[_Problem]:
    low, high = part
    if all(isinstance(each, (int, float)) for each in part) and low > high:
        yield ("maxReplicas",), f"{high} is less than minReplicas, {low}"


def _read_ports(value: Any) -> Any:
    names = [each.get("name") for each in maps(at(value, "ports"))]
    return names if len(names) > 1 else None


def _ports(part: Any) -> Iterator[_Problem]:
    seen: dict[str, int] = {}
    for index, name in enumerate(part):
        if not name:
            yield ("ports", index), "a Service with several ports must name each of them"
        elif seen.setdefault(str(name), index) != index:
            yield ("ports", index, "name"), f"the name {shown_value(name)} is in the list twice"


# --- sizes ----------------------------------------------------------------------------------------------------------


def _bytes(part: Any) -> Iterator[_Problem]:
    size = part["constant"] + sum(len(_text(each).encode("utf-8", "replace")) for each in part["open"])
    if size > part["max"]:
        yield (), f"{part['what']} come to {size:,} bytes; at most {part['max']:,} are accepted"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _given(value: Any) -> Any:
    return value


RELATION_RULES: Mapping[str, _Rule] = {
    "unique": _Rule(_given, _unique),
    "set": _Rule(_given, _set),
    "bytes": _Rule(_given, _bytes),
    "request-over-limit": _Rule(_read_resources, _resources),
    "port-names": _Rule(_read_port_names, _port_names),
    "container-names": _Rule(_read_containers, _containers),
    "mounts": _Rule(_read_mounts, _mounts),
    "value-or-from": _Rule(_read_env, _env),
    "selector": _Rule(_read_selector, _selector),
    "restart-always": _Rule(lambda value: at(value, "template", "spec", "restartPolicy"), _always),
    "restart-once": _Rule(_read_once, _once),
    "rolling": _Rule(_read_rolling, _rolling),
    "bounds": _Rule(_read_bounds, _bounds),
    "service-ports": _Rule(_read_ports, _ports),
}

OF_EQUALS = frozenset({"selector", "mounts"})
"""Rules that hold wherever two values are equal, whatever these are."""

OF_TYPES: Mapping[str, tuple[str, ...]] = {
    "core.ResourceRequirements": ("request-over-limit",),
    "core.Container": ("port-names",),
    "core.PodSpec": ("container-names", "mounts"),
    "core.EnvVar": ("value-or-from",),
    "core.ServiceSpec": ("service-ports",),
    "apps.DeploymentSpec": ("selector", "restart-always"),
    "apps.ReplicaSetSpec": ("selector", "restart-always"),
    "apps.DaemonSetSpec": ("selector", "restart-always"),
    "apps.StatefulSetSpec": ("selector", "restart-always"),
    "apps.RollingUpdateDeployment": ("rolling",),
    "batch.JobSpec": ("restart-once",),
    "autoscaling.HorizontalPodAutoscalerSpec": ("bounds",),
}
"""The rules of Kubernetes' own types, by `<group>.<Type>`."""
