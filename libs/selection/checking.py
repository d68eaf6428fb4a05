"""Whether all names in an expression exist, and if not, which ones were probably meant."""

from __future__ import annotations

import difflib
from bisect import bisect_left
from collections.abc import Collection, Container, Sequence
from typing import TYPE_CHECKING, Protocol

from libs.selection.errors import unknown_name
from libs.selection.expression import (
    Compared,
    Expression,
    HasLabel,
    InGroup,
    InNamespace,
    Labelled,
    LabelLike,
    Named,
    terms_of,
)

if TYPE_CHECKING:
    from libs.selection.names import Names

A_LABEL_KEY = "label key"
"""What `UnknownName` calls a key of labels."""

_COMPARED_MAX = 400
_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789-/._ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Existing(Protocol):
    """The facts that tell whether a name exists."""

    names: Names

    def ordinal(self, name: str) -> int | None:
        """The ordinal of a cluster that exists."""

    def group_exists(self, path: str) -> bool:
        """Whether a group exists."""

    def group_paths(self) -> list[str]:
        """All groups."""

    def namespace_exists(self, name: str) -> bool:
        """Whether a namespace exists."""

    def namespaces(self) -> list[str]:
        """All namespaces."""

    def has_label_key(self, key: str) -> bool:
        """Whether some cluster has the label."""

    def label_keys(self) -> list[str]:
        """All label keys."""


def check_names_exist(expression: Expression, existing: Existing, *, labels_may_come: bool = False) -> None:
    """Raise `UnknownName` for the first term that names what does not exist.

    With `labels_may_come` a label key that no cluster carries yet is none of these: nobody declares a key beforehand.
    """
    for term in terms_of(expression):
        place = term.span[0]
        match term:
            case InGroup(path) if not existing.group_exists(path):
                nearest = nearest_name(path, existing.group_paths())
                raise unknown_name("group", path, place, nearest)
            case InNamespace(name) if not existing.namespace_exists(name):
                raise unknown_name("namespace", name, place, nearest_name(name, existing.namespaces()))
            case Labelled(key) | HasLabel(key) | Compared(key) | LabelLike(key) if not (
                labels_may_come or existing.has_label_key(key)
            ):
                raise unknown_name(A_LABEL_KEY, key, place, nearest_name(key, existing.label_keys()))
            case Named(names, _, places):
                for at, name in enumerate(names):
                    if existing.ordinal(name) is None:
                        nearest = _nearest_cluster(name, existing)
                        raise unknown_name("cluster", name, places[at] if at < len(places) else place, nearest)
            case _:
                pass


class _Clusters(Container[str]):
    """The clusters that exist, asked one by one."""

    def __init__(self, existing: Existing) -> None:
        self.existing = existing

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.existing.ordinal(name) is not None


def _nearest_cluster(name: str, existing: Existing) -> str | None:
    return _nearest(name, _Clusters(existing), existing.names.in_order())


def nearest_name(name: str, names: Collection[str]) -> str | None:
    """Return the name most like `name`, if one is like it at all."""
    return _nearest(name, set(names), sorted(names))


def _nearest(name: str, existing: Container[str], in_order: Sequence[str]) -> str | None:
    """Look one typing error away first, then among the names that sort beside it: never at all of a large fleet."""
    for close in _one_error_away(name):
        if close in existing:
            return close
    at = bisect_left(in_order, name)
    beside = in_order[max(0, at - _COMPARED_MAX // 2) : at + _COMPARED_MAX // 2]
    found = difflib.get_close_matches(name, [other for other in beside if other in existing], 1, 0.6)
    return found[0] if found else None


def _one_error_away(name: str) -> list[str]:
    """Return what `name` is with one character swapped, left out, put in or replaced."""
    parts = [(name[:at], name[at:]) for at in range(len(name) + 1)]
    swapped = [a + b[1] + b[0] + b[2:] for a, b in parts if len(b) > 1]
    without = [a + b[1:] for a, b in parts if b]
    replaced = [a + c + b[1:] for a, b in parts if b for c in _ALPHABET]
    inserted = [a + c + b for a, b in parts for c in _ALPHABET]
    return [*swapped, *without, *replaced, *inserted]
