"""The reasons of the next decision: the facts since the last one, by type, and their authors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from libs.contracts import category_of
from services.rendering.observing import Causes

if TYPE_CHECKING:
    from libs.contracts import Recorded

_REASONS_MAX = 20
_SHOWN = 3
ANSWERS = frozenset({"approval", "override", "hold"})
"""Categories of answers: a person who votes, or starts an override, is not an author of a change."""


@dataclass(slots=True)
class _Kind:
    """Events of one type since the last decision."""

    count: int = 0
    first: int = 0
    last: int = 0
    streams: list[str] = field(default_factory=list)

    def line(self, name: str) -> str:
        """Return them as a line of text."""
        shown = ", ".join(self.streams)
        more = f" and {self.count - len(self.streams)} more" if self.count > len(self.streams) else ""
        where = f"position {self.first}" if self.first == self.last else f"positions {self.first} to {self.last}"
        return f"{name} {shown}{more} ({where})"


@dataclass(slots=True)
class Reasons:
    """The facts since the last decision, by type, and their authors; `fresh` are those since the last evaluation."""

    kinds: dict[str, _Kind] = field(default_factory=dict)
    actors: dict[str, None] = field(default_factory=dict)
    fresh: set[str] = field(default_factory=set)
    causes: Causes = field(default_factory=Causes)
    position: int = 0

    def note(self, recorded: Recorded) -> None:
        """Record a fact as a possible reason for the next decision."""
        kind = self.kinds.setdefault(type(recorded.event).__name__, _Kind(first=recorded.position))
        kind.count += 1
        kind.last = recorded.position
        if len(kind.streams) < _SHOWN and recorded.stream not in kind.streams:
            kind.streams.append(recorded.stream)
        category = category_of(recorded.stream)
        if category != "approval":  # a voter is not an author: a decision names them as approvers
            self.actors[recorded.actor] = None
        if category not in ANSWERS:
            self.fresh.add(recorded.actor)
        self.causes.note(recorded)
        self.position = recorded.position

    def taken(self, position: int) -> None:
        """Start again: a decision as of `position` was made."""
        self.causes.taken(position)
        if self.position <= position:
            self.kinds.clear()
            self.actors.clear()

    def lines(self) -> list[str]:
        """Return one line for each type of fact."""
        return [kind.line(name) for name, kind in sorted(self.kinds.items())][:_REASONS_MAX]
