"""The selection language as a tree: frozen, comparable, each node with its place in the text.

Places never take part in comparison, so that two texts that say the same in the same order are equal.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

Span = tuple[int, int]
"""Half-open range of characters in the text that was parsed."""

_NOWHERE: Span = (0, 0)

KEYWORDS = frozenset({"and", "or", "not", "in", "like", "has", "none", "name"})
"""Words that must be quoted where they are meant as a label key."""

NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)", re.ASCII)
VALUE_CHARACTERS_MAX = 256


@dataclass(frozen=True, slots=True)
class Nothing:
    """`none`: no cluster."""

    span: Span = field(default=_NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Everything:
    """`/c/*`: every cluster that exists."""

    span: Span = field(default=_NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class InGroup:
    """`/g/geo/us`: members of the group `/geo/us` and of everything below it."""

    path: str
    span: Span = field(default=_NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class InNamespace:
    """`/n/pos`: the clusters of a namespace."""

    name: str
    span: Span = field(default=_NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Named:
    """`/c/a`, `name = a`, `name in (a, b)`: clusters by name; `places` are where each name stands."""

    names: tuple[str, ...]
    span: Span = field(default=_NOWHERE, compare=False, repr=False)
    places: tuple[int, ...] = field(default=(), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class NameLike:
    """`name like "tx-*"`: clusters whose whole name fits; `*` is any text, `?` one character."""

    pattern: str
    span: Span = field(default=_NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Labelled:
    """`size = large`, `size in (large, xl)`, `/m/size/large`: one of the label's values is one of these."""

    key: str
    values: tuple[str, ...]
    span: Span = field(default=_NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class HasLabel:
    """`has(camera)`: the label is there, with whatever value."""

    key: str
    span: Span = field(default=_NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Compared:
    """`lanes >= 2`: one of the label's values is a decimal number for which this holds. `number` is normalised text."""

    key: str
    operator: str
    number: str
    span: Span = field(default=_NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class LabelLike:
    """`grill like "Acme*"`: one of the label's values fits; `*` is any text, `?` one character."""

    key: str
    pattern: str
    span: Span = field(default=_NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Not:
    """`not x`: every cluster that exists but those of `x`."""

    operand: Expression
    span: Span = field(default=_NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class And:
    """`x and y`: at least two operands."""

    operands: tuple[Expression, ...]
    span: Span = field(default=_NOWHERE, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Or:
    """`x or y`: at least two operands."""

    operands: tuple[Expression, ...]
    span: Span = field(default=_NOWHERE, compare=False, repr=False)


Term: TypeAlias = (
    Nothing | Everything | InGroup | InNamespace | Named | NameLike | Labelled | HasLabel | Compared | LabelLike
)
Expression: TypeAlias = Term | Not | And | Or


def terms_of(expression: Expression) -> Iterator[Term]:
    """Yield the terms (everything but `not`, `and`, `or`), from left to right."""
    waiting: list[Expression] = [expression]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Not):
            waiting.append(node.operand)
        elif isinstance(node, And | Or):
            waiting.extend(reversed(node.operands))
        else:
            yield node


def negates(expression: Expression) -> bool:
    """Whether a `not` stands anywhere in it: whether clusters match by what they lack."""
    if isinstance(expression, Not):
        return True
    return isinstance(expression, And | Or) and any(negates(operand) for operand in expression.operands)


@dataclass(frozen=True, slots=True)
class References:
    """What an expression names: group paths, namespaces, cluster names and label keys."""

    groups: frozenset[str]
    namespaces: frozenset[str]
    clusters: frozenset[str]
    label_keys: frozenset[str]


def references(expression: Expression) -> References:
    """Return everything that `expression` names."""
    terms = list(terms_of(expression))
    return References(
        groups=frozenset(t.path for t in terms if isinstance(t, InGroup)),
        namespaces=frozenset(t.name for t in terms if isinstance(t, InNamespace)),
        clusters=frozenset(name for t in terms if isinstance(t, Named) for name in t.names),
        label_keys=frozenset(t.key for t in terms if isinstance(t, Labelled | HasLabel | Compared | LabelLike)),
    )
