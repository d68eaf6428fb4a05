"""Shared rendering of policy's documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from libs.contracts.names import API_VERSION, nearest
from libs.contracts.refusals import Invalid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libs.contracts.inventory import Labels


def saying(**fields: Any) -> dict[str, Any]:
    """Return the fields that are not empty."""
    return {name: value for name, value in fields.items() if value}


def document(kind: str, name: str, labels: Labels, spec: dict[str, Any]) -> dict[str, Any]:
    """Return a whole document."""
    metadata: dict[str, Any] = {"name": name}
    if labels:
        metadata["labels"] = labels
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}


def one_of(text: str, known: Sequence[str], pointer: str) -> str:
    """Return `text` if it is one of some words.

    Raises:
        Invalid: it is not one of them; with the nearest.
    """
    if text in known:
        return text
    near = nearest(text.lower(), known)
    fix = f"did you mean {near!r}?" if near else f"write one of {', '.join(known)}"
    raise Invalid(f"{text[:80]!r} is not known here", pointer=pointer, fix=fix, nearest=near)
