"""Errors of an expression, each with its place in the text.

Positions are 0-based character offsets into the expression's text; `caret` draws them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(eq=False)
class SelectionError(Exception):
    """An expression cannot be used: the sentence for the user, where, and the nearest thing that would have worked."""

    message: str
    position: int | None = None
    nearest: str | None = None
    code: str = "invalid-expression"

    def __str__(self) -> str:
        place = "" if self.position is None else f" at position {self.position}"
        hint = "" if self.nearest is None else f"; did you mean {self.nearest}?"
        return f"{self.message}{place}{hint}"

    def caret(self, text: str) -> str:
        """Return `text` with a caret below the place, for a terminal; the message alone where there is no place."""
        return f"{caret(text, self.position)}\n{self}" if self.position is not None else str(self)


@dataclass(eq=False)
class UnknownName(SelectionError):  # noqa: N818  (a refusal states the fact)
    """An expression names a group, namespace, label key or cluster that does not exist; `kind` says which."""

    code: str = "unknown-reference"
    kind: str = ""
    name: str = ""


@dataclass(eq=False)
class ReferenceCycle(SelectionError):  # noqa: N818  (a refusal states the fact)
    """A group or namespace would reach itself; `path` lists the terms from it back to it."""

    code: str = "cycle"
    path: tuple[str, ...] = ()


def unknown_name(kind: str, name: str, position: int, nearest: str | None) -> UnknownName:
    """Return the refusal of a name that does not exist."""
    return UnknownName(f"there is no {kind} {name}", position, nearest, kind=kind, name=name)


def cycle(path: tuple[str, ...], position: int | None = None) -> ReferenceCycle:
    """Return the refusal of a cycle; `path` begins and ends with the same thing."""
    return ReferenceCycle(f"this would be a cycle: {' → '.join(path)}", position, path=path)


_WIDTH = 100


def caret(text: str, position: int) -> str:
    """Return the line of `text` that holds `position` (at most 100 characters of it) and a caret below the place."""
    start = text.rfind("\n", 0, position) + 1
    end = text.find("\n", position)
    line, at = text[start : end if end >= 0 else len(text)], position - start
    if len(line) > _WIDTH:
        cut = max(0, min(at - _WIDTH // 2, len(line) - _WIDTH))
        line, at = line[cut : cut + _WIDTH], at - cut
    shown = "".join(c if c.isprintable() else " " for c in line)
    return f"{shown}\n{' ' * at}^"
