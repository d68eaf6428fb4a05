"""Events of access: roles, bindings, local tokens and denials.

The one rule: of a token, only its SHA-256 is ever in an event.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from libs.contracts.authors import NOBODY, By, removed
from libs.contracts.envelope import published
from libs.contracts.inventory import Labels
from libs.contracts.meaning import FLEET, counted


@dataclass(frozen=True, slots=True)
class RoleRule:
    """These verbs on these kinds; `*` is all of them."""

    verbs: list[str]
    kinds: list[str]


@published("policy", "declared role {name}", FLEET)
@dataclass(frozen=True, slots=True)
class RoleDeclared:
    """The rights of everybody who holds the role. Stream `role-<name>`."""

    name: str
    rules: list[RoleRule] = field(default_factory=list)
    labels: Labels = field(default_factory=dict)


@published("policy", removed("role {name}"), FLEET)
@dataclass(frozen=True, slots=True)
class RoleRemoved:
    """A role was removed."""

    name: str
    by: By = NOBODY
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RoleSubject:
    """Exactly one of them: a person, a group of the identity provider, a service account."""

    user: str = ""
    group: str = ""
    service_account: str = ""


@published("policy", "bound role {role} as {name}", FLEET, {"role": "role"})
@dataclass(frozen=True, slots=True)
class RoleBindingDeclared:
    """A subject holds a role on clusters (canonical expression; absent: all) and namespaces (empty: all).

    `expires` ends it. Stream `rolebinding-<name>`.
    """

    name: str
    role: str
    subjects: list[RoleSubject] = field(default_factory=list)
    clusters: str | None = None
    namespaces: list[str] = field(default_factory=list)
    expires: datetime | None = None
    labels: Labels = field(default_factory=dict)


@published("policy", removed("role binding {name}"), FLEET)
@dataclass(frozen=True, slots=True)
class RoleBindingRemoved:
    """A binding was removed."""

    name: str
    by: By = NOBODY
    reason: str = ""


@published("policy", "issued token {id} for {user}", FLEET)
@dataclass(frozen=True, slots=True)
class TokenIssued:
    """A local token for a person or service account; only its SHA-256 is kept. Stream `token-<id>`."""

    id: str
    user: str
    sha256: str
    expires_at: datetime
    by: By
    service_account: bool = False
    groups: list[str] = field(default_factory=list)
    reason: str = ""


@published("policy", "revoked token {id}", FLEET)
@dataclass(frozen=True, slots=True)
class TokenRevoked:
    """A local token is no longer accepted."""

    id: str
    reason: str
    by: By


def _denied(event: AccessDenied) -> str:
    return f"denied {event.actor} {counted(event.count, 'request')} to {event.route}"


@published("policy", _denied, FLEET, folded=False)
@dataclass(frozen=True, slots=True)
class AccessDenied:
    """Requests of one actor to one route that were refused (403) within a minute. Stream `denial-<actor>`."""

    actor: str
    route: str
    count: int
    first_at: datetime
    last_at: datetime
    detail: str = ""
    by: By = NOBODY
