"""Whether a token is accepted, and whose it is: the token file, local tokens in the log, the identity provider.

The one rule: only the SHA-256 of a token is ever kept, and refusals are counted by reason, never by name.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from libs.access.principals import Principal
from libs.contracts import TokenIssued
from libs.contracts.instants import parsed_instant
from libs.contracts.names import check_name

TOKEN_BYTES = 32
_TOKEN_CHARACTERS_MAX = 16_384
SIGNED_CHARACTERS_MAX = 48 * 1024
"""A provider's token lists groups; a larger one does not fit into the headers of a request."""
TOKEN_ID_CHARACTERS = 12
INTERNAL = "internal"
"""The id of tokens that are never written down."""
TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")
"""The characters of a bearer token (RFC 6750 §2.1)."""
SERVICE_ROLES = frozenset({"source", "relay"})
"""Built-in roles that no person holds."""


class BadToken(Exception):  # noqa: N818 - it states the fact
    """A token that is not accepted; `reason` is one of few words, for the metric and for the answer."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Verifier(Protocol):
    """Finds the owner of a token."""

    async def verify(self, token: str) -> Principal:
        """Return whose token this is.

        Raises:
            BadToken: it is not accepted.
        """


class LocalTokens(Protocol):
    """The local tokens as the log has them (libs.fleet.policy.Policy)."""

    def by_digest(self, sha256: str) -> TokenIssued | None:
        """Return the token of this digest, unless it was revoked."""

    def was_revoked(self, sha256: str) -> bool:
        """Tell whether this digest is of a token that was revoked."""


def token_digest(token: str) -> str:
    """Return the hex SHA-256 that is kept of a token; unsalted is enough, as a token is 256 random bits."""
    return hashlib.sha256(token.encode()).hexdigest()


def new_token() -> str:
    """Return a token of 256 random bits, which is shown once."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def _principal_of_entry(entry: dict[str, Any]) -> Principal:
    roles = frozenset(entry["roles"])
    return Principal(
        entry["name"],
        roles,
        token_id=entry.get("id") or f"file-{entry['sha256'][:TOKEN_ID_CHARACTERS]}",
        creator=entry.get("creator", ""),
        service_account=bool(roles & SERVICE_ROLES),
        expires=_expiry(entry["expires"]) if entry.get("expires") else None,
    )


def _expiry(text: str) -> datetime:
    """Return when a token of the file ends; an unreadable time has ended: people edit this file, too."""
    return parsed_instant(text) or datetime.min.replace(tzinfo=UTC)


def _entry_of(digest: str, principal: Principal) -> dict[str, Any]:
    entry = {
        "name": principal.name,
        "sha256": digest,
        "roles": sorted(principal.roles),
        "id": principal.token_id,
        "creator": principal.creator,
        "expires": principal.expires.isoformat() if principal.expires else "",
    }
    return {key: value for key, value in entry.items() if value or key == "roles"}


class TokenStore:
    """Tokens hashed at rest, in one JSON file with mode 0600: `{"tokens": [{"name", "sha256", "roles"}]}`.

    An entry may have `id`, `creator` and `expires` (RFC 3339 with offset). The file is read again when it has changed:
    a token that another process issues counts at once, as does its end.
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
            self._principals = {each["sha256"]: _principal_of_entry(each) for each in entries}
            self._seen = seen

    def names(self) -> set[str]:
        """Return the names that the tokens are for."""
        self._refresh()
        return {principal.name for principal in self._principals.values()}

    def service_accounts(self) -> set[str]:
        """Return the names that belong to service accounts: no person can have them."""
        self._refresh()
        known = (*self._principals.values(), *self._internal.values())
        return {principal.name for principal in known if principal.service_account}

    def issue(self, name: str, roles: frozenset[str], *, expires: datetime | None = None, creator: str = "") -> str:
        """Return a new token for `name`, which can never be shown again; older tokens of the name end."""
        check_name(name, "/name")
        self._refresh()
        token = new_token()
        digest = token_digest(token)
        self._principals = {key: known for key, known in self._principals.items() if known.name != name}
        entry = {"name": name, "sha256": digest, "roles": sorted(roles), "creator": creator}
        self._principals[digest] = replace(_principal_of_entry(entry), expires=expires)
        self._save()
        return token

    def internal(self, name: str, roles: frozenset[str]) -> str:
        """Return a token for a part of this very process: it is never written down, and ends with the process."""
        token = new_token()
        self._internal[token_digest(token)] = Principal(name, roles, token_id=INTERNAL, service_account=True)
        return token

    def principal(self, token: str) -> Principal | None:
        """Return whose token this is, whether or not it has expired."""
        self._refresh()
        wanted = token_digest(token)
        found = None
        for digest, principal in (*self._principals.items(), *self._internal.items()):
            if hmac.compare_digest(digest, wanted):
                found = principal
        return found

    def _save(self) -> None:
        entries = [_entry_of(digest, principal) for digest, principal in self._principals.items()]
        fresh = self._path.with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump({"tokens": entries}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)


@dataclass(frozen=True, slots=True)
class Known:
    """Local tokens as the log has them: the fold, whether it can be asked yet, and whether the log has more.

    `settled` returns once the process has seen what had been acknowledged when it started, and raises a problem while
    it has not: a snapshot may be older than a revocation. `look_again` reads what was appended since.
    """

    tokens: Callable[[], LocalTokens]
    settled: Callable[[], Awaitable[None]]
    look_again: Callable[[], Awaitable[None]]


class Tokens:
    """The order in which a token is looked for: in the token file, in the log, with the identity provider.

    `clock` is that of the log: a token expires by it, and a virtual one expires tokens too.
    """

    def __init__(
        self, file: TokenStore, known: Known, clock: Callable[[], datetime], provider: Verifier | None = None
    ) -> None:
        self._file, self._known, self._clock, self._provider = file, known, clock, provider

    async def verify(self, token: str) -> Principal:
        """Return whose token this is.

        A token of the file needs only the file, so that an administrator can sign in whatever else is broken.

        Raises:
            BadToken: it is not accepted.
            Problem: 503, it cannot be told yet.
        """
        signed = looks_like_a_jwt(token)
        if len(token) > (SIGNED_CHARACTERS_MAX if signed else _TOKEN_CHARACTERS_MAX):
            raise BadToken("too-large" if signed else "malformed")
        if not TOKEN.fullmatch(token):
            raise BadToken("malformed")
        principal = self._file.principal(token)
        if principal is None:
            await self._known.settled()
            if signed:
                if self._provider is None:
                    raise BadToken("unknown")
                return await self._provider.verify(token)
            principal = await self._local(token_digest(token))
        if principal.expires is not None and principal.expires <= self._clock():
            raise BadToken("expired")
        return principal

    async def _local(self, digest: str) -> Principal:
        tokens = self._known.tokens()
        found = tokens.by_digest(digest)
        if found is None and not tokens.was_revoked(digest):
            await self._known.look_again()
            tokens = self._known.tokens()
            found = tokens.by_digest(digest)
        if found is None:
            raise BadToken("revoked" if tokens.was_revoked(digest) else "unknown")
        return Principal(
            found.user,
            frozenset(),
            frozenset(found.groups),
            token_id=found.id,
            # A token that is made with a token that somebody else made keeps that first creator.
            creator=found.by.creator if found.by.person == found.user else found.by.person,
            service_account=found.service_account,
            expires=found.expires_at,
        )


def looks_like_a_jwt(token: str) -> bool:
    """Tell a JWS in compact serialization (RFC 7515 §7.1), three parts, from our own tokens, which have no dots."""
    return token.count(".") == 2
