"""The routes of local tokens: issue one, list them, revoke one.

The one rule: a token is shown once, in the answer to the request that issued it; neither the log nor the stored answer
for a repeated request contains it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response
from pydantic import Field

from libs.access.granting import check_token
from libs.access.tokens import new_token
from libs.commands.proposals import Proposal
from libs.contracts import stream_id
from libs.contracts.names import nearest
from libs.contracts.people import PLAIN, person_name
from libs.contracts.problems import not_found
from libs.contracts.refusals import Invalid
from libs.kinds.categories import GIVING_RIGHTS
from libs.web.auth import authorize, by_of, token_digest
from libs.web.bodies import read_document
from libs.web.intents import intent_of
from libs.web.openapi import body_of
from libs.web.router import adding, respond, unwrapped
from libs.web.schema import Spec, validated
from services.policy.answers import ID_CHARACTERS, listed, said_by, seen
from services.policy.domain.approvals import earliest_record
from services.policy.domain.tokens import HOURS_DEFAULT, IssueToken, RevokeToken, decide, token_state
from services.policy.reaching import check_everywhere

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from libs.commands.commands import Commands
    from libs.contracts import TokenIssued
    from libs.fleet import Fleet

READ = (*GIVING_RIGHTS, "source", "token")
"""The categories that issuing reads: rights, and the owners of names."""
_RIGHT = ("issue", "Token")
_RELAY = "relay"
"""Our process that acts for sources; no person can have this name."""
SHOWN_ONCE = "the token was shown once, to the request that issued it; revoke it and issue another one if it is lost"


class TokenSpec(Spec):
    """The body of a request for a token: for whom, and for how long."""

    user: str
    hours: float = HOURS_DEFAULT
    service_account: bool = False
    reason: str = ""


class RevokeSpec(Spec):
    """Why."""

    reason: str = Field(min_length=1)


class _LocalTokens:
    """The handlers of local tokens."""

    def __init__(self, commands: Commands, ids: Callable[[], str]) -> None:
        self._commands = commands
        self._ids = ids

    async def issue(self, request: Request) -> Response:
        """Issue a token: only this answer contains it; the answer to a repeated request does not."""
        value, body = await read_document(request)
        document, assume = unwrapped(value)
        said: TokenSpec = validated(TokenSpec, document)
        user = person_name(said.user)
        if user is None:
            raise Invalid(
                f"{said.user[:80]!r} cannot be a person's name",
                pointer="/user",
                fix="use a name such as ana@example.com, as `resedge auth whoami` shows it: letters, digits and "
                "punctuation in one line, and no name that looks like a process's",
            )
        if said.service_account and not PLAIN.fullmatch(user):
            raise Invalid(
                f"{user[:80]!r} cannot be a service account's name", pointer="/user", fix="use a name such as deployer"
            )
        intent = intent_of(request, body, assume=assume)
        by, new, token = by_of(request), self._ids()[:ID_CHARACTERS], new_token()

        async def propose(facts: Fleet) -> Proposal:
            at = earliest_record(facts, self._commands.clock())
            check_everywhere(facts, request.state.principal, _RIGHT, at)
            check_token(facts, request.state.principal, user, service_account=said.service_account, now=at)
            command = IssueToken(
                id=new,
                user=user,
                sha256=token_digest(token),
                by=by,
                at=at,
                hours=said.hours,
                service_account=said.service_account,
                reason=said.reason,
                service_names={_RELAY, *(each.service_account for each in facts.sources.values())},
            )
            issued = decide(command, facts.policy)
            stream = stream_id("token", new)
            return Proposal(
                events=[(stream, event) for event in issued],
                expected={stream: 0},
                guards=READ,
                status=201,
                body={
                    "result": "issued",
                    "id": new,
                    "user": user,
                    "expires_at": next((each.expires_at.isoformat() for each in issued), None),
                    "token": None,
                    "warnings": [SHOWN_ONCE],
                },
                stream=stream,
            )

        answer = await self._commands.change(propose, intent)
        if not intent.dry_run and answer.body is not None and answer.body.get("id") == new:
            answer = replace(answer, body={**answer.body, "token": token, "warnings": []})
        response = respond(answer)
        response.headers["Cache-Control"] = "no-store"
        return response

    async def revoke(self, request: Request, token: str) -> Response:
        """Revoke a token; everybody may revoke their own, whoever issued it."""
        value, body = await read_document(request)
        document, assume = unwrapped(value)
        said: RevokeSpec = validated(RevokeSpec, document)
        intent = intent_of(request, body, assume=assume)
        by, principal = by_of(request), request.state.principal

        async def propose(facts: Fleet) -> Proposal:
            known = facts.policy.tokens.get(token)
            if known is None or known.user != principal.name:
                authorize(principal, *_RIGHT, request.app.state.rights)
                check_everywhere(facts, principal, _RIGHT, earliest_record(facts, self._commands.clock()))
            if known is None:
                raise not_found("token", token, nearest(token, facts.policy.tokens))
            stream = stream_id("token", token)
            command = RevokeToken(token, said.reason, by, earliest_record(facts, self._commands.clock()))
            return Proposal(
                events=[(stream, event) for event in decide(command, facts.policy)],
                guards=("token", *GIVING_RIGHTS),
                body={"result": "revoked", "id": token, "warnings": []},
                stream=stream,
            )

        return respond(await self._commands.change(propose, intent))

    async def list(self, request: Request, response: Response, limit: str = "100", cursor: str = "") -> dict[str, Any]:
        """Return a page of local tokens, ordered by expiry: whose, until when, who issued them."""
        del limit, cursor  # declared for the schema; page_of reads them
        facts, now = await seen(request, self._commands), self._commands.clock()
        shown = (token_document(each, facts, now) for each in facts.policy.tokens.values())
        return listed(request, response, self._commands, shown, "expires_at")


def token_document(token: TokenIssued, facts: Fleet, now: datetime) -> dict[str, Any]:
    """Return a local token as it is shown: everything but itself."""
    return {
        "id": token.id,
        "user": token.user,
        "state": token_state(token, facts.policy, now),
        "service_account": token.service_account,
        "groups": token.groups,
        "expires_at": token.expires_at.isoformat(),
        "reason": token.reason,
        "by": said_by(token.by),
    }


def tokens_router(commands: Commands, ids: Callable[[], str]) -> APIRouter:
    """Return the routes of local tokens."""
    router, tokens = APIRouter(), _LocalTokens(commands, ids)

    add = adding(router, "tokens")
    add("GET", "/v1/tokens", tokens.list, ("list", "Token"), "list_tokens")
    add("POST", "/v1/tokens", tokens.issue, _RIGHT, "issue_token", openapi_extra=body_of(TokenSpec))
    # Everybody may revoke their own; the handler checks that it is theirs.
    add(
        "DELETE",
        "/v1/tokens/{token}",
        tokens.revoke,
        ("read", "Principal"),
        "revoke_token",
        openapi_extra=body_of(RevokeSpec, required=False),
    )
    return router
