"""The canonical text of an expression: flattened, operands sorted, duplicates and double negation removed.

Equal canonical text means equal selection on every fleet; the text parses to the tree that it was made from.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from libs.selection.expression import (
    KEYWORDS,
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

if TYPE_CHECKING:
    from collections.abc import Callable

_BARE = re.compile(r"-?[A-Za-z0-9][A-Za-z0-9._:/+-]*", re.ASCII)


def canonical(expression: Expression) -> str:
    """Return the canonical text: `parse(canonical(e)) == canonicalise(e)`."""
    return text_of(canonicalise(expression))


def canonicalise(expression: Expression) -> Expression:
    """Return the canonical tree of `expression`; places are kept."""
    match expression:
        case Not(operand, span):
            inner = canonicalise(operand)
            return inner.operand if isinstance(inner, Not) else Not(inner, span)
        case And(operands, span) | Or(operands, span):
            kind = type(expression)
            found: dict[str, Expression] = {}
            for operand in operands:
                inner = canonicalise(operand)
                for part in inner.operands if isinstance(inner, kind) else (inner,):
                    found.setdefault(text_of(part), part)
            kept = tuple(found[text] for text in sorted(found))
            return kept[0] if len(kept) == 1 else kind(kept, span)
        case Labelled(key, values, span):
            return Labelled(key, tuple(sorted(set(values))), span)
        case Named(names, span, places):
            at = dict(zip(reversed(names), reversed(places), strict=False))
            kept_names = tuple(sorted(set(names)))
            return Named(kept_names, span, tuple(at.get(name, span[0]) for name in kept_names))
        case _:
            return expression


def text_of(expression: Expression) -> str:
    """Return the text of a tree as it stands, without reordering."""
    match expression:
        case Or(operands):
            return " or ".join(text_of(operand) for operand in operands)
        case And(operands):
            return " and ".join(_guarded(operand, Or) for operand in operands)
        case Not(Labelled(key, values)):
            return _labelled(key, values, "!=", "not in")
        case Not(operand):
            return f"not {_guarded(operand, And, Or)}"
        case Labelled(key, values):
            return _labelled(key, values, "=", "in")
        case _:
            return _TERMS[type(expression)](expression)


def _guarded(expression: Expression, *kinds: type[And | Or]) -> str:
    text = text_of(expression)
    return f"({text})" if isinstance(expression, kinds) else text


def _labelled(key: str, values: tuple[str, ...], one: str, many: str) -> str:
    if len(values) == 1:
        return f"{_word(key)} {one} {_word(values[0])}"
    return f"{_word(key)} {many} ({', '.join(map(_word, values))})"


def _word(text: str) -> str:
    return text if _BARE.fullmatch(text) and text not in KEYWORDS else _quoted(text)


def _quoted(text: str) -> str:
    """Return `text` as a JSON string in which everything that does not print is escaped."""
    if text.isprintable():
        return json.dumps(text, ensure_ascii=False)
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in json.dumps(text, ensure_ascii=False))


def _named(names: tuple[str, ...]) -> str:
    return f"/c/{names[0]}" if len(names) == 1 else f"name in ({', '.join(names)})"


_TERMS: dict[type[Expression], Callable[[Any], str]] = {
    InGroup: lambda term: f"/g{term.path}",
    InNamespace: lambda term: f"/n/{term.name}",
    Named: lambda term: _named(term.names),
    HasLabel: lambda term: f"has({_word(term.key)})",
    Compared: lambda term: f"{_word(term.key)} {term.operator} {term.number}",
    LabelLike: lambda term: f"{_word(term.key)} like {_quoted(term.pattern)}",
    NameLike: lambda term: f"name like {_quoted(term.pattern)}",
    Everything: lambda _: "/c/*",
    Nothing: lambda _: "none",
}
