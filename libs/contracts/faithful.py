"""Which events come back from their bytes as they are: those need not be decoded by who has the object itself.

The one rule: where that is not certain from the types of all values in it, the answer is no. A tuple comes back as a
list, an integer in a field of fractions as a fraction, and what is declared as `Any` as whatever JSON makes of it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from operator import attrgetter
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from libs.contracts.envelope import Event

Check = Callable[[Any], bool]

_PLAIN = frozenset({str, bool, bytes, NoneType})
_INTEGER_BITS_MAX = 63


def faithful(event: Event) -> bool:
    """Whether `decode` makes of the event's bytes an equal one, with values of the same types in it."""
    cls: Any = type(event)
    return all([one(get(event)) for get, one in _members(cls)])


@dataclass(frozen=True, slots=True)
class _Kind:
    """What an annotation allows, by exact type: `plain` as they are, `checked` if their check says so."""

    plain: frozenset[type] = frozenset()
    checked: Mapping[type, Check] = field(default_factory=dict)

    def one(self, value: Any) -> bool:
        kind = type(value)
        return kind in self.plain or (kind in self.checked and self.checked[kind](value))

    def all(self, values: Collection[Any]) -> bool:
        plain = self.plain
        if plain.issuperset(map(type, values)):
            return True
        return all([self.one(each) for each in values if type(each) not in plain])


@cache
def _kind(annotation: Any) -> _Kind:
    if get_origin(annotation) in (Union, UnionType):
        return _either([_kind(each) for each in get_args(annotation)])
    if annotation in _PLAIN:
        return _Kind(frozenset({annotation}))
    return _Kind(checked=_checked(annotation))


def _either(kinds: Sequence[_Kind]) -> _Kind:
    checked = {kind: check for each in kinds for kind, check in each.checked.items()}
    if len(checked) < sum(len(each.checked) for each in kinds):
        return _Kind()  # two kinds of list, say: which of them an empty one is, nobody can tell
    return _Kind(frozenset().union(*(each.plain for each in kinds)), checked)


def _checked(annotation: Any) -> dict[type, Check]:
    origin, inside = get_origin(annotation), get_args(annotation)
    if annotation is int:
        return {int: lambda value: value.bit_length() <= _INTEGER_BITS_MAX}
    if origin is list:
        return {list: _kind(inside[0]).all}
    if origin is dict and inside[0] is str:
        keys, values = _kind(str), _kind(inside[1])
        return {dict: lambda value: keys.all(value) and values.all(value.values())}
    if isinstance(annotation, type) and is_dataclass(annotation):
        return {annotation: faithful}
    return {}


@cache
def _members(cls: type) -> list[tuple[Callable[[Any], Any], Check]]:
    hints = get_type_hints(cls)
    return [(attrgetter(each.name), _kind(hints[each.name]).one) for each in fields(cls)]
