"""The routes of overrides: request one, revoke it, see who used it.

Break-glass is let through at once, and is visible: an event, a log message at level error, a metric and an alert.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog
from fastapi import APIRouter, Request, Response
from prometheus_client import Counter
from pydantic import Field

from libs.commands.proposals import Proposal
from libs.contracts import OverrideRequested, gates_of, stream_id
from libs.contracts.names import nearest
from libs.contracts.problems import not_found
from libs.contracts.refusals import Invalid
from libs.fleet import unpacked
from libs.kinds.categories import GIVING_RIGHTS, PLACES
from libs.web.auth import authorize, by_of
from libs.web.bodies import read_document
from libs.web.intents import intent_of
from libs.web.openapi import body_of
from libs.web.router import adding, respond, unwrapped
from libs.web.schema import Spec, validated
from services.policy.answers import ID_CHARACTERS, check_state, examples, listed, one, placed, said_by, seen
from services.policy.domain.approvals import earliest_record
from services.policy.domain.overrides import RequestOverride, RevokeOverride, decide, phase
from services.policy.reaching import check_reach

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from libs.commands.commands import Commands
    from libs.contracts import By, Event
    from libs.fleet import Fleet, Override

READ = (*PLACES, "application", "freeze", "calendar", "signoff", *GIVING_RIGHTS, "override", "approval")
"""The categories that the decider reads: the overridden document, its sign-off, expressions, and rights."""
_KIND = "Override"
REQUEST = ("request", _KIND)
_STATES = ("requested", "active", "ended", "revoked", "refused", "withdrawn", "expired")

GATES_MAX = 20

BREAK_GLASS = Counter("resedge_break_glass_total", "Overrides that somebody took without prior approval")

log = structlog.get_logger("resedge.policy")


class OverrideSpec(Spec):
    """The body of a request: an exception to freezes and calendars of one sign-off, on some clusters, for some time."""

    freeze: str | None = None
    calendar: str | None = None
    freezes: list[str] = Field(default_factory=list, max_length=GATES_MAX)
    calendars: list[str] = Field(default_factory=list, max_length=GATES_MAX)
    expression: str = Field(default="/c/*", min_length=1)
    applications: list[str] = Field(default_factory=list)
    minutes: float
    reason: str
    ticket: str = ""
    break_glass: bool = False


class ReasonSpec(Spec):
    """Why."""

    reason: str
    ticket: str = ""


def _command(
    said: OverrideSpec, named: Sequence[tuple[str, str]], name: str, approval: str, by: By, at: datetime
) -> RequestOverride:
    return RequestOverride(
        id=name,
        approval=approval,
        kind=named[0][0],
        name=named[0][1],
        others=tuple(named[1:]),
        expression=said.expression,
        minutes=said.minutes,
        reason=said.reason,
        by=by,
        at=at,
        applications=tuple(said.applications),
        ticket=said.ticket,
        break_glass=said.break_glass,
    )


class Overrides:
    """The handlers of overrides."""

    def __init__(self, commands: Commands, ids: Callable[[], str]) -> None:
        self._commands = commands
        self._ids = ids

    async def request(self, request: Request) -> Response:
        """Request an override: returns its id and, unless it is break-glass, that of its approval."""
        value, body = await read_document(request)
        document, assume = unwrapped(value)
        said: OverrideSpec = validated(OverrideSpec, document)
        named = _named(said)
        if not named:
            raise Invalid("an override is for a freeze or for a calendar", pointer="/freeze")
        if said.break_glass:
            authorize(request.state.principal, "break-glass", _KIND, request.app.state.rights)
        intent = intent_of(request, body, assume=assume)
        by, new = by_of(request), self._ids()[:ID_CHARACTERS]
        approval = self._ids()[:ID_CHARACTERS]

        async def propose(facts: Fleet) -> Proposal:
            at = earliest_record(facts, self._commands.clock())
            command = _command(said, named, new, approval, by, at)
            decided = decide(command, facts)
            check_reach_of(facts, request, "break-glass" if said.break_glass else "request", decided, command.at)
            events = placed(decided)
            return Proposal(
                events=events,
                expected={stream: 0 for stream, _ in events},
                guards=READ,
                status=201,
                body={
                    "result": "started" if said.break_glass else "requested",
                    "id": new,
                    "approval": None if said.break_glass else approval,
                    "warnings": [],
                },
                stream=stream_id("override", new),
            )

        answer = await self._commands.change(propose, intent)
        if said.break_glass and not intent.dry_run and (answer.body or {}).get("id") == new:
            BREAK_GLASS.inc()
            log.error(
                "policy.break-glass",
                override=new,
                person=by.person,
                freeze=said.freeze,
                calendar=said.calendar,
                expression=said.expression,
                minutes=said.minutes,
                reason=said.reason,
                ticket=said.ticket,
            )
        return respond(answer)

    async def revoke(self, request: Request, override: str) -> Response:
        """End an override now; one that was only requested never begins."""
        value, body = await read_document(request)
        document, assume = unwrapped(value)
        said: ReasonSpec = validated(ReasonSpec, document)
        intent = intent_of(request, body, assume=assume)
        by = by_of(request)

        async def propose(facts: Fleet) -> Proposal:
            asked, at = _override(facts, override).request, earliest_record(facts, self._commands.clock())
            check_reach_of(facts, request, "request", [asked], at)
            command = RevokeOverride(override, said.reason, by, at, said.ticket)
            return Proposal(
                events=placed(decide(command, facts)),
                guards=READ,
                body={"result": "revoked", "id": override, "warnings": []},
                stream=stream_id("override", override),
            )

        return respond(await self._commands.change(propose, intent))

    async def list(
        self, request: Request, response: Response, state: str = "", limit: str = "100", cursor: str = ""
    ) -> dict[str, Any]:
        """Return a page of overrides in the order in which they were asked for; `state` narrows it."""
        del limit, cursor  # declared for the schema; page_of reads them
        check_state(state, _STATES)
        facts, now = await seen(request, self._commands), self._commands.clock()
        shown = (override_document(each, facts, now) for each in facts.policy.overrides.values())
        found = [each for each in shown if not state or each["state"] == state]
        return listed(request, response, self._commands, found, "requested_at")

    async def get(self, request: Request, override: str) -> Response:
        """Return one override: its state by the clock, its clusters, who granted it and how often it was used."""
        facts = await seen(request, self._commands)
        return one(self._commands, override_document(_override(facts, override), facts, self._commands.clock()))


def _named(said: OverrideSpec) -> list[tuple[str, str]]:
    """Return the freezes and calendars that are named, each once."""
    freezes = [*([] if said.freeze is None else [said.freeze]), *said.freezes]
    calendars = [*([] if said.calendar is None else [said.calendar]), *said.calendars]
    return list(dict.fromkeys([*(("freeze", each) for each in freezes), *(("calendar", each) for each in calendars)]))


def check_reach_of(facts: Fleet, request: Request, verb: str, events: Sequence[Event], at: datetime) -> None:
    """Refuse an override on clusters for which somebody may not request one.

    Raises:
        Problem: 403.
    """
    for event in events:
        if isinstance(event, OverrideRequested):
            clusters = unpacked(event.clusters)
            check_reach(facts, request.state.principal, (verb, _KIND), clusters, at, event.applications)


def _override(facts: Fleet, name: str) -> Override:
    found = facts.policy.overrides.get(name)
    if found is None:
        raise not_found("override", name, nearest(name, facts.policy.overrides))
    return found


def override_document(override: Override, facts: Fleet, now: datetime) -> dict[str, Any]:
    """Return an override as it is shown."""
    request = override.request
    return {
        "id": request.id,
        "state": phase(override, facts.policy.approvals.get(request.approval), now),
        "freeze": request.freeze,
        "calendar": request.calendar,
        "gates": [f"{each.kind}/{each.name}" for each in gates_of(request)],
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


def overrides_router(commands: Commands, ids: Callable[[], str]) -> APIRouter:
    """Return the routes of overrides."""
    router, overrides = APIRouter(), Overrides(commands, ids)

    add = adding(router, "overrides")
    add("GET", "/v1/overrides", overrides.list, ("list", _KIND), "list_overrides")
    add("POST", "/v1/overrides", overrides.request, REQUEST, "request_override", openapi_extra=body_of(OverrideSpec))
    add("GET", "/v1/overrides/{override}", overrides.get, ("read", _KIND), "read_override")
    add(
        "POST",
        "/v1/overrides/{override}/revoke",
        overrides.revoke,
        REQUEST,
        "revoke_override",
        openapi_extra=body_of(ReasonSpec),
    )
    return router
