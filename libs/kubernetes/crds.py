"""Kinds that CustomResourceDefinitions add: their schemas, as the CustomResourceDefinition's own versions say them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from libs.kubernetes.relations import at, maps
from libs.kubernetes.schemas import Kubernetes, Schema

_REGISTERED = re.compile(
    r"([A-Z][A-Za-z0-9]{0,62})\.(v[0-9][a-z0-9]{0,20})\.([a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+)",
    re.ASCII,
)
GROUP = "apiextensions.k8s.io/"
_META = {"$ref": "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}


def registered_kind(entry: str) -> tuple[str, str] | None:
    """Return the (apiVersion, kind) that `Kind.version.group` names, or nothing."""
    match = _REGISTERED.fullmatch(entry)
    return (f"{match[3]}/{match[2]}", match[1]) if match else None


def kinds_of(value: Any) -> dict[tuple[str, str], Schema]:
    """Return (apiVersion, kind) → schema of each version that one CustomResourceDefinition serves."""
    group, kind = at(value, "spec", "group"), at(value, "spec", "names", "kind")
    if not isinstance(group, str) or not isinstance(kind, str):
        return {}
    return {
        (f"{group}/{each['name']}", kind): _whole(at(each, "schema", "openAPIV3Schema"))
        for each in maps(at(value, "spec", "versions"))
        if isinstance(each.get("name"), str) and each.get("served", True) is not False
    }


def _whole(schema: Any) -> Schema:
    """Return a schema with the fields that every object has; one that says nothing takes everything."""
    if not isinstance(schema, Mapping) or not isinstance(schema.get("properties"), Mapping):
        return {"type": "object", "properties": {"metadata": _META}, "x-kubernetes-preserve-unknown-fields": True}
    own = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": _META, "status": {}}
    return {**schema, "properties": {**schema["properties"], **own}}


def extended(kubernetes: Kubernetes, crds: Iterable[Any], registered: Iterable[tuple[str, str]]) -> Kubernetes:
    """Return a version with more kinds: those that `crds` define, and `registered` ones without a schema."""
    custom: dict[tuple[str, str], Schema] = {each: _whole(None) for each in registered}
    for value in crds:
        custom |= kinds_of(value)
    return Kubernetes(kubernetes.minor, kubernetes.kinds, kubernetes.types, custom)
