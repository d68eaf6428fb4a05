"""Expression → clusters, within a given set of them.

Everything is evaluated within a set: the whole fleet for a question, the few clusters that changed for an update. The
one rule: the answer for a cluster never depends on which other clusters are in the set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

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

if TYPE_CHECKING:
    from collections.abc import Callable

    from libs.selection.labels import LabelColumns
    from libs.selection.names import Names

_VALUES_BY_BITMAP_MAX = 8


class EvaluatedFacts(Protocol):
    """The facts that evaluation reads."""

    names: Names
    labels: LabelColumns
    node_members: dict[NodeKey, BitMap]

    @property
    def everything(self) -> BitMap:
        """The clusters that exist."""


def evaluate(expression: Expression, within: BitMap, facts: EvaluatedFacts) -> BitMap:
    """Return those of `within` (clusters that exist) that `expression` selects. May return `within` itself."""
    return _BY_KIND[type(expression)](expression, within, facts)


def named(names: tuple[str, ...], known: Names) -> BitMap:
    """Return the ordinals ever given to `names`; a name never seen does not count."""
    ordinals = known.ordinals
    return BitMap([ordinals[name] for name in names if name in ordinals])


def _and(expression: And, within: BitMap, facts: EvaluatedFacts) -> BitMap:
    for operand in expression.operands:
        if not within:
            break
        within = _BY_KIND[type(operand)](operand, within, facts)
    return within


def _or(expression: Or, within: BitMap, facts: EvaluatedFacts) -> BitMap:
    found, left = BitMap(), within
    for operand in expression.operands:
        part = _BY_KIND[type(operand)](operand, left, facts)
        found |= part
        left = left - part
        if not left:
            break
    return found


def _not(expression: Not, within: BitMap, facts: EvaluatedFacts) -> BitMap:
    return within - evaluate(expression.operand, within, facts)


def _labelled(term: Labelled, within: BitMap, facts: EvaluatedFacts) -> BitMap:
    column = facts.labels.columns.get(term.key)
    if column is None:
        return BitMap()
    if len(term.values) == 1:
        return column.bitmap(term.values[0]) & within
    if len(term.values) > _VALUES_BY_BITMAP_MAX:
        return column.matching(term, within)
    return BitMap.union(*[column.bitmap(value) & within for value in term.values])


def _by_predicate(term: Compared | LabelLike, within: BitMap, facts: EvaluatedFacts) -> BitMap:
    column = facts.labels.columns.get(term.key)
    return column.matching(term, within) if column is not None else BitMap()


def _has(term: HasLabel, within: BitMap, facts: EvaluatedFacts) -> BitMap:
    return facts.labels.bitmap(term.key, None) & within


def _in_group(term: InGroup, within: BitMap, facts: EvaluatedFacts) -> BitMap:
    members = facts.node_members.get(NodeKey("group", term.path))
    return members & within if members is not None else BitMap()


def _in_namespace(term: InNamespace, within: BitMap, facts: EvaluatedFacts) -> BitMap:
    members = facts.node_members.get(NodeKey("namespace", term.name))
    return members & within if members is not None else BitMap()


_BY_KIND: dict[type[Expression], Callable[[Any, BitMap, EvaluatedFacts], BitMap]] = {
    And: _and,
    Or: _or,
    Not: _not,
    Labelled: _labelled,
    Compared: _by_predicate,
    LabelLike: _by_predicate,
    HasLabel: _has,
    InGroup: _in_group,
    InNamespace: _in_namespace,
    Named: lambda term, within, facts: named(term.names, facts.names) & within,
    NameLike: lambda term, within, facts: facts.names.like(term.pattern) & within,
    Everything: lambda _term, within, _facts: within,
    Nothing: lambda _term, _within, _facts: BitMap(),
}
