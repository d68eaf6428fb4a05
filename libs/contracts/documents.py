"""What can be declared by a document: the kinds, who decides about each, and what one call may hold.

The one rule: a kind is listed here once, in the order in which kinds usually refer to each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DECIDED_BY: Mapping[str, str] = {
    "Store": "inventory",
    "Group": "grouping",
    "Role": "policy",
    "SignOff": "policy",
    "Namespace": "catalog",
    "Application": "catalog",
    "Configuration": "catalog",
    "Calendar": "policy",
    "Freeze": "policy",
    "PlacementPolicy": "policy",
    "RoleBinding": "policy",
    "Source": "relay",
}
"""Kind → the service that decides about its documents."""

DOCUMENTS_MAX = 100_000
DOCUMENTS_BYTES_MAX = 64 * 1024 * 1024
"""What one call takes, as one transaction."""


def names_of(document: Any) -> tuple[str, str]:
    """Return a document's kind, and its name as written (a group's path without slashes around it); empty: none."""
    if not isinstance(document, Mapping):
        return "", ""
    kind, metadata = document.get("kind"), document.get("metadata")
    name = metadata.get("path" if kind == "Group" else "name") if isinstance(metadata, Mapping) else None
    return kind if isinstance(kind, str) else "", name.strip("/") if isinstance(name, str) else ""
