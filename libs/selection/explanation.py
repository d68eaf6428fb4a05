"""Why an expression selects a cluster or does not: every term of it, whether it holds, and because of what."""

from __future__ import annotations

from dataclasses import dataclass

from pyroaring import BitMap

from libs.selection.canonical import text_of
from libs.selection.evaluate import Facts, evaluate
from libs.selection.expression import (
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
    Nothing,
    Term,
    terms_of,
)


@dataclass(frozen=True, slots=True)
class Explanation:
    """`terms`: (text of the term, whether it holds for the cluster, what the cluster has); never empty."""

    holds: bool
    terms: tuple[tuple[str, bool, str], ...]


def explain(expression: Expression, ordinal: int, facts: Facts) -> Explanation:
    """Explain `expression` for an ordinal that was given; a cluster that is gone is selected by nothing."""
    within = BitMap([ordinal]) & facts.everything
    holds = bool(evaluate(expression, within, facts))
    terms = []
    for term in terms_of(expression):
        held = bool(evaluate(term, within, facts))
        why = _why(term, held, ordinal, facts) if within else f"{facts.names.texts[ordinal]} no longer exists"
        terms.append((text_of(term), held, why))
    return Explanation(holds, tuple(terms))


def _why(term: Term, held: bool, ordinal: int, facts: Facts) -> str:
    name = facts.names.texts[ordinal]
    match term:
        case Labelled(key) | HasLabel(key) | Compared(key) | LabelLike(key):
            value = facts.labels.labels_of(ordinal).get(key)
            if value is None:
                return f"{name} has no label {key}"
            return f"{key} is {value if isinstance(value, str) else ', '.join(value)}"
        case InGroup(path):
            return f"{name} is {'' if held else 'not '}a member of the group {path}"
        case InNamespace(namespace):
            return f"{name} is {'' if held else 'not '}in the namespace {namespace}"
        case Named() | NameLike():
            return f"the name is {name}"
        case Everything():
            return "every cluster is selected"
        case Nothing():
            return "no cluster is selected"
