"""Checks all objects of a release against one or several versions of Kubernetes.

An object that one version refuses and another accepts is only doubtful; the release may run where it can.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from libs.contracts.names import nearest
from libs.kubernetes import crds
from libs.kubernetes.findings import Finding, FindingsReport, OpenSlot
from libs.kubernetes.relations import at
from libs.kubernetes.scalars import config_key_problem
from libs.kubernetes.schemas import Kubernetes, kubernetes, minors
from libs.kubernetes.walk import Walk

CONFIG_BYTES_MAX = 1024 * 1024
"""The size limit of a ConfigMap or a Secret."""
ANNOTATIONS_BYTES_MAX = 256 * 1024
STORED_BYTES_MAX = 1536 * 1024
"""The default limit of etcd for one object."""
LARGE_BYTES = 1024 * 1024
SLOT_BYTES_MAX = 256 * 1024
"""The size limit of one configuration, and so of nearly every slot."""
_SCALED = ("Deployment", "StatefulSet", "ReplicaSet")


@dataclass(frozen=True, slots=True)
class Manifest:
    """One object of a release: `value` as it is rendered, with an `Open` where a slot stands."""

    api_version: str
    kind: str
    namespace: str
    name: str
    value: Mapping[str, Any]

    def __str__(self) -> str:
        """Write it as people say it: `Deployment/pos/pos-api`."""
        return "/".join(part for part in (self.kind, self.namespace, self.name) if part)


def check_objects(
    manifests: Sequence[Manifest],
    versions: Sequence[str],
    registered: Iterable[tuple[str, str]] = (),
    others: Sequence[Manifest] = (),
    *,
    named: bool,
) -> FindingsReport:
    """Return the findings for a release on the minor versions of its clusters.

    Of several versions the oldest and the newest are asked: what lies between has the fields of one of them, and which
    APIs it lacks `missing_apis` says. `named` tells whether somebody said these versions; else a missing API is only
    doubtful. `registered` are the (apiVersion, kind) of CustomResourceDefinitions that the clusters have from
    elsewhere, `others` what the clusters have from other releases and matters here: CustomResourceDefinitions and
    HorizontalPodAutoscalers.
    """
    known = sorted({each for each in versions if each in minors()}, key=lambda minor: int(minor.split(".")[1]))
    known = known[:1] + known[1:][-1:]
    own = [each.value for each in (*others, *manifests) if each.api_version.startswith(crds.CRD_GROUP)]
    listed = list(registered)
    reports = [_checked(manifests, others, crds.extended(kubernetes(each), own, listed), named=named) for each in known]
    if len(reports) == 1:
        return reports[0]
    return _merged(reports, known)


def missing_apis(manifests: Sequence[Manifest], registered: Iterable[tuple[str, str]] = ()) -> dict[str, list[str]]:
    """Return per minor version at hand the objects whose API it does not have; versions that have all are left out."""
    own = [each.value for each in manifests if each.api_version.startswith(crds.CRD_GROUP)]
    listed = list(registered)
    found = {}
    for minor in minors():
        version = crds.extended(kubernetes(minor), own, listed)
        lacking = [
            f"{each}: Kubernetes {minor} has no {each.api_version} {each.kind}"
            for each in manifests
            if version.schema(each.api_version, each.kind) is None
        ]
        if lacking:
            found[minor] = lacking[:3]
    return found


def _checked(
    manifests: Sequence[Manifest], others: Sequence[Manifest], version: Kubernetes, *, named: bool
) -> FindingsReport:
    report = FindingsReport()
    for each in manifests:
        if report.full:
            break
        found = version.schema(each.api_version, each.kind)
        if found is None:
            report.add(_unknown(each, version, never=named))
            _sized(each, Walk(version, report, str(each), custom=True))
            continue
        type_, schema = found
        walk = Walk(version, report, str(each), custom=not type_)
        walk.value(each.value, {"$ref": type_} if type_ else schema, ())
        _configured(each, walk)
        _sized(each, walk)
    _scaled(manifests, others, report)
    return report


def _unknown(each: Manifest, version: Kubernetes, *, never: bool) -> Finding:
    instead = version.versions_of(each.api_version, each.kind)
    kinds = version.kinds.get(each.api_version, {})
    near = None if instead else nearest(each.kind, kinds)
    fix = f"use {' or '.join(instead)}" if instead else f"did you mean {near}?" if near else ""
    if not fix:
        fix = "publish its CustomResourceDefinition with it, or name it in spec.crds of the Namespace"
    return Finding(
        never, str(each), "/apiVersion", f"Kubernetes {version.minor} has no {each.api_version} {each.kind}", fix
    )


def _merged(reports: Sequence[FindingsReport], versions: Sequence[str]) -> FindingsReport:
    """Return the newest version's report; a finding that not every version has becomes doubtful."""
    answer = FindingsReport(demands=reports[-1].demands, relations=reports[-1].relations)
    places: dict[tuple[str, str], list[tuple[str, Finding]]] = {}
    for version, report in zip(versions, reports, strict=True):
        for each in report.findings:
            same = places.setdefault((each.object, each.pointer), [])
            if version not in [other for other, _ in same]:
                same.append((version, each))
    for found in places.values():
        first = found[-1][1]
        if len(found) == len(versions) and all(each.never for _, each in found):
            answer.add(first)
        else:
            where = "" if len(found) == len(versions) else f" (on Kubernetes {', '.join(each for each, _ in found)})"
            answer.doubt(first.object, first.pointer, f"{first.detail}{where}", first.fix)
    answer.left_out = sum(each.left_out for each in reports)
    return answer


# --- what the schema of a kind does not say ---------------------------------------------------------------------------


def _configured(each: Manifest, walk: Walk) -> None:
    """Check the keys and the size of a ConfigMap or Secret."""
    if (each.api_version, each.kind) not in (("v1", "ConfigMap"), ("v1", "Secret")):
        return
    parts = ("data", "binaryData") if each.kind == "ConfigMap" else ("data", "stringData")
    seen: dict[str, str] = {}
    for part in parts:
        held = at(each.value, part)
        for key in held if isinstance(held, dict) else ():
            if problem := config_key_problem(key):
                walk.never((part, key), problem)
            if seen.setdefault(key, part) != part and each.kind == "ConfigMap":
                walk.never((part, key), f"the key is also in {seen[key]}")
    constant, slots = _weighed([at(each.value, part) for part in parts], keys=False)
    encoded = "binaryData" if each.kind == "ConfigMap" else "data"
    constant -= _weighed([at(each.value, encoded)], keys=False)[0] // 4  # base64 takes four characters for three bytes
    _limited(walk, (), f"the values of the {each.kind}", CONFIG_BYTES_MAX, constant, slots)


def _sized(each: Manifest, walk: Walk) -> None:
    """Check the size of the annotations and of the whole object."""
    annotations = at(each.value, "metadata", "annotations")
    if isinstance(annotations, dict):
        _limited(
            walk,
            ("metadata", "annotations"),
            "the annotations",
            ANNOTATIONS_BYTES_MAX,
            *_weighed([annotations], keys=True),
        )
    constant, slots = _weighed([each.value], keys=walk.custom)
    _limited(walk, (), "the texts of the object", STORED_BYTES_MAX, constant, slots)
    if LARGE_BYTES < constant <= STORED_BYTES_MAX:
        walk.doubtful((), f"the object's texts come to {constant:,} bytes, and many API servers allow only 1 MiB")


def _limited(walk: Walk, path: tuple[str, ...], what: str, most: int, constant: int, slots: list[OpenSlot]) -> None:
    if constant + len(slots) * SLOT_BYTES_MAX > most:
        walk.relation("bytes", {"what": what, "max": most, "constant": constant, "open": slots}, path)


def _weighed(values: Iterable[Any], *, keys: bool) -> tuple[int, list[OpenSlot]]:
    """Return the UTF-8 bytes of all constant texts in values, and the slots among them."""
    total, slots = 0, []
    for each in _leaves(values, keys=keys):
        if isinstance(each, OpenSlot):
            slots.append(each)
        elif isinstance(each, str):
            total += len(each) if each.isascii() else len(each.encode("utf-8", "replace"))
    return total, slots


def _leaves(values: Iterable[Any], *, keys: bool) -> Iterator[Any]:
    waiting = list(values)
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            waiting += each.values()
            if keys:
                yield from each
        elif isinstance(each, list):
            waiting += each
        else:
            yield each


def _scaled(manifests: Sequence[Manifest], others: Sequence[Manifest], report: FindingsReport) -> None:
    """Report each workload with `replicas` that a HorizontalPodAutoscaler of this release or of `others` manages."""
    scalers = {_target(each): each for each in (*others, *manifests) if each.kind == "HorizontalPodAutoscaler"}
    for each in manifests:
        scaler = scalers.get((str(each.kind), each.namespace, str(each.name)))
        if scaler is not None and each.kind in _SCALED and at(each.value, "spec", "replicas") is not None:
            report.doubt(
                str(each),
                "/spec/replicas",
                f"{scaler} manages the replicas, and each commit makes Flux reset them to this number",
                "leave replicas out",
            )


def _target(scaler: Manifest) -> tuple[str, str, str]:
    target = at(scaler.value, "spec", "scaleTargetRef")
    return str(at(target, "kind")), scaler.namespace, str(at(target, "name"))
