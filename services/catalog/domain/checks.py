"""What the catalog's deciders check alike: references and saved expressions.

The one rule to know: a saved expression's references must exist when it is declared, and only then; one that is already
in force stays valid after what it names has vanished.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from libs.contracts import encode
from libs.contracts.names import nearest
from libs.contracts.refusals import Cycle, Invalid, Rejected, SelectsNothing, StillReferenced, UnknownReference
from libs.selection import Cycle as ReachesItself
from libs.selection import SelectionError, UnknownName, canonical, parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from libs.contracts import Event
    from libs.fleet import Fleet
    from libs.selection import Expression

EVERYWHERE = canonical(parse("/c/*"))
"""The canonical expression that selects every cluster."""
EVENT_BYTES_MAX = 250_000
"""What a declared thing may come to as an event; the log takes 256 KiB."""


class InvalidExpression(Invalid):
    """The expression cannot be read."""

    code = "invalid-expression"


class ValuesInvalid(Rejected):
    """The values that an application would get do not fit the schema of its release."""

    code = "values-invalid"


@dataclass(frozen=True, slots=True)
class Absent:
    """Not declared: never, or not any more."""


def unknown(kind: str, name: str, pointer: str | None, known: Iterable[str]) -> UnknownReference:
    """Return the refusal for a reference to something that does not exist, with the nearest name that does."""
    return _unknown(kind, name, pointer, nearest(name, known))


def read_expression(text: str, pointer: str = "/spec/expression") -> Expression:
    """Return the expression that a document holds.

    Raises:
        InvalidExpression: it cannot be parsed; with the position and, if there is one, the nearest name.
    """
    try:
        return parse(text)
    except SelectionError as problem:
        raise InvalidExpression(
            problem.message, pointer=pointer, position=problem.position, nearest=problem.nearest
        ) from None


def check_expression(
    expression: Expression,
    facts: Fleet,
    *,
    pointer: str = "/spec/expression",
    namespace: str | None = None,
    allow_empty: bool = False,
) -> None:
    """Refuse an expression that cannot be saved; `namespace` is the one that it defines.

    Raises:
        UnknownReference, Cycle, SelectsNothing: why not.
    """
    text = canonical(expression)
    try:
        facts.selection.check(expression, inside=None if namespace is None else ("namespace", namespace))
    except UnknownName as problem:
        raise _unknown(problem.kind, problem.name, pointer, problem.nearest, problem.position) from None
    except ReachesItself as problem:
        raise Cycle(
            f"the expression reaches what it defines: {' → '.join(problem.path)}",
            pointer=pointer,
            fix="let the expression select by labels or by groups that do not lead back here",
            cycle=list(problem.path),
        ) from None
    if not allow_empty and text != "none" and not facts.selection.select(expression):
        raise SelectsNothing(
            f"{text!r} selects no cluster",
            pointer=pointer,
            fix="correct it, or say allow_empty: true beside it",
        )


def check_unreferenced(kind: str, name: str, referrers: Sequence[str]) -> None:
    """Refuse to delete what others refer to.

    Raises:
        StillReferenced: `referrers` is not empty.
    """
    if referrers:
        raise StillReferenced(
            f"the {kind} {name!r} is referred to by {some(referrers)}",
            fix="change or delete these first",
            referrers=list(referrers),
        )


def check_size(event: Event) -> None:
    """Refuse what would not fit an event.

    Raises:
        Invalid: it is larger than `EVENT_BYTES_MAX`.
    """
    if len(encode(event)) > EVENT_BYTES_MAX:
        raise Invalid(
            f"the document comes to more than {EVENT_BYTES_MAX:,} bytes",
            pointer="/spec",
            fix="divide it, or let an expression say what it lists",
        )


def some(names: Sequence[str], shown: int = 3) -> str:
    """Return the first few of `names` as text, with how many more there are."""
    listed = ", ".join(names[:shown])
    return listed if len(names) <= shown else f"{listed} and {len(names) - shown} more"


def _unknown(
    kind: str, name: str, pointer: str | None, near: str | None, position: int | None = None
) -> UnknownReference:
    return UnknownReference(
        f"there is no {kind} {name!r}",
        pointer=pointer,
        fix=f"did you mean {near!r}?" if near else f"declare the {kind} first",
        nearest=near,
        position=position,
    )
