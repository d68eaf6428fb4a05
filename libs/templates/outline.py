"""The objects of a template as values again, with a mark where a slot stands."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from libs.templates.dump import DUMPED_BYTES_MAX, Hole
from libs.templates.scalars import construct
from libs.templates.yaml_nodes import Limits, parse_nodes

if TYPE_CHECKING:
    from libs.templates.template import Template


@dataclass(frozen=True, slots=True)
class Outline:
    """The objects in their order, with a `Hole` a slot; `slots` gives for a hole's number the place of its slot."""

    objects: list[Any]
    slots: Mapping[int, int]

    def values(self, mark: Callable[[int], Any]) -> list[Any]:
        """Return the objects with `mark(place)` for each slot."""
        return [_marked(each, lambda hole: mark(self.slots[hole.number])) for each in self.objects]


def outline(template: Template) -> Outline:
    """Return the objects that a template stands for."""
    whole = b"".join(template.segments).decode()
    taken = {int(found) for found in re.findall("edge-slot-([0-9]{1,6})-", whole)}
    serial = next(number for number in range(len(taken) + 1) if number not in taken)
    prefix = f"edge-slot-{serial}-"
    parts = [template.segments[0].decode()]
    for place, segment in enumerate(template.segments[1:]):
        parts += (f'"{prefix}{place}"', segment.decode())
    limits = Limits(bytes_max=DUMPED_BYTES_MAX * 4, nodes_max=10**9)
    objects = [construct(root, manifest=True) for root in parse_nodes("".join(parts), limits)]
    found = [_found(each, prefix) for each in objects]
    return Outline(found, {place: place for place in range(len(template.slots))})


def _marked(value: Any, mark: Callable[[Hole], Any]) -> Any:
    if isinstance(value, dict):
        return {key: _marked(each, mark) for key, each in value.items()}
    if isinstance(value, list):
        return [_marked(each, mark) for each in value]
    return mark(value) if isinstance(value, Hole) else value


def _found(value: Any, prefix: str) -> Any:
    if isinstance(value, dict):
        return {key: _found(each, prefix) for key, each in value.items()}
    if isinstance(value, list):
        return [_found(each, prefix) for each in value]
    if isinstance(value, str) and value.startswith(prefix):
        return Hole(int(value.removeprefix(prefix)))
    return value
