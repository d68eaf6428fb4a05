"""Manifests become a template, or `PublishRejected` names the object, the place and the way out.

The rule to know: a placeholder can only ever fill a scalar value. Keys, `apiVersion`, `kind`, `metadata.name` and
`metadata.namespace` are constants, so that the set of objects that is rendered is the set that was published.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from libs.templates import kinds
from libs.templates.dump import Dumped, Holes, dump
from libs.templates.placeholders import OPENING, Input, PlaceholderRejected, Reference, split
from libs.templates.rejections import PublishRejected, pointer_of
from libs.templates.scalars import NULLS, Unwritable, read_manifest_scalar, refuse_characters
from libs.templates.screening import screen
from libs.templates.template import ObjectRef, Template, inputs_of
from libs.templates.yaml_nodes import Limits, Listing, Mapping, Node, Scalar, YamlRejected, parse_nodes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

OBJECTS_MAX = 2_000
SLOTS_MAX = 20_000
_CONTAINER_LISTS = frozenset({"containers", "initContainers", "ephemeralContainers"})

Path = tuple[str | int, ...]


@dataclass(slots=True)
class _Object:
    """One object on its way: `mapping` as it was read, `ref` as it will be rendered."""

    mapping: Mapping
    ref: ObjectRef
    group: str


@dataclass(slots=True)
class _Filling:
    """What is known while one release's scalars are walked through."""

    constants: dict[Input, str]
    holes: Holes = field(default_factory=Holes)
    images: dict[str, None] = field(default_factory=dict)


def compile_template(
    manifests: bytes,
    *,
    application: str,
    namespace: str,
    version: str,
    allow: Iterable[str] = (),
    limits: Limits | None = None,
) -> Template:
    """Return the template of plain manifests for `application` in `namespace`.

    `allow` is the Namespace's `spec.allow`. Raises `PublishRejected`; nothing is kept of a release that was refused.
    """
    roots = _parsed(manifests, limits or Limits())
    objects = [_identified(mapping, namespace, frozenset(allow)) for mapping in _unpacked(roots)]
    if not objects:
        raise PublishRejected("no-objects", "The release holds no object", "The manifests are empty.")
    if len(objects) > OBJECTS_MAX:
        raise PublishRejected(
            "too-many-objects",
            "The release holds too many objects",
            f"{len(objects):,} objects; at most {OBJECTS_MAX:,} are taken.",
            fix="Split it into several applications.",
        )
    _refuse_twice(objects)
    screen([(found.mapping, found.ref, found.group) for found in objects], namespace, frozenset(allow))
    filling = _Filling(
        {
            Input("application.name"): application,
            Input("release.version"): version,
            Input("namespace.name"): namespace,
        }
    )
    dumped = _dumped(objects, filling)
    return Template(
        segments=dumped.segments,
        slots=dumped.slots,
        objects=tuple(found.ref for found in objects),
        images=tuple(sorted(filling.images)),
        inputs=inputs_of(dumped.slots),
    )


def _parsed(manifests: bytes, limits: Limits) -> list[Node]:
    try:
        return parse_nodes(manifests, limits)
    except YamlRejected as error:
        raise PublishRejected(error.code, "The manifests cannot be read", str(error)) from None


def _unpacked(roots: list[Node]) -> Iterator[Mapping]:
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
                    f"The items of a {kind.text} are no list",
                    f"The {kind.text} at line {root.line} must list its objects.",
                    kind.text,
                    "/items",
                )
            yield from _unpacked(items.items)
        else:
            yield root


def _identified(mapping: Mapping, namespace: str, allow: frozenset[str]) -> _Object:
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
    if kinds.is_cluster_scoped(group, kind, allow):
        return _Object(mapping, ObjectRef(api_version, kind, "", name), group)
    own = _identity(mapping, ("metadata", "namespace"), mapping.line, f"{kind}/{name}", missing=namespace)
    _refuse_name(kinds.namespace_problem(own), own, f"{kind}/{name}", "/metadata/namespace")
    return _Object(mapping, ObjectRef(api_version, kind, own, name), group)


def _refuse_name(problem: str | None, name: str, object_: str, pointer: str) -> None:
    if problem:
        raise PublishRejected("invalid-name", "The name is not valid", f"{name[:300]!r}: {problem}.", object_, pointer)


def _identity(mapping: Mapping, path: tuple[str, ...], line: int, shown: str = "", missing: str | None = None) -> str:
    """Return a part of an object's identity: a constant text at `path`, or `missing` where there is none."""
    node: Node | None = mapping
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


def _refuse_twice(objects: list[_Object]) -> None:
    seen: dict[tuple[str, str, str, str], _Object] = {}
    for found in objects:
        key = (found.group, found.ref.kind, found.ref.namespace, found.ref.name)
        first = seen.setdefault(key, found)
        if first is not found:
            raise PublishRejected(
                "object-twice",
                "An object stands in the release twice",
                f"{found.ref} at line {found.mapping.line} is also at line {first.mapping.line}.",
                str(found.ref),
            )


def _dumped(objects: list[_Object], filling: _Filling) -> Dumped:
    filled = []
    for found in objects:
        try:
            body = _placed(found)
            filled.append(_filled(found, body, (), filling))
        except YamlRejected as error:
            raise PublishRejected(error.code, "A value cannot be read", str(error), str(found.ref)) from None
        if len(filling.holes.slots) > SLOTS_MAX:
            raise PublishRejected(
                "too-many-placeholders",
                "The release holds too many placeholders",
                f"At most {SLOTS_MAX:,} are taken.",
                str(found.ref),
            )
    return dump(filled, filling.holes)


def _placed(found: _Object) -> Mapping:
    """Return the object with `metadata.namespace` as it is rendered, right after the name."""
    metadata = found.mapping.entries["metadata"]
    entries: dict[str, Node] = {}
    for key, value in metadata.entries.items() if isinstance(metadata, Mapping) else ():
        if key != "namespace":
            entries[key] = value
        if key == "name" and found.ref.namespace:
            entries["namespace"] = Scalar(found.ref.namespace, plain=False, tag="", line=metadata.line)
    placed = found.mapping.entries | {"metadata": Mapping(entries, metadata.line)}
    return Mapping(placed, found.mapping.line)


def _filled(found: _Object, node: Node, path: Path, filling: _Filling) -> object:
    """Return `node` as what is dumped: JSON values, with a hole where a placeholder stands."""
    if not isinstance(node, Scalar) and kinds.strict_text_map(found.group, found.ref.kind, path[:-1]):
        raise PublishRejected(
            "wants-text", "Kubernetes wants text here", "It is a list or a map.", str(found.ref), pointer_of(path)
        )
    if isinstance(node, Mapping):
        filled: dict[str, object] = {}
        for key, value in node.entries.items():
            written = _key(found, key, path)
            if written in filled:
                raise PublishRejected(
                    "duplicate-key", "A key stands twice", f"{written!r}.", str(found.ref), pointer_of((*path, key))
                )
            filled[written] = _filled(found, value, (*path, key), filling)
        return filled
    if isinstance(node, Listing):
        if path[-1] in _CONTAINER_LISTS:
            _collect_images(node, filling)
        return [_filled(found, item, (*path, at), filling) for at, item in enumerate(node.items)]
    return _scalar(found, node, path, filling)


def _key(found: _Object, key: str, path: Path) -> str:
    _refuse_characters(found, key, path)
    if OPENING not in key:
        return key
    parts = _split(found, key, (*path, key))
    if len(parts) == 1 and isinstance(parts[0], str):
        return parts[0]
    raise PublishRejected(
        "placeholder-in-key",
        "A placeholder cannot stand in a key",
        f"{key!r} is a key.",
        str(found.ref),
        pointer_of((*path, key)),
        "Put it into the value.",
    )


def _scalar(found: _Object, node: Scalar, path: Path, filling: _Filling) -> object:
    _refuse_characters(found, node.text, path)
    text_wanted = kinds.wants_text(found.group, found.ref.kind, path)
    if OPENING not in node.text:
        if not text_wanted or (node.plain and node.text in NULLS):
            return read_manifest_scalar(node)
        return node.text  # `value: 8080` and `data: {on: yes}` would be refused by the API server
    parts = [
        filling.constants.get(part.input, part) if isinstance(part, Reference) else part
        for part in _split(found, node.text, path)
    ]
    if all(isinstance(part, str) for part in parts):
        return "".join(str(part) for part in parts)
    if kinds.strict_text_map(found.group, found.ref.kind, path):
        raise PublishRejected(
            "placeholder-for-map",
            "A placeholder cannot stand for all keys",
            f"{node.text!r}: which keys this map has must be the same on every cluster.",
            str(found.ref),
            pointer_of(path),
            "Write the keys, with placeholders as their values.",
        )
    only = parts[0] if len(parts) == 1 and isinstance(parts[0], Reference) else None
    typed = only is not None and not only.text and not text_wanted
    return filling.holes.hole(parts, "typed" if typed else "text")


def _refuse_characters(found: _Object, text: str, path: Path) -> None:
    try:
        refuse_characters(text)
    except Unwritable as error:
        raise PublishRejected(
            "character-refused", "A text holds a refused character", f"{error}.", str(found.ref), pointer_of(path)
        ) from None


def _split(found: _Object, text: str, path: Path) -> tuple[str | Reference, ...]:
    try:
        return split(text)
    except PlaceholderRejected as error:
        title = "A placeholder is malformed" if error.code.endswith("malformed") else "A placeholder names nothing"
        raise PublishRejected(
            error.code, title, f"{error.detail}.", str(found.ref), pointer_of(path), error.fix
        ) from None


def _collect_images(containers: Listing, filling: _Filling) -> None:
    for container in containers.items:
        image = container.entries.get("image") if isinstance(container, Mapping) else None
        if isinstance(image, Scalar) and image.text:
            filling.images[image.text] = None
