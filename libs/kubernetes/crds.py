"""Kinds that CustomResourceDefinitions add, with the schemas of their versions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from libs.kubernetes.findings import has_slot
from libs.kubernetes.relations import at, maps
from libs.kubernetes.schemas import Kubernetes, TypeSchema

_REGISTERED = re.compile(
    r"([A-Z][A-Za-z0-9]{0,62})\.(v[0-9][a-z0-9]{0,20})\.([a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+)",
    re.ASCII,
)
CRD_GROUP = "apiextensions.k8s.io/"
_TEXTS = ("type", "format", "x-kubernetes-list-type")
_TEXT_LISTS = ("required", "x-kubernetes-list-map-keys")
_FLAGS = ("nullable", "additionalProperties", "x-kubernetes-preserve-unknown-fields", "x-kubernetes-int-or-string")
_META = {"$ref": "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}


def registered_kind(entry: str) -> tuple[str, str] | None:
    """Return the (apiVersion, kind) that `Kind.version.group` names, or None."""
    match = _REGISTERED.fullmatch(entry)
    return (f"{match[3]}/{match[2]}", match[1]) if match else None


def kinds_of(value: Any) -> dict[tuple[str, str], TypeSchema]:
    """Return (apiVersion, kind) → schema of each version that one CustomResourceDefinition serves."""
    group, kind = at(value, "spec", "group"), at(value, "spec", "names", "kind")
    if not isinstance(group, str) or not isinstance(kind, str):
        return {}
    return {
        (f"{group}/{each['name']}", kind): _whole(at(each, "schema", "openAPIV3Schema"))
        for each in maps(at(value, "spec", "versions"))
        if isinstance(each.get("name"), str) and each.get("served", True) is not False
    }


def _whole(schema: Any) -> TypeSchema:
    """Return a schema with the fields that every object has; an empty one accepts everything."""
    clean = _clean(schema)
    if "properties" not in clean:
        return {"type": "object", "properties": {"metadata": _META}, "x-kubernetes-preserve-unknown-fields": True}
    own = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": _META, "status": {}}
    return {**clean, "properties": {**clean["properties"], **own}}


def _clean(schema: Any) -> dict[str, Any]:
    """Return the parts of a schema that the check reads; it is user input, so nothing in it is trusted."""
    answer: dict[str, Any] = {}
    for key, value in schema.items() if isinstance(schema, dict) else ():
        if key == "properties" and isinstance(value, dict):
            answer[key] = {name: _clean(each) for name, each in value.items()}
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            answer[key] = _clean(value)
        elif key in _TEXTS and isinstance(value, str):
            answer[key] = value
        elif key in _TEXT_LISTS and isinstance(value, list):
            answer[key] = [each for each in value if isinstance(each, str)]
        elif (key in _FLAGS and isinstance(value, bool)) or (
            key == "enum" and isinstance(value, list) and not has_slot(value)
        ):
            answer[key] = value
    if answer.get("x-kubernetes-list-type") == "map" and not answer.get("x-kubernetes-list-map-keys"):
        del answer["x-kubernetes-list-type"]
    return answer


def _known(enum: Any) -> bool:
    return isinstance(enum, list) and not has_slot(enum)


def extended(kubernetes: Kubernetes, crds: Iterable[Any], registered: Iterable[tuple[str, str]]) -> Kubernetes:
    """Return a version with more kinds: those that `crds` define, and `registered` ones without a schema."""
    custom: dict[tuple[str, str], TypeSchema] = {each: _whole(None) for each in registered}
    for value in crds:
        custom |= kinds_of(value)
    return Kubernetes(kubernetes.minor, kubernetes.kinds, kubernetes.types, custom)
