"""A declared kind: everything that is needed to execute the commands of a declared thing.

A kind is registered in `libs.kinds`; its service writes its domain and one `DeclaredKind`. PUT, GET, DELETE, lists,
counts, dry runs, idempotency and conditional requests follow from them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from pyroaring import BitMap

from libs.contracts import Event, stream_id
from libs.contracts.absent import Absent
from libs.contracts.names import check_name
from libs.contracts.refusals import Invalid
from libs.fleet import Fleet
from libs.kinds import Kind
from libs.kinds.categories import categories_read

C = TypeVar("C")
S = TypeVar("S")

ABSENT: Any = Absent()
"""The state of a thing that is not declared, for every union of states."""

Make = Callable[[str, datetime], C]
"""(actor, instant) → the command; the result of parsing a document."""


def no_warnings(_command: Any, _facts: Fleet) -> list[str]:
    """Return no warnings: most kinds have none."""
    return []


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredKind(Generic[C, S]):
    """One kind of declared things; `C` is the union of its commands, `S` of its states.

    `registered` is its registration, which gives it its words. `declared` is the event that declares a thing, whole: it
    is the thing's state. `removed` is the event that takes the thing back (none where it is emptied instead).
    `parse` reads a document and the name in the URL into a maker of the declaring command (the name is `None` where the
    document alone names it); it raises `Invalid`. `remove` makes the removing command. `to_document` renders what was
    last declared. `besides` are the categories whose facts `decide` reads besides those that follow from the
    registration: what its documents refer to, and what refers to them. `guards` is for a kind most of whose commands
    read none: a function of (command, state) that takes the place of both.
    `clusters_to_names` turns selected clusters into names of this kind, and is what makes `where` possible.
    `greedy` lets the whole rest of the URL be the name (a path, or a name that is to be refused as a name rather than
    not found); it is off where routes lie below the name.
    """

    registered: Kind
    declared: type[S]
    parse: Callable[[Any, str | None], tuple[str, Make[C]]]
    remove: Callable[[str, str, datetime], C]
    decide: Callable[[C, S, Fleet], Sequence[Event]]
    to_document: Callable[[Event, Fleet], dict[str, Any]]
    removed: type | None = None
    besides: tuple[str, ...] = ()
    guards: Callable[[C, S], tuple[str, ...]] | None = None
    warnings: Callable[[C, Fleet], list[str]] = no_warnings
    clusters_to_names: Callable[[Fleet, BitMap], Iterable[str]] | None = None
    greedy: bool = True
    schema: Mapping[str, Any] | None = None

    @property
    def kind(self) -> str:
        """Return how documents and roles name it."""
        return self.registered.right

    @property
    def plural(self) -> str:
        """Return the prefix of its routes."""
        return self.registered.plural

    @property
    def category(self) -> str:
        """Return the category of its streams."""
        return self.registered.streams

    @property
    def named_by(self) -> str:
        """Return the field of `metadata` that names a document."""
        return self.registered.named_by

    def stream(self, name: str) -> str:
        """Return the stream of one thing."""
        return stream_id(self.category, name)

    def evolve(self, state: S, event: Event) -> S:
        """Return the thing after `event`; an event about something else leaves it unchanged."""
        if isinstance(event, self.declared):
            return event
        if self.removed is not None and isinstance(event, self.removed):
            absent: S = ABSENT
            return absent
        return state

    def guarded_by(self, command: C, state: S) -> tuple[str, ...]:
        """Return the categories that must have no new event when the decision is appended."""
        if self.guards is not None:
            return self.guards(command, state)
        return tuple(dict.fromkeys((*categories_read(self.registered), *self.besides)))

    def name_in_url(self, rest: str) -> str:
        """Return the name that the URL means: a group's path is written there without its leading slash."""
        return f"/{rest}" if self.registered.is_path else rest

    def is_name(self, name: str) -> bool:
        """Tell whether a thing of this kind can have this name; reading an impossible name is just not found."""
        if self.registered.is_path:
            return True
        try:
            check_name(name)
        except Invalid:
            return False
        return True
