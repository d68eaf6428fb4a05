"""Authentication and the rules of routes: the one `authorize`.

The one rule: every route is made with `requires(verb, kind)`, or (health only) with `open_to_all`; a test walks all
routes of the composed application and fails on one that has neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import Depends, HTTPException, Request

from libs.access.metrics import AUTHENTICATION_FAILURES
from libs.access.principals import Principal
from libs.access.rights import BUILT_IN as ROLES
from libs.access.rights import Rights, held_by_token, user_verb
from libs.access.tokens import BadToken, TokenStore, Verifier, token_digest
from libs.contracts import By
from libs.contracts.names import check_name
from libs.contracts.problems import Problem
from libs.web.arriving import refuse_encoded
from libs.web.routes import methods_at

__all__ = [
    "ON_BEHALF_OF",
    "ROLES",
    "BadToken",
    "OpenRule",
    "Principal",
    "RouteRule",
    "TokenStore",
    "acting_for",
    "authorize",
    "by_of",
    "open_to_all",
    "principal_of",
    "requires",
    "token_digest",
]

ON_BEHALF_OF = "Resedge-On-Behalf-Of"
"""Names the service account of a source, for whom the relay executes what its event means."""


def authorize(principal: Principal, verb: str, kind: str, rights: Rights | None = None) -> None:
    """Let `principal` do `verb` to things of `kind`, or refuse; without `rights` only the token's own roles count.

    Raises:
        Problem: 403.
    """
    if held_by_token(principal, verb, kind) or (rights is not None and rights.may(principal, verb, kind)):
        return
    raise Problem(
        403,
        "forbidden",
        "You are not allowed to do this.",
        f"{principal.name} may not {user_verb(verb)} {kind}",
        fix=f"ask an administrator for a role with the verb {user_verb(verb)} on the kind {kind}",
    )


async def principal_of(request: Request) -> Principal:
    """Return who asks, by the bearer token.

    Raises:
        Problem: 401 without a token that is accepted; 503 while that cannot be told.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    verifier: Verifier = request.app.state.tokens
    try:
        if scheme.lower() != "bearer" or not token.strip():
            raise BadToken("missing")  # noqa: TRY301 - one place counts and answers, whatever is wrong with it
        return await verifier.verify(token.strip())
    except BadToken as bad:
        AUTHENTICATION_FAILURES.labels(bad.reason).inc()
        raise Problem(
            401,
            "unauthenticated",
            "A valid token is required.",
            f"the token is missing or is not accepted: {bad.reason}",
            fix="send Authorization: Bearer TOKEN; `resedge up` writes one to the local context on its first start, "
            "`resedge login` gets one from the identity provider",
            extra={"reason": bad.reason},
            headers={"WWW-Authenticate": "Bearer"},
        ) from None


def by_of(request: Request) -> By:
    """Return who asks, as events keep it: the person, the token, who made it for them, the address it came from."""
    sender: Principal = request.state.sender
    principal: Principal = getattr(request.state, "principal", sender)
    address = request.client.host if request.client is not None else ""
    return By(principal.name, sender.token_id, principal.creator, address)


@dataclass(frozen=True, slots=True)
class RouteRule:
    """The rule of a route; as its dependency, it leaves in `request.state.principal` in whose name the request is.

    `request.state.sender` is whose token it carries: another one only where the relay acts for a source.
    """

    verb: str
    kind: str

    async def __call__(self, request: Request) -> Principal:
        """Let the request through, or raise 401 or 403."""
        sender = await principal_of(request)
        request.state.rule, request.state.sender = self, sender
        authorize(sender, self.verb, self.kind, request.app.state.rights)
        refuse_encoded(request)
        _refuse_a_name_that_is_a_path(request)
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
            "You are not allowed to do this.",
            f"{sender.name} may not act for others",
            fix=f"leave {ON_BEHALF_OF} out: only the relay speaks for the service accounts of sources",
        )
    return Principal(check_name(name, ON_BEHALF_OF), frozenset(), service_account=True)


def _refuse_a_name_that_is_a_path(request: Request) -> None:
    """Refuse a method that the path's own template does not have, though a name with slashes would take it.

    Raises:
        HTTPException: 405.
    """
    route = getattr(request.scope.get("route"), "path", "")
    if ":path}" in route and request.method not in methods_at(request.app.routes, request.scope["path"]):
        raise HTTPException(405)


@dataclass(frozen=True, slots=True)
class OpenRule:
    """The rule of a route that needs no token."""

    async def __call__(self) -> None:
        """Let everybody through."""


def requires(verb: str, kind: str) -> Any:
    """Return the dependency of a route: `dependencies=[requires("read", "Store")]`, or a parameter's default."""
    return Depends(RouteRule(verb, kind))


def open_to_all() -> Any:
    """Return the dependency of a route that needs no token: health only."""
    return Depends(OpenRule())
