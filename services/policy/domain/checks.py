"""Checks that the deciders of policy share, besides those of all services (`libs.fleet.checks`).

The references of a document must exist when it is declared; an expression is kept in canonical form.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from libs.contracts.refusals import Invalid
from libs.fleet.checks import check_expression, read_expression, unknown
from libs.selection import canonical

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from libs.fleet import Fleet

TEXT_CHARACTERS_MAX = 1_000
APPLICATIONS_MAX = 1_000
CLUSTERS = "/spec/clusters"


def canonical_clusters(text: str) -> str:
    """Return the canonical form of a document's `clusters`.

    Raises:
        InvalidExpression: it cannot be read.
    """
    return canonical(read_expression(text, CLUSTERS))


def check_clusters(text: str, facts: Fleet, *, allow_empty: bool = False, may_select_nothing: bool = False) -> None:
    """Refuse `clusters` that name unknown things, or select nothing without `allow_empty`.

    Raises:
        UnknownReference, SelectsNothing: why not.
    """
    check_expression(
        read_expression(text, CLUSTERS),
        facts,
        pointer=CLUSTERS,
        allow_empty=allow_empty,
        may_select_nothing=may_select_nothing,
    )


def check_applications(names: Iterable[str], facts: Fleet, pointer: str = "/spec/applications") -> None:
    """Refuse applications that are not declared.

    Raises:
        UnknownReference: with the nearest that is.
    """
    for index, name in enumerate(names):
        if name not in facts.applications:
            raise unknown("application", name, f"{pointer}/{index}", facts.applications)


def check_text(text: str, pointer: str, characters_max: int = TEXT_CHARACTERS_MAX) -> str:
    """Return text that fits into a commit, a table and a log: one line, not blank, within bounds.

    Raises:
        Invalid: it cannot.
    """
    if not text.strip():
        raise Invalid("it is empty", pointer=pointer, fix="write a few words that others understand")
    if len(text) > characters_max:
        raise Invalid(f"it is longer than {characters_max:,} characters", pointer=pointer)
    if not text.isprintable():
        raise Invalid("it contains a line break or another control character", pointer=pointer, fix="write one line")
    return text


def check_distinct(values: Sequence[str], pointer: str, *, count_max: int) -> None:
    """Refuse a list that is too long, or has an item twice.

    Raises:
        Invalid: with the pointer of the second one.
    """
    if len(values) > count_max:
        raise Invalid(f"there are more than {count_max:,} of them", pointer=pointer)
    seen: set[str] = set()
    for index, value in enumerate(values):
        if value in seen:
            raise Invalid(f"{value[:80]!r} is named twice", pointer=f"{pointer}/{index}")
        seen.add(value)
