"""Filled objects become text once, by PyYAML, with a hole for every slot.

Holes are dumped as marker words that the manifests do not contain, and the text is cut at them. Key order is the
source's; text that any YAML version could take for another type is in double quotes; nothing is folded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import yaml

from libs.templates.scalars import stays_text, typed
from libs.templates.template import Slot, make_slot

if TYPE_CHECKING:
    from libs.templates.placeholders import Reference

_STR, _MAP, _SEQ = (f"tag:yaml.org,2002:{name}" for name in ("str", "map", "seq"))
_BLOCK_LINES = re.compile(r"(?:[^\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]|\n|\t)+")


@dataclass(slots=True)
class Holes:
    """The slots found so far; the marker of the nth is `<prefix><n>-`."""

    prefix: str = "edge-hole-0-"
    slots: list[Slot] = field(default_factory=list)

    @classmethod
    def apart_from(cls, manifests: bytes) -> Holes:
        """Return holes whose marker occurs nowhere in `manifests`."""
        serial = 0
        while f"edge-hole-{serial}-".encode() in manifests:
            serial += 1
        return cls(f"edge-hole-{serial}-")

    def hole(self, parts: list[str | Reference], mode: Literal["typed", "text"]) -> str:
        """Return the marker that stands for a new slot."""
        self.slots.append(make_slot(parts, mode))
        return f"{self.prefix}{len(self.slots) - 1}-"


@dataclass(frozen=True, slots=True)
class Dumped:
    """Text cut at its slots: one segment more than slots, in the order of the text."""

    segments: tuple[bytes, ...]
    slots: tuple[Slot, ...]


def dump(objects: list[object], holes: Holes) -> Dumped:
    """Return `objects` as YAML documents."""
    text = yaml.serialize_all(
        [_node(found) for found in objects],
        Dumper=yaml.CSafeDumper,
        allow_unicode=True,
        width=-1,
        explicit_start=True,
    ).removeprefix("---\n")
    pieces = re.split(rf"{holes.prefix}(\d+)-", text)
    return Dumped(
        segments=tuple(piece.encode() for piece in pieces[::2]),
        slots=tuple(holes.slots[int(number)] for number in pieces[1::2]),
    )


def _node(value: object) -> yaml.Node:
    if isinstance(value, dict):
        return yaml.MappingNode(_MAP, [(_text(key), _node(item)) for key, item in value.items()], flow_style=False)
    if isinstance(value, list):
        return yaml.SequenceNode(_SEQ, [_node(item) for item in value], flow_style=False)
    if isinstance(value, str):
        return _text(value)
    written = typed(value)
    tag = "null" if value is None else type(value).__name__
    return yaml.ScalarNode(f"tag:yaml.org,2002:{tag}", written)


def _text(text: str) -> yaml.ScalarNode:
    style = None if stays_text(text) else '"'
    if style and "\n" in text and _BLOCK_LINES.fullmatch(text):
        style = "|"  # scripts and configuration files stay readable; libyaml falls back to quotes where it must
    return yaml.ScalarNode(_STR, text, style=style)
