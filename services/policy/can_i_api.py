"""The route that tells what the caller may do, and where.

The same functions as for real requests decide, so that the answer is always right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response

from libs.access.principals import GROUPS_FIX
from libs.access.rights import may, scope
from libs.contracts.names import nearest
from libs.contracts.problems import invalid
from libs.contracts.rights import ROLE_KINDS, ROLE_VERBS
from libs.web.positions import POSITION_HEADER
from libs.web.router import adding, select
from services.policy.answers import seen
from services.policy.domain.approvals import earliest_record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libs.access.principals import Principal
    from libs.commands.commands import Commands


class CanI:
    """The handler, which reads the facts at hand."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    async def can_i(
        self, request: Request, response: Response, verb: str, kind: str, where: str | None = None, namespace: str = ""
    ) -> dict[str, Any]:
        """Tell whether the caller may do `verb` to things of `kind`: anywhere, or on all clusters of `where`.

        With `where`, the things are those of `namespace`, or of none. A negative answer is not recorded as a denial.
        """
        _check(verb, ROLE_VERBS, "?verb")
        _check(kind, ROLE_KINDS, "?kind")
        facts = await seen(request, self._commands)
        principal: Principal = request.state.principal
        now = earliest_record(facts, self._commands.clock())
        response.headers[POSITION_HEADER] = str(self._commands.facts.position)
        if not may(facts, principal, verb, kind, now):
            return {"allowed": False, "reason": _why(principal, f"no role of {principal.name} allows to {verb} {kind}")}
        if where is None and not namespace:
            return {"allowed": True, "reason": ""}
        clusters = facts.selection.everything if where is None else select(facts, where)
        held = scope(facts, principal, verb, kind, now, namespace or None)
        if held.covers(clusters):
            return {"allowed": True, "reason": ""}
        beyond = clusters - held.clusters
        example = facts.selection.name(beyond[0])
        why = f"{principal.name} may not {verb} {kind} on {len(beyond)} of these clusters, such as {example}"
        return {"allowed": False, "reason": _why(principal, why)}


def _why(principal: Principal, why: str) -> str:
    """Return why not, and whether groups did not count, since that may be the cause."""
    return f"{why}; {principal.groups_unknown}: {GROUPS_FIX}" if principal.groups_unknown else why


def _check(word: str, words: Sequence[str], pointer: str) -> None:
    if word not in words:
        near = nearest(word, words)
        fix = f"did you mean {near!r}?" if near else f"use one of {', '.join(words)}"
        raise invalid(f"no role can name {word[:60]!r}", pointer=pointer, fix=fix)


def can_i_router(commands: Commands) -> APIRouter:
    """Return the route that tells what the caller may do."""
    router, routes = APIRouter(), CanI(commands)
    adding(router, "identity")("GET", "/v1/can-i", routes.can_i, ("read", "Principal"), "can_i")
    return router
