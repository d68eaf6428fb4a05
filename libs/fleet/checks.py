"""The checks that deciders of every service share: references and saved expressions.

The references of a saved expression must exist when it is declared, and only then; an expression that is in force stays
valid after a referenced thing was removed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from libs.contracts.names import nearest
from libs.contracts.refusals import Cycle, Invalid, SelectsNothing, StillReferenced, UnknownReference
from libs.fleet.parts import parsed
from libs.selection import Expression, SelectionError, UnknownName, canonical
from libs.selection import ReferenceCycle as ReachesItself
from libs.selection.checking import A_LABEL_KEY

if TYPE_CHECKING:
    from libs.fleet.fleet import Fleet


class InvalidExpression(Invalid):
    """The expression cannot be read."""

    code = "invalid-expression"


def unknown(kind: str, name: str, pointer: str | None, known: Iterable[str]) -> UnknownReference:
    """Return the refusal for a reference to something that does not exist, with the nearest existing name."""
    return nearly(kind, name, pointer, nearest(name, known))


def read_expression(text: str, pointer: str = "/spec/expression") -> Expression:
    """Return the expression that a document holds.

    Raises:
        InvalidExpression: it cannot be parsed; with the position and, if there is one, the nearest name.
    """
    try:
        return parsed(text)
    except SelectionError as problem:
        raise InvalidExpression(
            problem.message, pointer=pointer, position=problem.position, nearest=problem.nearest
        ) from None


def check_expression(
    expression: Expression,
    facts: Fleet,
    *,
    pointer: str = "/spec/expression",
    inside: tuple[Literal["group", "namespace"], str] | None = None,
    allow_empty: bool = False,
    may_select_nothing: bool = False,
) -> None:
    """Refuse an expression that cannot be saved; `inside` is the group or namespace that it defines.

    `allow_empty` is the document's flag: the expression may then also use labels that no cluster carries yet. An
    expression without such a flag, with `may_select_nothing`, may name only existing things.

    Raises:
        UnknownReference, Cycle, SelectsNothing: why not.
    """
    text = canonical(expression)
    try:
        facts.selection.check(expression, inside=inside, labels_may_come=allow_empty)
    except UnknownName as problem:
        if problem.kind == A_LABEL_KEY:
            raise _no_label(problem, pointer, flag=not may_select_nothing) from None
        raise nearly(problem.kind, problem.name, pointer, problem.nearest, problem.position) from None
    except ReachesItself as problem:
        raise Cycle(
            f"the expression reaches what it defines: {' → '.join(problem.path)}",
            pointer=pointer,
            fix="let the expression select by labels or by groups that do not lead back here",
            cycle=list(problem.path),
        ) from None
    if not (allow_empty or may_select_nothing) and text != "none" and not facts.selection.select(expression):
        raise SelectsNothing(
            f"{text!r} selects no cluster",
            pointer=pointer,
            fix="correct it, or say allow_empty: true beside it",
        )


def _no_label(problem: UnknownName, pointer: str, *, flag: bool) -> UnknownReference:
    """Return the refusal of a label key that no cluster carries; `flag`: the document may set `allow_empty`."""
    ways = [f"did you mean {problem.nearest!r}?"] if problem.nearest else []
    ways.append(f"label a store with it first (resedge label stores -l EXPRESSION {problem.name}=VALUE)")
    if flag:
        ways.append("or say allow_empty: true beside the expression if the label comes later")
    return UnknownReference(
        f"no cluster carries the label {problem.name!r} yet",
        pointer=pointer,
        fix="; ".join(ways),
        nearest=problem.nearest,
        position=problem.position,
    )


def check_unreferenced(kind: str, name: str, referrers: Sequence[str]) -> None:
    """Refuse to delete a thing that others refer to.

    Raises:
        StillReferenced: `referrers` is not empty.
    """
    if referrers:
        raise StillReferenced(
            f"the {kind} {name!r} is referred to by {some(referrers)}",
            fix="change or delete these first",
            referrers=list(referrers),
        )


def check_signoff(name: str | None, facts: Fleet, pointer: str = "/spec/signoff") -> None:
    """Refuse a sign-off process that is not declared.

    Raises:
        UnknownReference: with the nearest that is.
    """
    if name is not None and name not in facts.policy.signoffs:
        raise unknown("sign-off", name, pointer, facts.policy.signoffs)


def some(names: Sequence[str], shown: int = 3) -> str:
    """Return the first few of `names` as text, with how many more there are."""
    listed = ", ".join(names[:shown])
    return listed if len(names) <= shown else f"{listed} and {len(names) - shown} more"


def nearly(
    kind: str, name: str, pointer: str | None, near: str | None, position: int | None = None
) -> UnknownReference:
    """Return the refusal for a reference to something that does not exist; `near` is what may have been meant."""
    return UnknownReference(
        f"there is no {kind} {name!r}",
        pointer=pointer,
        fix=f"did you mean {near!r}?" if near else f"declare the {kind} first",
        nearest=near,
        position=position,
    )
