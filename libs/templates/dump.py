"""Writes filled objects as text, once, by PyYAML, with a hole for every slot.

Holes are dumped as marker words that occur nowhere else in the text, and the text is cut at them. Key order is the
source's; text that any YAML version could read as another type is in double quotes; nothing is folded. The result is
read back and compared, so that no quirk of an emitter reaches a store.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import yaml

from libs.templates.rejections import PublishRejected
from libs.templates.scalars import construct, stays_text, typed_line
from libs.templates.template import Slot, make_slot
from libs.templates.yaml_nodes import Limits, YamlRejected, parse_nodes

if TYPE_CHECKING:
    from libs.templates.placeholders import Reference

_STR, _MAP, _SEQ = (f"tag:yaml.org,2002:{name}" for name in ("str", "map", "seq"))
_BLOCK_LINES = re.compile(r"(?![ \t\n])(?:[^\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]|\n|\t)+")


_MARKERS_TRIED_MAX = 100
DUMPED_BYTES_MAX = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Hole:
    """Stands for a scalar with placeholders; `number` is its slot's."""

    number: int


@dataclass(slots=True)
class Holes:
    """The slots found so far."""

    slots: list[Slot] = field(default_factory=list)

    def hole(self, parts: list[str | Reference], mode: Literal["typed", "text"]) -> Hole:
        """Return a hole for a new slot."""
        self.slots.append(make_slot(parts, mode))
        return Hole(len(self.slots) - 1)


@dataclass(frozen=True, slots=True)
class Dumped:
    """Text cut at its slots: one segment more than slots, in the order of the text."""

    segments: tuple[bytes, ...]
    slots: tuple[Slot, ...]
    numbers: tuple[int, ...] = ()
    """The hole's number of each slot."""


def dump(objects: list[object], holes: Holes) -> Dumped:
    """Return `objects` as YAML documents, cut at the holes. Raises `PublishRejected`."""
    for serial in range(_MARKERS_TRIED_MAX):
        prefix = f"edge-hole-{serial}-"
        text = _serialized(objects, prefix)
        pieces = re.split(rf"{prefix}([0-9]+)-", text)
        numbers = [int(number) for number in pieces[1::2]]
        # A text of the manifests could hold the marker, even written with escapes: then it is here once too often.
        if sorted(numbers) == list(range(len(holes.slots))) and text.count(prefix) == len(numbers):
            _read_back(objects, prefix, text)
            segments = tuple(piece.encode() for piece in pieces[::2])
            return Dumped(segments, tuple(holes.slots[number] for number in numbers), tuple(numbers))
    raise PublishRejected("marker-taken", "The manifests contain every marker word", f"edge-hole-0- to {serial}-.")


def _serialized(objects: list[object], prefix: str) -> str:
    text: str = yaml.serialize_all(
        [_node(found, prefix) for found in objects],
        Dumper=yaml.CSafeDumper,
        allow_unicode=True,
        width=-1,
        explicit_start=True,
    ).removeprefix("---\n")
    if len(text) > DUMPED_BYTES_MAX:
        raise PublishRejected(
            "too-large",
            "The release is too large",
            f"{len(text):,} characters once written as YAML; at most {DUMPED_BYTES_MAX:,} are accepted.",
        )
    return text


def _read_back(objects: list[object], prefix: str, text: str) -> None:
    limits = Limits(bytes_max=DUMPED_BYTES_MAX * 4, nodes_max=10**9)
    try:
        again = [construct(root, manifest=True) for root in parse_nodes(text, limits)]
    except YamlRejected as error:
        raise PublishRejected("unfaithful", "The manifests change when they are written back", str(error)) from None
    for found, read in zip(objects, again, strict=True):
        if not _equal(found, read, prefix):
            raise PublishRejected(
                "unfaithful", "The manifests change when they are written back", "Please report them.", _kind_of(found)
            )


def _equal(found: object, read: object, prefix: str) -> bool:
    if isinstance(found, dict) and isinstance(read, dict):
        return list(found) == list(read) and all(_equal(item, read[key], prefix) for key, item in found.items())
    if isinstance(found, list) and isinstance(read, list):
        return len(found) == len(read) and all(
            _equal(item, again, prefix) for item, again in zip(found, read, strict=True)
        )
    if isinstance(found, Hole):
        return read == _marker(found, prefix)
    return type(found) is type(read) and found == read


def _kind_of(found: object) -> str:
    return str(found.get("kind", "")) if isinstance(found, dict) else ""


def _marker(hole: Hole, prefix: str) -> str:
    return f"{prefix}{hole.number}-"


def _node(value: object, prefix: str) -> yaml.Node:
    if isinstance(value, dict):
        pairs = [(_text(key), _node(item, prefix)) for key, item in value.items()]
        return yaml.MappingNode(_MAP, pairs, flow_style=False)
    if isinstance(value, list):
        return yaml.SequenceNode(_SEQ, [_node(item, prefix) for item in value], flow_style=False)
    if isinstance(value, Hole):
        return _text(_marker(value, prefix))
    if isinstance(value, str):
        return _text(value)
    tag = "null" if value is None else type(value).__name__
    return yaml.ScalarNode(f"tag:yaml.org,2002:{tag}", typed_line(value))


def _text(text: str) -> yaml.ScalarNode:
    style = None if stays_text(text) else '"'
    if style and "\n" in text and _BLOCK_LINES.fullmatch(text):
        style = "|"  # scripts and configuration files stay readable; libyaml falls back to quotes where it must
    return yaml.ScalarNode(_STR, text, style=style)
