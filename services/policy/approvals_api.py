"""The routes of approvals: see who must approve what, approve, reject, withdraw.

Whether a vote counts is decided on the facts at the head of the log, with the voter's rights there.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response

from libs.access.relaxing import WITHHELD
from libs.commands.proposals import Proposal
from libs.contracts import ApprovalCompleted
from libs.contracts.names import nearest
from libs.contracts.problems import Problem, not_found
from libs.kinds.categories import GIVING_RIGHTS, PLACES
from libs.web.auth import by_of
from libs.web.bodies import read_document
from libs.web.intents import flag, intent_of
from libs.web.openapi import body_of
from libs.web.router import adding, respond, unwrapped
from libs.web.schema import Spec, validated
from services.policy.answers import check_state, examples, listed, one, placed, said_by, seen
from services.policy.domain.approvals import (
    Command,
    Grant,
    Refuse,
    Voter,
    Withdraw,
    decide,
    earliest_record,
    may_vote,
    missing_votes,
    stage_of,
)
from services.policy.domain.overrides import started
from services.policy.domain.withheld import counting
from services.policy.recounting import recounted, voter_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from libs.commands.commands import Commands
    from libs.contracts import By, Event
    from libs.fleet import Approval, Fleet

READ = (
    *(*PLACES, "application", *GIVING_RIGHTS, "token"),
    *("signoff", "freeze", "calendar", "override", "approval", "withheld"),
)
"""What the decider reads: the run and its process, what it is about, who holds a role where, and with which token."""
_KIND = "Approval"
_NEVER = datetime.max.replace(tzinfo=UTC)
_STATES = ("running", "approved", "refused", "withdrawn", "superseded", "expired")


class GrantSpec(Spec):
    """The body of an approval; `digest`, if given, is the approved one."""

    reason: str = ""
    ticket: str = ""
    digest: str | None = None


class RefuseSpec(Spec):
    """The body of a rejection, with its reason."""

    reason: str
    ticket: str = ""
    digest: str | None = None


class WithdrawSpec(Spec):
    """The body of a withdrawal: of a vote, or of the `whole` request."""

    reason: str
    ticket: str = ""
    whole: bool | None = None


class Approvals:
    """The handlers of approvals."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    async def grant(self, request: Request, approval: str) -> Response:
        """Approve in the current stage; the last needed vote starts what was requested."""
        return await self._say(
            request,
            approval,
            GrantSpec,
            lambda voter, at, said: Grant(voter, at, said.reason, said.ticket, said.digest),
        )

    async def refuse(self, request: Request, approval: str) -> Response:
        """Reject; this closes the approval."""
        return await self._say(
            request,
            approval,
            RefuseSpec,
            lambda voter, at, said: Refuse(voter, at, said.reason, said.ticket, said.digest),
        )

    async def withdraw(self, request: Request, approval: str) -> Response:
        """Withdraw your own vote, or your own request."""
        return await self._say(
            request,
            approval,
            WithdrawSpec,
            lambda voter, at, said: Withdraw(voter, at, said.reason, said.ticket, said.whole),
        )

    async def _say(
        self, request: Request, approval: str, spec: type[Spec], make: Callable[[Voter, datetime, Any], Command]
    ) -> Response:
        value, body = await read_document(request)
        document, assume = unwrapped(value)
        said = validated(spec, document)
        intent = intent_of(request, body, assume=assume)
        principal, by = request.state.principal, by_of(request)

        async def propose(facts: Fleet) -> Proposal:
            state, at = _approval(facts, approval), earliest_record(facts, self._commands.clock())
            ends = _check_token(facts, by)
            command = make(voter_of(facts, principal, by, state, at), at, said)
            run = recounted(state, facts, at).approval
            if isinstance(command, Withdraw):  # a vote that does not count may be taken back all the same
                run = replace(run, grants=state.grants)
            events = decide(command, run)
            everything = [*events, *_following(events, state, facts, at)]
            return Proposal(
                events=placed(everything),
                guards=READ,
                expires_at=min(run.request.expires_at, ends),
                body={"result": _result(events), "id": approval, "warnings": []},
            )

        return respond(await self._commands.change(propose, intent))

    async def list(
        self,
        request: Request,
        response: Response,
        state: str = "",
        subject: str = "",
        mine: str = "false",
        limit: str = "100",
        cursor: str = "",
    ) -> dict[str, Any]:
        """Return a page of approvals in the order in which they were asked for.

        `mine=true` are those in which the caller's vote would count now; `state` and `subject` narrow the list.
        """
        del limit, cursor, mine  # declared for the schema; page_of and flag read them
        check_state(state, _STATES)
        mine_only = flag(request, "mine")
        facts = await seen(request, self._commands)
        now = earliest_record(facts, self._commands.clock())
        principal, by = request.state.principal, by_of(request)
        found = [
            approval_document(each, facts, now)
            for each in facts.policy.approvals.values()
            if (not subject or each.request.subject == subject)
            and (not mine_only or _mine(voter_of(facts, principal, by, each, now), each, facts, now))
        ]
        shown = [each for each in found if not state or each["state"] == state]
        return listed(request, response, self._commands, shown, "requested_at")

    async def get(self, request: Request, approval: str) -> Response:
        """Return one approval: its subject, its stages with their votes, and what is missing."""
        facts = await seen(request, self._commands)
        return one(self._commands, approval_document(_approval(facts, approval), facts, self._commands.clock()))


def _mine(voter: Voter, approval: Approval, facts: Fleet, now: datetime) -> bool:
    return may_vote(voter, recounted(approval, facts, now).approval, now)


def _check_token(facts: Fleet, by: By) -> datetime:
    """Return when the token with which somebody votes ends, by the facts at the log's head.

    Raises:
        Problem: 401, it is revoked, though the process that let it in had not heard of that.
    """
    if by.token in facts.policy.revoked:
        raise Problem(
            401,
            "unauthenticated",
            "This needs a token.",
            f"the token {by.token} is revoked",
            fix="sign in again",
            headers={"WWW-Authenticate": "Bearer"},
        )
    issued = facts.policy.tokens.get(by.token)
    return _NEVER if issued is None else issued.expires_at


def _following(events: Sequence[Event], state: Approval, facts: Fleet, at: datetime) -> Sequence[Event]:
    """Return the events that the end of a run starts in the same transaction."""
    override = facts.policy.overrides.get(state.request.subject)
    completed = next((each for each in events if isinstance(each, ApprovalCompleted)), None)
    if completed is not None and state.request.kind == WITHHELD:
        return counting(facts, completed, state.request)
    if completed is None or override is None:
        return []
    return started(completed, state.request, override, at)


def _result(events: Sequence[Event]) -> str:
    if any(isinstance(each, ApprovalCompleted) for each in events):
        return "approved"
    return type(events[0]).__name__.removeprefix("Approval").lower() if events else "unchanged"


def _approval(facts: Fleet, name: str) -> Approval:
    found = facts.policy.approvals.get(name)
    if found is None:
        raise not_found("approval", name, nearest(name, facts.policy.approvals))
    return found


def approval_document(approval: Approval, facts: Fleet, now: datetime) -> dict[str, Any]:
    """Return an approval as it is shown: what it is about, who has voted, and what is missing."""
    known = recounted(approval, facts, now)
    said, approval = approval, known.approval
    request = approval.request
    state = approval.state_at(now)
    stage = stage_of(approval) if state == "running" else None
    return {
        "id": request.id,
        "state": state,
        "kind": request.kind,
        "subject": request.subject,
        "summary": request.summary,
        "digest": request.digest,
        "items": request.items,
        "clusters": len(approval.clusters),
        "examples": examples(facts, approval.clusters),
        "signoff": request.signoff,
        "count": request.count,
        "stage": None if stage is None else stage + 1,
        "stages": [
            {
                "roles": each.roles,
                "quorum": each.quorum,
                "missing": missing_votes(approval, index, each),
                "votes": [
                    {
                        "role": vote.role,
                        "reason": vote.reason,
                        "ticket": vote.ticket,
                        **said_by(vote.by),
                        **({"not_counted": known.lost[number]} if number in known.lost else {}),
                    }
                    for number, vote in enumerate(said.grants)
                    if vote.stage == index
                ],
            }
            for index, each in enumerate(request.stages)
        ],
        "requesters": sorted({*request.requesters, request.by.person} - {""}),
        "publishers": request.publishers,
        "reason": request.reason,
        "ticket": request.ticket,
        "requested_at": approval.at.isoformat(),
        "requested_by": said_by(request.by),
        "expires_at": request.expires_at.isoformat(),
        "done_at": None if approval.done_at is None else approval.done_at.isoformat(),
        "ended_because": approval.reason,
        "people": list(approval.people),
    }


def approvals_router(commands: Commands) -> APIRouter:
    """Return the routes of approvals."""
    router, approvals = APIRouter(), Approvals(commands)

    add = adding(router, "approvals")
    one_of = "/v1/approvals/{approval}"
    add("GET", "/v1/approvals", approvals.list, ("list", _KIND), "list_approvals")
    add("GET", one_of, approvals.get, ("read", _KIND), "read_approval")
    vote = ("approve", _KIND)
    add("POST", one_of + "/grant", approvals.grant, vote, "grant_approval", openapi_extra=body_of(GrantSpec))
    add("POST", one_of + "/refuse", approvals.refuse, vote, "refuse_approval", openapi_extra=body_of(RefuseSpec))
    # Everybody may withdraw their own vote or request; the decider checks that it is theirs.
    add(
        "POST",
        one_of + "/withdraw",
        approvals.withdraw,
        ("read", "Principal"),
        "withdraw_approval",
        openapi_extra=body_of(WithdrawSpec),
    )
    return router
