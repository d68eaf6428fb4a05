"""The kinds of documents: which service decides about each, and the limits of one call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from libs.kinds import BY_DOCUMENT

DECIDED_BY: Mapping[str, str] = {name: kind.service for name, kind in BY_DOCUMENT.items()}
"""Kind → the service that decides about its documents, in the order in which kinds usually refer to each other."""

DOCUMENTS_MAX = 100_000
DOCUMENTS_BYTES_MAX = 64 * 1024 * 1024
"""The limits of one call, which is one transaction."""


def names_of(document: Any) -> tuple[str, str]:
    """Return a document's kind, and its name as written (a group's path without slashes around it); empty: none."""
    if not isinstance(document, Mapping):
        return "", ""
    kind, metadata = document.get("kind"), document.get("metadata")
    registered = BY_DOCUMENT.get(kind) if isinstance(kind, str) else None
    key = "name" if registered is None else registered.named_by
    name = metadata.get(key) if isinstance(metadata, Mapping) else None
    return kind if isinstance(kind, str) else "", name.strip("/") if isinstance(name, str) else ""


def shown_name(kind: str, name: str) -> str:
    """Return a name from `names_of` as people write it: a group's path has its leading slash."""
    return BY_DOCUMENT[kind].shown(name) if kind in BY_DOCUMENT else name
