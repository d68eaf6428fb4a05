"""Expression → clusters, within a given set of them.

Everything is evaluated within a set: the whole fleet for a question, the few clusters that changed for an update. The one
rule: the answer for a cluster never depends on which other clusters are in the set.
"""

from __future__ import annotations

from typing import Protocol

from pyroaring import BitMap

from libs.selection.expression import (
    And,
    Compared,
    Everything,
    Expression,
    HasLabel,
    InGroup,
    InNamespace,
    Labelled,
    LabelLike,
    Named,
    NameLike,
    Not,
    Nothing,
    Or,
)
from libs.selection.graph import NodeKey
from libs.selection.labels import Labels
from libs.selection.names import Names

_VALUES_BY_BITMAP_MAX = 8


class Facts(Protocol):
    """What evaluation reads."""

    names: Names
    labels: Labels
    node_members: dict[NodeKey, BitMap]

    @property
    def everything(self) -> BitMap: ...


def evaluate(expression: Expression, within: BitMap, facts: Facts) -> BitMap:
    """Return those of `within` (clusters that exist) that `expression` selects. May return `within` itself."""
    match expression:
        case Labelled(key, values):
            return _labelled(expression, key, values, within, facts.labels)
        case And(operands):
            for operand in operands:
                if not within:
                    break
                within = evaluate(operand, within, facts)
            return within
        case Or(operands):
            found, left = BitMap(), within
            for operand in operands:
                part = evaluate(operand, left, facts)
                found |= part
                left = left - part
                if not left:
                    break
            return found
        case Not(operand):
            return within - evaluate(operand, within, facts)
        case _:
            return _term(expression, within, facts)


def _term(expression: Expression, within: BitMap, facts: Facts) -> BitMap:
    match expression:
        case InGroup(path):
            return _members(NodeKey("group", path), within, facts)
        case InNamespace(name):
            return _members(NodeKey("namespace", name), within, facts)
        case HasLabel(key):
            return facts.labels.bitmap(key, None) & within
        case Compared(key) | LabelLike(key):
            column = facts.labels.columns.get(key)
            return column.matching(expression, within) if column is not None else BitMap()
        case Named(names):
            return named(names, facts.names) & within
        case NameLike(pattern):
            return facts.names.like(pattern) & within
        case Everything():
            return within
        case Nothing():
            return BitMap()
        case _:
            raise TypeError(f"not an expression: {expression!r}")


def _members(key: NodeKey, within: BitMap, facts: Facts) -> BitMap:
    members = facts.node_members.get(key)
    return members & within if members is not None else BitMap()


def named(names: tuple[str, ...], known: Names) -> BitMap:
    """Return the ordinals ever given to `names`; a name never seen does not count."""
    ordinals = known.ordinals
    return BitMap([ordinals[name] for name in names if name in ordinals])


def _labelled(term: Labelled, key: str, values: tuple[str, ...], within: BitMap, labels: Labels) -> BitMap:
    if len(values) == 1:
        return labels.bitmap(key, values[0]) & within
    column = labels.columns.get(key)
    if column is None:
        return BitMap()
    if len(values) > _VALUES_BY_BITMAP_MAX:
        return column.matching(term, within)
    return BitMap.union(*[column.bitmap(value) for value in values]) & within
