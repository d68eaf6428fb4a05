"""Whether one expression can ever select a cluster that another one does not.

The one rule: the answer is yes only if it holds on every fleet, whatever is labelled, grouped or declared later. A
person whose rights end at some clusters must not declare an expression that merely selects no others today.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from pyroaring import BitMap

from libs.selection import Expression, Selection
from libs.selection.expression import And, Everything, InGroup, Labelled, Named, Nothing, Or


def within(expressions: Iterable[Expression], bounds: Collection[Expression], own: BitMap, names: Selection) -> bool:
    """Tell whether the intersection of `expressions` is, on every fleet, a subset of what one of `bounds` selects.

    Clusters that are named one by one must be among `own`.
    """
    return any(_within(each, bounds, own, names) for each in expressions)


def _within(expression: Expression, bounds: Collection[Expression], own: BitMap, names: Selection) -> bool:
    if isinstance(expression, Or):
        return all(_within(each, bounds, own, names) for each in expression.operands)
    if any(implies(expression, bound) for bound in bounds) or _named_own(expression, own, names):
        return True
    return isinstance(expression, And) and any(_within(each, bounds, own, names) for each in expression.operands)


def implies(expression: Expression, bound: Expression) -> bool:
    """Tell whether every cluster that `expression` selects is one that `bound` selects, on every fleet."""
    if expression == bound or isinstance(bound, Everything) or isinstance(expression, Nothing):
        return True
    if isinstance(expression, Or):
        return all(implies(each, bound) for each in expression.operands)
    if isinstance(bound, And):
        return all(implies(expression, each) for each in bound.operands)
    if isinstance(bound, Or) and any(implies(expression, each) for each in bound.operands):
        return True
    if isinstance(expression, And):
        return any(implies(each, bound) for each in expression.operands)
    return _narrower(expression, bound)


def _narrower(term: Expression, bound: Expression) -> bool:
    match term, bound:
        case InGroup(path), InGroup(above):
            return path.startswith(f"{above}/")
        case Labelled(key, values), Labelled(other, wider):
            return key == other and set(values) <= set(wider)
        case Named(names), Named(others):
            return set(names) <= set(others)
    return False


def _named_own(expression: Expression, own: BitMap, names: Selection) -> bool:
    if not isinstance(expression, Named):
        return False
    found = [names.ordinal(name) for name in expression.names]
    return all(each is not None and each in own for each in found)
