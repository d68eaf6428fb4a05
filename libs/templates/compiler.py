"""Compiles manifests into a template; `PublishRejected` names the object, the place and the way out.

The one rule: a placeholder can only ever fill a scalar value. Keys, `apiVersion`, `kind`, `metadata.name` and
`metadata.namespace` are constants, so that the set of rendered objects is the set that was published.
"""

from __future__ import annotations

import re
from base64 import b64decode
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from libs.contracts.names import pointer_of
from libs.templates import kinds
from libs.templates.dump import Dumped, Holes, dump
from libs.templates.identity import FoundObject, identify
from libs.templates.outline import Outline
from libs.templates.placeholders import OPENING, Input, PlaceholderRejected, Reference, damaged, split_text
from libs.templates.rejections import PublishRejected
from libs.templates.scalars import (
    NULLS,
    YAML_KEY_CHARACTERS_MAX,
    JsonScalar,
    Unwritable,
    quoted,
    read_manifest_scalar,
    refuse_characters,
)
from libs.templates.screening import screen
from libs.templates.template import Template, inputs_of
from libs.templates.yaml_nodes import Limits, Listing, Mapping, Scalar, YamlNode, YamlRejected, parse_nodes

if TYPE_CHECKING:
    from collections.abc import Iterable

PLACEHOLDERS_MAX = 20_000
_CONTAINER_LISTS = frozenset({"containers", "initContainers", "ephemeralContainers"})

_PLAIN_FIELDS = "Use stringData (or a ConfigMap's data) and leave the encoding to Kubernetes."

_Path = tuple[str | int, ...]


@dataclass(slots=True)
class _Filling:
    """What is known while one release's scalars are walked through."""

    constants: dict[Input, str]
    holes: Holes = field(default_factory=Holes)
    placeholders: int = 0
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
    return compile_release(
        manifests, application=application, namespace=namespace, version=version, allow=allow, limits=limits
    )[0]


def compile_release(
    manifests: bytes,
    *,
    application: str,
    namespace: str,
    version: str,
    allow: Iterable[str] = (),
    limits: Limits | None = None,
) -> tuple[Template, Outline]:
    """Return what `compile_template` does, and its objects as values."""
    allowed = frozenset(allow)
    objects = identify(_parsed(manifests, limits or Limits()), namespace, allowed)
    screen(objects, namespace, allowed)
    filling = _Filling(
        {
            Input("application.name"): application,
            Input("release.version"): version,
            Input("namespace.name"): namespace,
        }
    )
    dumped, filled = _dumped(objects, filling)
    template = Template(
        segments=dumped.segments,
        slots=dumped.slots,
        objects=tuple(found.ref for found in objects),
        images=tuple(sorted(filling.images)),
        inputs=inputs_of(dumped.slots),
    )
    return template, Outline(filled, {number: place for place, number in enumerate(dumped.numbers)})


def _parsed(manifests: bytes, limits: Limits) -> list[YamlNode]:
    try:
        return parse_nodes(manifests, limits)
    except YamlRejected as error:
        raise PublishRejected(error.code, "The manifests cannot be read", str(error)) from None


def _dumped(objects: list[FoundObject], filling: _Filling) -> tuple[Dumped, list[Any]]:
    filled: list[Any] = [_filled(found, _placed(found), (), filling) for found in objects]
    return dump(filled, filling.holes), filled


def _placed(found: FoundObject) -> Mapping:
    """Return the object with `metadata.namespace` as it is rendered, right after the name."""
    metadata = found.mapping.entries["metadata"]
    entries: dict[str, YamlNode] = {}
    for key, value in metadata.entries.items() if isinstance(metadata, Mapping) else ():
        if key != "namespace":
            entries[key] = value
        if key == "name" and found.ref.namespace:
            entries["namespace"] = Scalar(found.ref.namespace, plain=False, tag="", line=metadata.line)
    placed = found.mapping.entries | {"metadata": Mapping(entries, metadata.line)}
    return Mapping(placed, found.mapping.line)


def _filled(found: FoundObject, node: YamlNode, path: _Path, filling: _Filling) -> object:
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
                    "duplicate-key", "A key is given twice", f"{written!r}.", str(found.ref), pointer_of((*path, key))
                )
            filled[written] = _filled(found, value, (*path, key), filling)
        return filled
    if isinstance(node, Listing):
        if path[-1] in _CONTAINER_LISTS:
            _collect_images(node, filling)
        return [_filled(found, item, (*path, at), filling) for at, item in enumerate(node.items)]
    return _scalar(found, node, path, filling)


def _key(found: FoundObject, key: str, path: _Path) -> str:
    _refuse_characters(found, key, path)
    if len(quoted(key).encode()) > YAML_KEY_CHARACTERS_MAX:
        raise PublishRejected(
            "key-too-long",
            "A key is too long",
            f"A key has at most {YAML_KEY_CHARACTERS_MAX:,} bytes in quotes: YAML readers take no longer ones.",
            str(found.ref),
            pointer_of(path),
        )
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


def _scalar(found: FoundObject, node: Scalar, path: _Path, filling: _Filling) -> object:
    _refuse_characters(found, node.text, path)
    _refuse_damaged(found, node.text, path)
    text_wanted = kinds.wants_text(found.group, found.ref.kind, path)
    if OPENING not in node.text:
        if not (node.plain and node.text in NULLS):
            _refuse_encoded(found, node.text, path)
        if not text_wanted or (node.plain and node.text in NULLS):
            # To Kubernetes an annotation that is null is empty; Flux's kustomize would write the word.
            return "" if text_wanted and path[:-1] == ("metadata", "annotations") else _read(found, node, path)
        return node.text  # `value: 8080` and `data: {on: yes}` would be refused by the API server
    _count_placeholders(found, node.text, path, filling)
    parts = [
        filling.constants.get(part.input, part) if isinstance(part, Reference) else part
        for part in _split(found, node.text, path)
    ]
    if all(isinstance(part, str) for part in parts):
        constant = "".join(str(part) for part in parts)
        _refuse_encoded(found, constant, path)
        return constant
    if kinds.holds_base64(found.group, found.ref.kind, path):
        raise PublishRejected(
            "placeholder-in-base64",
            "A placeholder stands where base64 is wanted",
            f"{_short(node.text)}: it would be filled with plain text.",
            str(found.ref),
            pointer_of(path),
            _PLAIN_FIELDS,
        )
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


def _read(found: FoundObject, node: Scalar, path: _Path) -> JsonScalar:
    try:
        return read_manifest_scalar(node)
    except YamlRejected as error:  # its line is the line of a stream that the publisher never saw
        raise PublishRejected(
            error.code, "A value cannot be read", f"{error.detail}.", str(found.ref), pointer_of(path)
        ) from None


def _count_placeholders(found: FoundObject, text: str, path: _Path, filling: _Filling) -> None:
    """Raise `PublishRejected` when the release holds too many, before the time for splitting them is spent."""
    filling.placeholders += text.count(OPENING) - text.count(f"${OPENING}")  # an escaped one is a literal
    if filling.placeholders > PLACEHOLDERS_MAX:
        raise PublishRejected(
            "too-many-placeholders",
            "The release has too many placeholders",
            f"At most {PLACEHOLDERS_MAX:,} are accepted.",
            str(found.ref),
            pointer_of(path),
        )


def _refuse_characters(found: FoundObject, text: str, path: _Path) -> None:
    try:
        refuse_characters(text)
    except Unwritable as error:
        raise PublishRejected(
            "character-refused",
            "A text contains a character that is not allowed",
            f"{error}.",
            str(found.ref),
            pointer_of(path),
        ) from None


def _refuse_damaged(found: FoundObject, text: str, path: _Path) -> None:
    """Raise `PublishRejected` for what a template function left of a placeholder, which nothing would ever fill."""
    if remains := damaged(text):
        raise PublishRejected(
            "placeholder-damaged",
            "A placeholder was damaged before it was published",
            f"{remains[:100]!r} is not a placeholder: something cut it or changed its letters.",
            str(found.ref),
            pointer_of(path),
            "Leave out the template function (upper, trunc, replace, …); write $${edge.… for the text itself.",
        )


def _refuse_encoded(found: FoundObject, text: str, path: _Path) -> None:
    """Raise `PublishRejected` for text that is not base64, and for a placeholder that a chart encoded."""
    if not kinds.holds_base64(found.group, found.ref.kind, path):
        return
    try:
        decoded = b64decode(re.sub(r"[\r\n]", "", text), validate=True)  # what Go's decoder takes
    except ValueError:
        raise PublishRejected(
            "not-base64",
            "A value is not base64",
            f"{_short(text)} cannot be decoded.",
            str(found.ref),
            pointer_of(path),
            _PLAIN_FIELDS,
        ) from None
    if OPENING.encode() in decoded:
        raise PublishRejected(
            "placeholder-encoded",
            "A placeholder is hidden in base64",
            f"The value decodes to text with {OPENING}…}}.",
            str(found.ref),
            pointer_of(path),
            _PLAIN_FIELDS,
        )


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}…")


def _split(found: FoundObject, text: str, path: _Path) -> tuple[str | Reference, ...]:
    try:
        return split_text(text)
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
