"""Who asks, and what they may: bearer tokens, principals and the one `authorize`.

The one rule: every route is made with `requires(verb, kind)`, or (health only) with `open_to_all`; a test walks all
routes of the composed application and fails on one that has neither.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import Depends, Request

from libs.contracts.names import check_name
from libs.web.problems import Problem

TOKEN_BYTES = 32
READ_VERBS = frozenset({"read", "list", "count", "explain"})
RELAY_VERBS = READ_VERBS | {"declare", "remove", "label", "publish"}
ON_BEHALF_OF = "Resedge-On-Behalf-Of"
"""Names the service account of a source, for whom the relay executes what its event means."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody whose token was verified."""

    name: str
    roles: frozenset[str]


ROLES: Mapping[str, frozenset[str] | None] = {
    "admin": None,
    "viewer": READ_VERBS,
    "source": frozenset({"send"}),
    "relay": RELAY_VERBS,
}
"""Role → the verbs that it allows on every kind; `None` is every verb.

`source` is a system outside that sends events; what they may say stands in its `Source` document. `relay` is the one
service that acts for others.
"""


def authorize(principal: Principal, verb: str, kind: str) -> None:
    """Let `principal` do `verb` to things of `kind`, or refuse.

    Raises:
        Problem: 403.
    """
    for role in principal.roles:
        allowed = ROLES.get(role, frozenset())
        if allowed is None or verb in allowed:
            return
    raise Problem(
        403,
        "forbidden",
        "This is not allowed to you.",
        f"{principal.name} may not {verb} {kind}",
        fix="ask an administrator for a role that allows it",
    )


def digest_of(token: str) -> str:
    """Return what is kept of a token: hex SHA-256, enough because a token is 256 random bits."""
    return hashlib.sha256(token.encode()).hexdigest()


class TokenStore:
    """Tokens hashed at rest, in one JSON file with mode 0600: `{"tokens": [{"name", "sha256", "roles"}]}`.

    The file is read again when it has changed: a token that another process issues counts at once, as does its end.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._principals: dict[str, Principal] = {}
        self._internal: dict[str, Principal] = {}
        self._seen: tuple[int, int, int] | None = None
        self._refresh()

    def _refresh(self) -> None:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return
        seen = (found.st_ino, found.st_mtime_ns, found.st_size)
        if seen != self._seen:
            entries = json.loads(self._path.read_text())["tokens"]
            self._principals = {each["sha256"]: Principal(each["name"], frozenset(each["roles"])) for each in entries}
            self._seen = seen

    def names(self) -> set[str]:
        """Return whom the tokens are for."""
        self._refresh()
        return {principal.name for principal in self._principals.values()}

    def issue(self, name: str, roles: frozenset[str]) -> str:
        """Return a new token for `name`, which can never be shown again; older tokens of the name end."""
        check_name(name, "/name")
        self._refresh()
        token = secrets.token_urlsafe(TOKEN_BYTES)
        self._principals = {key: known for key, known in self._principals.items() if known.name != name}
        self._principals[digest_of(token)] = Principal(name, roles)
        self._save()
        return token

    def internal(self, name: str, roles: frozenset[str]) -> str:
        """Return a token for a part of this very process: it is never written down, and ends with the process."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        self._internal[digest_of(token)] = Principal(name, roles)
        return token

    def principal(self, token: str) -> Principal | None:
        """Return whose token this is."""
        self._refresh()
        wanted = digest_of(token)
        found = None
        for digest, principal in (*self._principals.items(), *self._internal.items()):
            if hmac.compare_digest(digest, wanted):
                found = principal
        return found

    def _save(self) -> None:
        entries = [
            {"name": principal.name, "sha256": digest, "roles": sorted(principal.roles)}
            for digest, principal in self._principals.items()
        ]
        fresh = self._path.with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump({"tokens": entries}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)


def principal_of(request: Request) -> Principal:
    """Return who asks, by the bearer token.

    Raises:
        Problem: 401 without a token that is known.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    store: TokenStore = request.app.state.tokens
    if scheme.lower() == "bearer" and token and (principal := store.principal(token.strip())):
        return principal
    raise Problem(
        401,
        "unauthenticated",
        "A token is needed.",
        "the token is missing or unknown",
        fix="send Authorization: Bearer TOKEN; `resedge up` writes one to the local context on its first start",
        headers={"WWW-Authenticate": "Bearer"},
    )


@dataclass(frozen=True, slots=True)
class Rule:
    """The rule of a route; as its dependency, it leaves in `request.state.principal` in whose name the request is.

    `request.state.sender` is whose token it carries: another one only where the relay acts for a source.
    """

    verb: str
    kind: str

    async def __call__(self, request: Request) -> Principal:
        """Let the request through, or raise 401 or 403."""
        sender = principal_of(request)
        authorize(sender, self.verb, self.kind)
        request.state.sender = sender
        request.state.principal = acting_for(request, sender)
        return sender


def acting_for(request: Request, sender: Principal) -> Principal:
    """Return in whose name a request is made: the sender's own, or the one whom the relay acts for.

    Raises:
        Problem: 403, somebody else than the relay asks for that; 422, the name is none.
    """
    name = request.headers.get(ON_BEHALF_OF)
    if name is None:
        return sender
    if "relay" not in sender.roles:
        raise Problem(
            403,
            "forbidden",
            "This is not allowed to you.",
            f"{sender.name} may not act for others",
            fix=f"leave {ON_BEHALF_OF} out: only the relay speaks for the service accounts of sources",
        )
    return Principal(check_name(name, ON_BEHALF_OF), frozenset())


@dataclass(frozen=True, slots=True)
class OpenRule:
    """The rule of a route that needs no token."""

    async def __call__(self) -> None:
        """Let everybody through."""


def requires(verb: str, kind: str) -> Any:
    """Return the dependency of a route: `dependencies=[requires("read", "Store")]`, or a parameter's default."""
    return Depends(Rule(verb, kind))


def open_to_all() -> Any:
    """Return the dependency of a route that needs no token: health only."""
    return Depends(OpenRule())
