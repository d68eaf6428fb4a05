"""Why an expression selects a cluster or not: every term, whether it holds, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyroaring import BitMap

from libs.selection.canonical import text_of
from libs.selection.evaluate import EvaluatedFacts, evaluate
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
    Term,
    terms_of,
)

if TYPE_CHECKING:
    from libs.selection.column import LabelValue


@dataclass(frozen=True, slots=True)
class Explanation:
    """`terms`: (text of the term, whether it holds for the cluster, what the cluster has); never empty."""

    holds: bool
    terms: tuple[tuple[str, bool, str], ...]


def explain(expression: Expression, ordinal: int, facts: EvaluatedFacts) -> Explanation:
    """Explain `expression` for an ordinal that was given; a cluster that is gone is selected by nothing."""
    within = BitMap([ordinal]) & facts.everything
    holds = bool(evaluate(expression, within, facts))
    terms = []
    for term in terms_of(expression):
        held = bool(evaluate(term, within, facts))
        why = _why(term, held, ordinal, facts) if within else f"{facts.names.texts[ordinal]} no longer exists"
        terms.append((text_of(term), held, why))
    return Explanation(holds, tuple(terms))


def _why(term: Term, held: bool, ordinal: int, facts: EvaluatedFacts) -> str:
    name, verb = facts.names.texts[ordinal], "is" if held else "is not"
    match term:
        case Labelled(key) | HasLabel(key) | Compared(key) | LabelLike(key):
            why = _label(key, name, facts.labels.labels_of(ordinal).get(key))
        case InGroup(path):
            why = f"{name} {verb} a member of the group {path}"
        case InNamespace(namespace):
            why = f"{name} {verb} in the namespace {namespace}"
        case Named() | NameLike():
            why = f"the name is {name}"
        case Everything():
            why = "every cluster is selected"
        case _:
            why = "no cluster is selected"
    return why


def _label(key: str, name: str, value: LabelValue | None) -> str:
    if value is None:
        return f"{name} has no label {key}"
    return f"{key} is {value if isinstance(value, str) else ', '.join(value)}"
