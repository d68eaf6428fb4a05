"""The objects of a release's manifests, each with an identity that no value can change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from libs.contracts.names import pointer_of
from libs.templates import kinds
from libs.templates.placeholders import OPENING
from libs.templates.rejections import PublishRejected
from libs.templates.scalars import NULLS
from libs.templates.template import ObjectIdentity
from libs.templates.yaml_nodes import Listing, Mapping, Scalar, YamlNode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

OBJECTS_MAX = 2_000


@dataclass(frozen=True, slots=True)
class FoundObject:
    """One object on its way: `mapping` as it was read, `ref` as it will be rendered."""

    mapping: Mapping
    ref: ObjectIdentity
    group: str


def identify(roots: Sequence[YamlNode], namespace: str, allow: frozenset[str]) -> list[FoundObject]:
    """Return the objects of all documents, in `namespace` unless they say another. Raises `PublishRejected`."""
    mappings = list(_unpacked(roots))
    if not mappings:
        raise PublishRejected("no-objects", "The release has no objects", "The manifests are empty.")
    if len(mappings) > OBJECTS_MAX:
        raise PublishRejected(
            "too-many-objects",
            "The release has too many objects",
            f"{len(mappings):,} objects; at most {OBJECTS_MAX:,} are accepted.",
            fix="Split it into several applications.",
        )
    own_scopes = frozenset(scope for mapping in mappings for scope in _cluster_scope(mapping))
    objects = [_identified(mapping, namespace, allow, own_scopes) for mapping in mappings]
    _refuse_twice(objects)
    return objects


def _cluster_scope(mapping: Mapping) -> Iterator[tuple[str, str]]:
    """Yield the (group, kind) that a CustomResourceDefinition of the release itself defines as cluster-scoped."""
    found = [
        text_at(mapping, *path) for path in (("kind",), ("spec", "scope"), ("spec", "group"), ("spec", "names", "kind"))
    ]
    if found[:2] == ["CustomResourceDefinition", "Cluster"]:
        yield found[2], found[3]


def text_at(node: YamlNode | None, *path: str) -> str:
    """Return the scalar at `path` as it was written, empty if there is none."""
    for key in path:
        node = node.entries.get(key) if isinstance(node, Mapping) else None
    return node.text if isinstance(node, Scalar) else ""


def _unpacked(roots: Sequence[YamlNode]) -> Iterator[Mapping]:
    """Yield the objects of all documents, those in a `List` (or `ConfigMapList`, …) one by one."""
    for root in roots:
        if not isinstance(root, Mapping):
            what = "a list" if isinstance(root, Listing) else "text"
            raise PublishRejected(
                "not-an-object",
                "A document is not a Kubernetes object",
                f"The document at line {root.line} is {what}, not a map with apiVersion, kind and metadata.",
            )
        kind, items = root.entries.get("kind"), root.entries.get("items")
        # Flux's kustomize unpacks every kind that ends so, which is why `items` must be seen here to be screened.
        if isinstance(kind, Scalar) and kind.text.endswith("List") and ("items" in root.entries or kind.text == "List"):
            if not isinstance(items, Listing):
                raise PublishRejected(
                    "not-an-object",
                    f"The items of a {kind.text} are not a list",
                    f"The {kind.text} at line {root.line} must list its objects.",
                    kind.text,
                    "/items",
                )
            yield from _unpacked(items.items)
        else:
            yield root


def _identified(
    mapping: Mapping, namespace: str, allow: frozenset[str], own_scopes: frozenset[tuple[str, str]]
) -> FoundObject:
    metadata = mapping.entries.get("metadata")
    kind = _identity(mapping, ("kind",), mapping.line)
    shown = kind
    api_version = _identity(mapping, ("apiVersion",), mapping.line, shown)
    group = kinds.group_of(api_version)
    for problem, pointer in (
        (kinds.kind_problem(kind), "/kind"),
        (kinds.api_version_problem(api_version), "/apiVersion"),
    ):
        if problem:
            raise PublishRejected("invalid-kind", f"The {pointer[1:]} is not valid", problem, shown, pointer)
    if isinstance(metadata, Mapping) and "generateName" in metadata.entries:
        raise PublishRejected(
            "generate-name",
            "generateName makes a new object each time",
            f"The {kind} at line {mapping.line} has metadata.generateName.",
            shown,
            "/metadata/generateName",
            "Give it a metadata.name.",
        )
    name = _identity(mapping, ("metadata", "name"), mapping.line, shown)
    _refuse_name(kinds.name_problem(group, kind, name), name, f"{kind}/{name}", "/metadata/name")
    if (group, kind) in own_scopes or kinds.is_cluster_scoped(group, kind, allow):
        return FoundObject(mapping, ObjectIdentity(api_version, kind, "", name), group)
    own = _identity(mapping, ("metadata", "namespace"), mapping.line, f"{kind}/{name}", missing=namespace)
    _refuse_name(kinds.namespace_problem(own), own, f"{kind}/{name}", "/metadata/namespace")
    return FoundObject(mapping, ObjectIdentity(api_version, kind, own, name), group)


def _refuse_name(problem: str | None, name: str, object_: str, pointer: str) -> None:
    if problem:
        raise PublishRejected("invalid-name", "The name is not valid", f"{name[:300]!r}: {problem}.", object_, pointer)


def _identity(mapping: Mapping, path: tuple[str, ...], line: int, shown: str = "", missing: str | None = None) -> str:
    """Return a part of an object's identity: a constant text at `path`, or `missing` where there is none."""
    node: YamlNode | None = mapping
    for key in path:
        node = node.entries.get(key) if isinstance(node, Mapping) else None
    field_name, pointer = ".".join(path), pointer_of(path)
    if node is None or (isinstance(node, Scalar) and node.plain and node.text in NULLS):
        if missing is not None:
            return missing
        raise PublishRejected(
            "not-an-object",
            f"{field_name} is missing",
            f"The object at line {line} has no {field_name}.",
            shown,
            pointer,
        )
    if not isinstance(node, Scalar):
        raise PublishRejected("not-an-object", f"{field_name} is not text", f"See line {node.line}.", shown, pointer)
    if OPENING in node.text:
        raise PublishRejected(
            "placeholder-in-identity",
            f"A placeholder cannot stand in {field_name}",
            f"{node.text!r}: what an object is must be the same on every cluster.",
            shown,
            pointer,
            "Use a constant; the cluster already keeps its objects apart.",
        )
    return node.text


def _refuse_twice(objects: list[FoundObject]) -> None:
    seen: dict[tuple[str, str, str, str], FoundObject] = {}
    for found in objects:
        key = (found.group, found.ref.kind, found.ref.namespace, found.ref.name)
        first = seen.setdefault(key, found)
        if first is not found:
            raise PublishRejected(
                "object-twice",
                "The release contains an object twice",
                f"{found.ref} at line {found.mapping.line} is also at line {first.mapping.line}.",
                str(found.ref),
            )
