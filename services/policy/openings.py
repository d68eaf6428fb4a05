"""What may be asked of policy: when windows open in stores' own time, and what one may do where.

The one rule: both are answered by the very functions that decide, so that nobody is told what would not be.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response

from libs.access.principals import GROUPS_FIX
from libs.access.rights import may, scope
from libs.contracts.instants import read_instant
from libs.contracts.names import nearest
from libs.contracts.problems import invalid
from libs.contracts.rights import ROLE_KINDS, ROLE_VERBS
from libs.gates import windows
from libs.web.auth import requires
from libs.web.positions import HEADER
from libs.web.router import select
from services.policy.domain.approvals import recorded_from
from services.policy.showing import seen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libs.access.principals import Principal
    from libs.commands.commands import Commands
    from libs.gates import WindowRow

DAYS_DEFAULT = 7
DAYS_MAX = 62


class Openings:
    """What is asked, and answered from the facts at hand."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    async def windows(self, request: Request, response: Response, where: str | None = None) -> dict[str, Any]:
        """Return when calendars are open between `from` (default: now) and `to` (default: a week later).

        A row is one calendar in the stores of one zone and, where it looks at them, of equal hours; `where` chooses
        the clusters. Instants are on the stores' clocks, with their offset.
        """
        facts = await seen(request, self._commands)
        now = recorded_from(facts, self._commands.clock())
        asked = request.query_params
        start = read_instant(asked["from"], "?from") if asked.get("from") else now
        end = read_instant(asked["to"], "?to") if asked.get("to") else start + timedelta(days=DAYS_DEFAULT)
        if not start < end <= start + timedelta(days=DAYS_MAX):
            raise invalid(f"`to` is after `from`, and at most {DAYS_MAX} days after it", pointer="?to")
        clusters = facts.selection.everything if where is None else select(facts, where)
        response.headers[HEADER] = str(self._commands.facts.position)
        return {"items": [_row(each) for each in windows(facts, clusters, start, end, now)]}

    async def can_i(
        self, request: Request, response: Response, verb: str, kind: str, where: str | None = None, namespace: str = ""
    ) -> dict[str, Any]:
        """Tell whether the caller may do `verb` to things of `kind`: anywhere, or on all clusters of `where`.

        With `where`, things of `namespace` are meant, or of none. What is asked here is not noted as a denial.
        """
        _check(verb, ROLE_VERBS, "?verb")
        _check(kind, ROLE_KINDS, "?kind")
        facts = await seen(request, self._commands)
        principal: Principal = request.state.principal
        now = recorded_from(facts, self._commands.clock())
        response.headers[HEADER] = str(self._commands.facts.position)
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
    """Return why not; it may be that groups do not count, so that is said, too."""
    return f"{why}; {principal.groups_unknown}: {GROUPS_FIX}" if principal.groups_unknown else why


def _check(word: str, words: Sequence[str], pointer: str) -> None:
    if word not in words:
        near = nearest(word, words)
        fix = f"did you mean {near!r}?" if near else f"it is one of {', '.join(words)}"
        raise invalid(f"no role can name {word[:60]!r}", pointer=pointer, fix=fix)


def _row(row: WindowRow) -> dict[str, Any]:
    return {
        "calendar": row.calendar,
        "applications": list(row.applications),
        "zone": row.zone,
        "hours": row.hours or None,
        "count": row.clusters,
        "example": row.example,
        "open_now": row.open,
        "next_change": None if row.next_change is None else row.next_change.isoformat(),
        "openings": [{"from": begins.isoformat(), "to": ends.isoformat()} for begins, ends in row.openings],
        "never_opens": row.never_opens,
    }


def openings_router(commands: Commands) -> APIRouter:
    """Return the routes of what may be asked."""
    router, openings = APIRouter(), Openings(commands)
    router.add_api_route(
        "/v1/windows",
        openings.windows,
        methods=["GET"],
        dependencies=[requires("list", "Window")],
        operation_id="list_windows",
        response_model=None,
        tags=["windows"],
    )
    router.add_api_route(
        "/v1/can-i",
        openings.can_i,
        methods=["GET"],
        dependencies=[requires("read", "Principal")],
        operation_id="can_i",
        response_model=None,
        tags=["identity"],
    )
    return router
