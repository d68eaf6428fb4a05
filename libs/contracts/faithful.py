"""Which events decode to equal objects, so that a process that has the objects need not decode their bytes.

The one rule: unless the types of all values prove it, the answer is no. A tuple is decoded as a list, an integer in a
field of fractions as a fraction, and a value of type `Any` as whatever type JSON has for it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from itertools import chain
from operator import attrgetter
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from libs.contracts.envelope import Event

_Check = Callable[[Collection[Any]], bool]
"""Looks at many values of one type together: one by one they would take as long as decoding them."""

_PLAIN = frozenset({str, bool, bytes, NoneType})
_INTEGER_MIN, _INTEGER_MAX = -(2**63), 2**63 - 1


def faithful(events: Sequence[Event]) -> bool:
    """Whether `decode` returns equal events, with values of the same types, for the bytes of events of one class."""
    kind: Any = type(events[0])
    return all(each.all(list(map(get, events))) for get, each in _members(kind))


@dataclass(frozen=True, slots=True)
class _Kind:
    """The exact types that an annotation allows: `plain` ones always, `checked` ones if their check succeeds."""

    plain: frozenset[type] = frozenset()
    checked: Mapping[type, _Check] = field(default_factory=dict)

    def all(self, values: Collection[Any]) -> bool:
        types = set(map(type, values))
        inner = types - self.plain
        return inner <= self.checked.keys() and all(
            self.checked[each](values if len(types) == 1 else [value for value in values if type(value) is each])
            for each in inner
        )


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
        return _Kind()  # two list types, for example: the type of a value does not tell which one it is
    return _Kind(frozenset().union(*(each.plain for each in kinds)), checked)


def _checked(annotation: Any) -> dict[type, _Check]:
    origin, inside = get_origin(annotation), get_args(annotation)
    if annotation is int:
        return {int: lambda values: min(values) >= _INTEGER_MIN and max(values) <= _INTEGER_MAX}
    if origin is list:
        items = _kind(inside[0])
        return {list: lambda values: items.all(list(chain.from_iterable(values)))}
    if origin is dict and inside[0] is str:
        keys, members = _kind(str), _kind(inside[1])
        return {
            dict: lambda values: (
                keys.all(list(chain.from_iterable(values)))
                and members.all(list(chain.from_iterable(map(dict.values, values))))
            )
        }
    if isinstance(annotation, type) and is_dataclass(annotation):
        return {annotation: lambda values: faithful(list(values))}
    return {}


@cache
def _members(cls: type) -> list[tuple[Callable[[Any], Any], _Kind]]:
    hints = get_type_hints(cls)
    return [(attrgetter(each.name), _kind(hints[each.name])) for each in fields(cls)]
