"""The author of an event, and how the removal of a thing says its author and reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class By:
    """The author of an event: a person or service account, the token's id, the token's creator, the address."""

    person: str
    token: str = ""
    creator: str = ""
    address: str = ""


NOBODY = By("")
"""A process of ours, which acts without a token."""


def removed(what: str) -> Callable[[Any], str]:
    """Return the sentence of a removal, a format over the event's fields, with its reason if one was given."""

    def said(event: Any) -> str:
        named = what.format(name=getattr(event, "name", getattr(event, "path", "")))
        return f"removed {named}: {event.reason}" if event.reason else f"removed {named}"

    return said
