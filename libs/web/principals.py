"""Who somebody is once a token was verified, and which names people may have.

The one rule: a name is the identity. A person who comes by the identity provider and one with a local token are the
same person if they have the same name, so nobody gets a name that a service account or a process of ours has.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime

PERSON = re.compile(r"[A-Za-z0-9][A-Za-z0-9._%+|@=~-]{0,199}")
"""No colon (idempotency keys are scoped by the name), no slash (`resedge/…` are processes of ours), no space."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody whose token was verified.

    `roles` are built-in ones, which a token of the token file holds itself; `groups` come from the identity provider
    or stand in a local token. `token_id`, `creator` (who made this token for somebody else; empty: nobody did) and
    `expires` say which token it was: two principals are equal if they are the same person with the same rights.
    """

    name: str
    roles: frozenset[str]
    groups: frozenset[str] = frozenset()
    token_id: str = field(default="", compare=False)
    creator: str = field(default="", compare=False)
    service_account: bool = field(default=False, compare=False)
    expires: datetime | None = field(default=None, compare=False)


def person_name(text: str) -> str | None:
    """Return the name of a person as it is kept (an e-mail address in lower case), or nothing if it cannot be one."""
    if not PERSON.fullmatch(text):
        return None
    return text.lower() if "@" in text else text
