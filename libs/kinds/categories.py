"""The categories of the log whose facts a decision rests on, as far as the registrations of kinds tell.

A category is what the names of streams begin with. What a decider reads besides, it says itself, with its reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from libs.kinds.declared import DECLARED_KINDS
from libs.kinds.kind import Kind
from libs.kinds.read import READ_KINDS

PLACES = tuple(kind.streams for kind in DECLARED_KINDS if kind.clusters or kind.letter)
"""What expressions name, and where the facts of clusters are: stores, groups, namespaces."""
REFERRING = tuple(kind.streams for kind in (*DECLARED_KINDS, *READ_KINDS) if kind.expressions)
"""The categories whose facts may name a cluster, a group or a namespace in an expression."""
GIVING_RIGHTS = tuple(kind.streams for kind in DECLARED_KINDS if kind.gives_rights)
"""What gives people rights."""
OF_RIGHTS = (*GIVING_RIGHTS, *(kind.streams for kind in DECLARED_KINDS if kind.letter))
"""What a scope rests on, besides the stores themselves."""
OF_CATALOG = tuple(
    kind.streams for kind in (*DECLARED_KINDS, *READ_KINDS) if kind.service == "catalog" and kind.expressions
)
"""What decides where something of the catalog is placed."""
OF_GATES = tuple(
    kind.streams for kind in DECLARED_KINDS if kind.service == "policy" and kind.expressions and not kind.gives_rights
)
"""What keeps changes back on the clusters that it applies to: calendars, freezes, law."""

_CATEGORY = dict(
    chain(
        ((kind.document, kind.streams) for kind in DECLARED_KINDS),
        (("cluster", kind.streams) for kind in DECLARED_KINDS if kind.clusters),
    )
)
"""How a reference says its kind → the category of what it names."""


def _read(kind: Kind) -> Iterator[str]:
    if kind.expressions:
        yield from PLACES
    yield from (_CATEGORY[referred] for referred in kind.refers.values())
    if kind.letter:
        yield from REFERRING
    yield from (other.streams for other in DECLARED_KINDS if kind.document in other.refers.values())


def categories_read(kind: Kind) -> tuple[str, ...]:
    """Return the categories that are read to declare or remove a thing: what it refers to, and what refers to it."""
    return tuple(dict.fromkeys(_read(kind)))
