"""The route that tells when windows open, in the stores' own time.

The same functions as for admissions decide, so that the answer is always right.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response

from libs.contracts.instants import read_instant
from libs.contracts.problems import invalid
from libs.gates import windows
from libs.web.positions import POSITION_HEADER
from libs.web.router import adding, select
from services.policy.answers import seen
from services.policy.domain.approvals import earliest_record

if TYPE_CHECKING:
    from libs.commands.commands import Commands
    from libs.gates import WindowRow

DAYS_DEFAULT = 7
DAYS_MAX = 62


class Windows:
    """The handler, which reads the facts at hand."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    async def windows(self, request: Request, response: Response, where: str | None = None) -> dict[str, Any]:
        """Return when calendars are open between `from` (default: now) and `to` (default: a week later).

        A row is one calendar in the stores of one zone and, where it looks at them, of equal hours; `where` chooses
        the clusters. Instants are on the stores' clocks, with their offset.
        """
        facts = await seen(request, self._commands)
        now = earliest_record(facts, self._commands.clock())
        asked = request.query_params
        start = read_instant(asked["from"], "?from") if asked.get("from") else now
        end = read_instant(asked["to"], "?to") if asked.get("to") else start + timedelta(days=DAYS_DEFAULT)
        if not start < end <= start + timedelta(days=DAYS_MAX):
            raise invalid(f"`to` must be after `from`, by at most {DAYS_MAX} days", pointer="?to")
        clusters = facts.selection.everything if where is None else select(facts, where)
        response.headers[POSITION_HEADER] = str(self._commands.facts.position)
        return {"items": [_row(each) for each in windows(facts, clusters, start, end, now)]}


def _row(row: WindowRow) -> dict[str, Any]:
    return {
        "calendar": row.calendar,
        "applications": list(row.applications),
        "require": row.require,
        "zone": row.zone,
        "hours": row.hours or None,
        "count": row.clusters,
        "example": row.example,
        "open_now": row.open,
        "next_change": None if row.next_change is None else row.next_change.isoformat(),
        "openings": [{"from": begins.isoformat(), "to": ends.isoformat()} for begins, ends in row.openings],
        "never_opens": row.never_opens,
    }


def windows_router(commands: Commands) -> APIRouter:
    """Return the route of windows."""
    router, routes = APIRouter(), Windows(commands)
    adding(router, "windows")("GET", "/v1/windows", routes.windows, ("list", "Window"), "list_windows")
    return router
