"""The routes of withheld changes: list and confirm changes that do not count for gates yet.

Confirming a change needs the right to affect policy on all of its clusters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response

from libs.access.relaxing import WITHHELD
from libs.access.rights import AFFECT
from libs.commands.proposals import Proposal
from libs.contracts import ApprovalRequested, stream_id
from libs.contracts.names import nearest
from libs.contracts.problems import not_found
from libs.kinds.categories import GIVING_RIGHTS, PLACES
from libs.web.auth import by_of
from libs.web.bodies import read_document
from libs.web.intents import intent_of
from libs.web.openapi import body_of
from libs.web.router import adding, respond, unwrapped
from libs.web.schema import Spec, validated
from services.policy.answers import examples, listed, one, placed, said_by, seen
from services.policy.domain.approvals import earliest_record
from services.policy.domain.withheld import ConfirmLoosening, decide, missing
from services.policy.reaching import check_documents, check_reach

if TYPE_CHECKING:
    from libs.commands.commands import Commands
    from libs.fleet import Fleet, Withheld

READ = (*PLACES, "application", *GIVING_RIGHTS, "withheld", "approval", "signoff", "freeze", "placementpolicy")
"""What confirming rests on: the change, and for which clusters somebody may affect policy."""
_RIGHT = (AFFECT, "Policy")


class ConfirmSpec(Spec):
    """Why it may count."""

    reason: str
    ticket: str = ""


class Loosenings:
    """The handlers of withheld changes."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    async def confirm(self, request: Request, change: str) -> Response:
        """Confirm a change: from now on gates use the facts after it."""
        value, body = await read_document(request)
        document, assume = unwrapped(value)
        said: ConfirmSpec = validated(ConfirmSpec, document)
        intent = intent_of(request, body, assume=assume)
        by = by_of(request)
        stream = stream_id("withheld", change)

        async def propose(facts: Fleet) -> Proposal:
            state = facts.policy.withheld.get(change)
            if state is None and ("withheld", change) not in facts.facts:
                raise not_found("withheld", change, nearest(change, facts.policy.withheld))
            at = earliest_record(facts, self._commands.clock())
            if state is not None:
                check_reach(facts, request.state.principal, _RIGHT, state.clusters, at)
                check_documents(facts, request.state.principal, state, at)
            events = decide(ConfirmLoosening(change, said.reason, by, at, said.ticket), state, facts)
            asked = [event.id for event in events if isinstance(event, ApprovalRequested)]
            return Proposal(
                events=placed(events),
                expected={stream_id("approval", each): 0 for each in asked},
                guards=READ,
                body={
                    "result": "requested" if asked else "confirmed",
                    "id": change,
                    "approvals": asked,
                    "warnings": [],
                },
                stream=stream,
            )

        return respond(await self._commands.change(propose, intent))

    async def list(self, request: Request, response: Response, limit: str = "100", cursor: str = "") -> dict[str, Any]:
        """Return a page of the changes that wait to be confirmed, the oldest first."""
        del limit, cursor  # declared for the schema; page_of reads them
        facts = await seen(request, self._commands)
        shown = (withheld_document(each, facts) for each in facts.policy.withheld.values())
        return listed(request, response, self._commands, shown, "at")

    async def get(self, request: Request, change: str) -> Response:
        """Return one change that waits to be confirmed."""
        facts = await seen(request, self._commands)
        found = facts.policy.withheld.get(change)
        if found is None:
            raise not_found("withheld", change, nearest(change, facts.policy.withheld))
        return one(self._commands, withheld_document(found, facts))


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
        "keeps": withheld.event.keeps,
        "signoffs": withheld.event.signoffs,
        "missing": missing(withheld, facts),
        "approvals": [each.request.id for each in facts.policy.runs_of(WITHHELD, withheld.event.id)],
        "needs_confirmation": not withheld.event.affected,
    }


def withheld_router(commands: Commands) -> APIRouter:
    """Return the routes of withheld changes."""
    router, loosenings = APIRouter(), Loosenings(commands)

    add = adding(router, "withheld")
    add("GET", "/v1/withheld", loosenings.list, ("list", "Policy"), "list_withheld")
    add("GET", "/v1/withheld/{change}", loosenings.get, ("read", "Policy"), "read_withheld")
    add(
        "POST",
        "/v1/withheld/{change}/confirm",
        loosenings.confirm,
        _RIGHT,
        "confirm_withheld",
        openapi_extra=body_of(ConfirmSpec),
    )
    return router
