"""The routes of the branch: restore writing, upgrade its layout, and the directories of deleted clusters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import Request, Response
from fastapi.responses import JSONResponse

from libs.commands.commands import Commands
from libs.commands.positions import Positions
from libs.commands.proposals import Proposal, Propose
from libs.contracts import Event
from libs.contracts.names import nearest
from libs.contracts.problems import invalid, not_found
from libs.web.bodies import parse_json, read_body
from libs.web.intents import intent_of
from libs.web.openapi import JSON, taking
from libs.web.positions import POSITION_HEADER, wanted_position
from libs.web.router import respond
from services.rendering.consumer import Rendering
from services.rendering.deciding.laying import LayoutState, UpgradeLayout, decide_next, end_grace, next_step, retired
from services.rendering.domain.branch import RestoreWriting
from services.rendering.domain.branch import decide as decide_branch

_REASON_CHARACTERS_MAX = 1_000
ANSWER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "reason": {"type": "string", "maxLength": _REASON_CHARACTERS_MAX},
        "now": {"type": "boolean", "description": "Of the layout only: without waiting between its steps."},
    },
}
"""The body of a person's answer."""


class BranchRoutes:
    """The handlers; they read the model in the event loop and never change it."""

    def __init__(self, rendering: Rendering, commands: Commands, positions: Positions) -> None:
        self._rendering = rendering
        self._commands = commands
        self._positions = positions

    async def restore(self, request: Request) -> Response:
        """Commit what is admitted on top of a foreign commit, and continue writing."""
        body = await read_body(request)
        reason = reason_of(body)
        if not reason:
            raise invalid("restoring the branch needs a reason", pointer="/reason")
        model = self._rendering.model
        command = RestoreWriting(model.branch, reason)
        propose = proposing(f"branch-{model.branch}", "restoring", lambda: decide_branch(command, model.foreign))
        return respond(await self._commands.change(propose, intent_of(request, body)))

    async def upgrade_layout(self, request: Request) -> Response:
        """Move the branch one step towards the newest layout; a dry run shows the step and its clusters."""
        body = await read_body(request)
        await self._positions.seen(wanted_position(request), self._rendering)
        model, now = self._rendering.model, self._rendering.reconciler.now()
        command = UpgradeLayout(model.branch, reason_of(body), _hurry(body), now)
        plan = next_step(model, now)
        propose = proposing(
            f"layout-{model.branch}", "upgrading", lambda: decide_next(command, LayoutState.of(model)), plan=plan
        )
        return respond(await self._commands.change(propose, intent_of(request, body)))

    async def retired(self, request: Request) -> Response:
        """Return the deleted clusters whose directories still exist, empty or about to be."""
        await self._positions.seen(wanted_position(request), self._rendering)
        model = self._rendering.model
        return JSONResponse({"items": retired(model), "next": None}, headers={POSITION_HEADER: str(model.position)})

    async def drop_retired(self, request: Request, name: str) -> Response:
        """Remove a deleted cluster's directory as soon as it is empty, without its grace."""
        body = await read_body(request)
        await self._positions.seen(wanted_position(request), self._rendering)
        model = self._rendering.model

        def decided() -> Sequence[Event]:
            events = end_grace(model, name, reason_of(body))
            if events is None:
                raise not_found("retired cluster", name, nearest(name, [each["name"] for each in retired(model)]))
            return events

        propose = proposing(f"layout-{model.branch}", "dropped", decided)
        return respond(await self._commands.change(propose, intent_of(request, body)))


def proposing(stream: str, result: str, decided: Callable[[], Sequence[Event]], **more: object) -> Propose:
    """Return what proposes the events of a decision on rendering's own state, all of one stream."""

    async def propose(_facts: object) -> Proposal:
        return Proposal(
            events=[(stream, event) for event in decided()],
            body={"result": result, "warnings": [], **more},
            unchanged=(200, {"result": "unchanged", "warnings": [], **more}),
        )

    return propose


def _content(body: bytes) -> dict[str, Any]:
    content = parse_json(body) if body else {}
    if not isinstance(content, dict):
        raise invalid("the body must be a JSON object")
    return content


def reason_of(body: bytes) -> str:
    """Return the reason in a body, which may be empty.

    Raises:
        Problem: 422, it is not text, or too long.
    """
    reason = _content(body).get("reason", "")
    if not isinstance(reason, str) or len(reason) > _REASON_CHARACTERS_MAX:
        raise invalid(f"the reason must be text of at most {_REASON_CHARACTERS_MAX} characters", pointer="/reason")
    return reason


def _hurry(body: bytes) -> bool:
    hurry = _content(body).get("now", False)
    if not isinstance(hurry, bool):
        raise invalid("now must be true or false", pointer="/now")
    return hurry


def add_branch_routes(add: Callable[..., None], rendering: Rendering, commands: Commands, positions: Positions) -> None:
    """Add the routes by `add(method, path, handler, verb, kind)`."""
    routes = BranchRoutes(rendering, commands, positions)
    maybe = {"openapi_extra": taking({JSON: ANSWER}, required=False)}
    add("POST", "/v1/gitops:restore", routes.restore, "restore", "Branch", openapi_extra=taking({JSON: ANSWER}))
    add("POST", "/v1/gitops:upgrade-layout", routes.upgrade_layout, "upgrade", "Branch", **maybe)
    add("GET", "/v1/retired-clusters", routes.retired, "list", "RetiredCluster")
    add("DELETE", "/v1/retired-clusters/{name}", routes.drop_retired, "delete", "RetiredCluster", **maybe)
