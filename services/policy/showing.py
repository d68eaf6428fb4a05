"""How overrides, approvals, tokens and withheld changes are shown, and listed page by page.

The one rule: of clusters, their count and a few examples are shown, never all of them.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any

from fastapi.responses import JSONResponse

from libs.contracts import stream_id
from libs.contracts.names import nearest
from libs.contracts.problems import invalid
from libs.web.paging import page_answer, page_of
from libs.web.positions import HEADER, wanted_position
from services.policy.domain.approvals import missing, stage_of
from services.policy.domain.overrides import phase
from services.policy.domain.tokens import token_state

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from fastapi import Request, Response
    from pyroaring import BitMap

    from libs.commands.commands import Commands
    from libs.contracts import By, Event, TokenIssued
    from libs.fleet import Approval, Fleet, Override, Withheld

EXAMPLES = 5
ID_CHARACTERS = 12


def examples(facts: Fleet, clusters: BitMap) -> list[str]:
    """Return the names of a few of some clusters."""
    return [facts.selection.name(ordinal) for ordinal in clusters[:EXAMPLES]]


def said_by(by: By) -> dict[str, str]:
    """Return who said something, with what is known of it."""
    shown = {"person": by.person, "token": by.token, "creator": by.creator, "address": by.address}
    return {key: value for key, value in shown.items() if value}


def override_document(override: Override, facts: Fleet, now: datetime) -> dict[str, Any]:
    """Return an override as it is shown."""
    request = override.request
    return {
        "id": request.id,
        "state": phase(override, facts.policy.approvals.get(request.approval), now),
        "freeze": request.freeze,
        "calendar": request.calendar,
        "expression": request.expression,
        "clusters": len(override.clusters),
        "examples": examples(facts, override.clusters),
        "applications": request.applications,
        "minutes": request.minutes,
        "reason": request.reason,
        "ticket": request.ticket,
        "digest": request.digest,
        "approval": request.approval or None,
        "break_glass": request.break_glass,
        "requested_at": override.at.isoformat(),
        "requested_by": said_by(request.by),
        "begins": None if override.begins is None else override.begins.isoformat(),
        "ends": None if override.ends is None else override.ends.isoformat(),
        "people": list(override.people),
        "revoked_at": None if override.revoked_at is None else override.revoked_at.isoformat(),
        "uses": override.uses,
    }


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


def withheld_document(withheld: Withheld, facts: Fleet) -> dict[str, Any]:
    """Return a change that does not count for gates yet, as it is shown."""
    return {
        "id": withheld.event.id,
        "what": withheld.event.what,
        "causes": withheld.event.causes,
        "clusters": len(withheld.clusters),
        "examples": examples(facts, withheld.clusters),
        "at": withheld.at.isoformat(),
        "by": said_by(withheld.event.by),
    }


def approval_state(approval: Approval, now: datetime) -> str:
    """Return running, expired, approved, refused, withdrawn or superseded."""
    return "expired" if approval.state == "running" and not approval.running(now) else approval.state


def approval_document(approval: Approval, facts: Fleet, now: datetime) -> dict[str, Any]:
    """Return an approval as it is shown: what it is about, who has voted, and what is missing."""
    request = approval.request
    state = approval_state(approval, now)
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
                "missing": missing(approval, index, each),
                "votes": [
                    {"role": vote.role, "reason": vote.reason, "ticket": vote.ticket, **said_by(vote.by)}
                    for vote in approval.grants
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


def placed(events: Sequence[Event]) -> list[tuple[str, Event]]:
    """Return events of approvals and overrides, each with its stream."""
    return [(stream_id(_category(event), event.id), event) for event in events]


def _category(event: Event) -> str:
    return "approval" if type(event).__name__.startswith("Approval") else "override"


async def seen(request: Request, commands: Commands) -> Fleet:
    """Return the fleet as it is once the position that a request names was folded."""
    await commands.positions.seen(wanted_position(request), commands.facts, commands.view)
    return commands.facts.fleet


def one(commands: Commands, document: dict[str, Any]) -> Response:
    """Return the answer that shows one thing."""
    return JSONResponse(document, headers={HEADER: str(commands.facts.position)})


def listed(
    request: Request, response: Response, commands: Commands, found: Iterable[dict[str, Any]], since: str
) -> dict[str, Any]:
    """Return a page of documents in the order of when they began, which the field `since` of each says."""
    page = page_of(request)
    keyed = ((f"{each[since]} {each['id']}", each) for each in found)
    shown = heapq.nsmallest(page.limit + 1, (each for each in keyed if each[0] > page.after), key=lambda each: each[0])
    more = len(shown) > page.limit
    shown = shown[: page.limit]
    response.headers[HEADER] = str(commands.facts.position)
    return page_answer(request, response, [document for _, document in shown], shown[-1][0] if more else None)


def check_state(state: str, states: Sequence[str]) -> None:
    """Refuse a state that there is not; none is all of them.

    Raises:
        Problem: 422.
    """
    if state and state not in states:
        near = nearest(state, states)
        fix = f"did you mean {near!r}?" if near else None
        raise invalid(f"state is one of {', '.join(states)}", pointer="?state", fix=fix)
