"""Who a verified token belongs to, and which names people may have.

The one rule: a name is the identity. A person from the identity provider and one with a local token are the same person
if they have the same name, so no person gets the name of a service account or of one of our processes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from libs.contracts.people import person_name

__all__ = ["GROUPS_FIX", "Principal", "person_name"]

GROUPS_FIX = (
    "let the provider put fewer groups, or its application roles, into the token (RESEDGE_OIDC_GROUPS_CLAIM names the "
    "claim), or bind the role to the person"
)
"""What to do if a token does not list its owner's groups."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody whose token was verified.

    `roles` are built-in ones, which a token of the token file holds itself; `groups` come from the identity provider or
    stand in a local token. `token_id`, `creator` (who made this token for somebody else; empty: nobody did) and
    `expires` say which token it was: two principals are equal if they are the same person with the same rights.
    `groups_unknown` is a text that says which groups do not count, and why; empty: the token lists all of them.
    """

    name: str
    roles: frozenset[str]
    groups: frozenset[str] = frozenset()
    token_id: str = field(default="", compare=False)
    creator: str = field(default="", compare=False)
    service_account: bool = field(default=False, compare=False)
    expires: datetime | None = field(default=None, compare=False)
    groups_unknown: str = field(default="", compare=False)
