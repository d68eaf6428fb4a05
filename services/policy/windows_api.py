"""The route that tells when windows open, in the stores' own time.

The same functions as for admissions decide, so that the answer is always right.
"""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response

from libs.calendars import zone_of
from libs.contracts.instants import read_instant
from libs.contracts.names import nearest
from libs.contracts.problems import invalid
from libs.gates import Gates, windows
from libs.web.positions import POSITION_HEADER
from libs.web.router import adding, select
from services.policy.answers import seen
from services.policy.domain.approvals import earliest_record

if TYPE_CHECKING:
    from datetime import datetime, tzinfo

    from libs.commands.commands import Commands
    from libs.fleet import Fleet
    from libs.gates import WindowRow

DAYS_DEFAULT = 7
DAYS_MAX = 62


class Windows:
    """The handler, which reads the facts at hand."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    async def windows(
        self, request: Request, response: Response, where: str | None = None, cluster: str = "", application: str = ""
    ) -> dict[str, Any]:
        """Return when calendars are open between `from` (default: now) and `to` (default: a week later).

        A row is one calendar in the stores of one zone and, where it looks at them, of equal hours; `where` chooses
        the clusters. Instants are on the stores' clocks, with their offset. With `cluster` (and `application`) there is
        one row: when changes may pass there, by all calendars, freezes, overrides and withheld changes together.
        """
        del cluster, application  # read with the others
        facts = await seen(request, self._commands)
        now = earliest_record(facts, self._commands.clock())
        asked = request.query_params
        start = read_instant(asked["from"], "?from") if asked.get("from") else now
        end = read_instant(asked["to"], "?to") if asked.get("to") else start + timedelta(days=DAYS_DEFAULT)
        if not start < end <= start + timedelta(days=DAYS_MAX):
            raise invalid(f"`to` must be after `from`, by at most {DAYS_MAX} days", pointer="?to")
        if asked.get("cluster"):
            if where is not None:
                raise invalid("give where or cluster, not both", pointer="?where")
            response.headers[POSITION_HEADER] = str(self._commands.facts.position)
            return {"items": [_open_for(facts, asked["cluster"], asked.get("application", ""), (start, end), now)]}
        if asked.get("application"):
            raise invalid(
                "openings for an application are those on one cluster", pointer="?cluster", fix="name a cluster"
            )
        clusters = facts.selection.everything if where is None else select(facts, where)
        response.headers[POSITION_HEADER] = str(self._commands.facts.position)
        return {"items": [_row(each) for each in windows(facts, clusters, start, end, now)]}


def _open_for(
    facts: Fleet, cluster: str, application: str, span: tuple[datetime, datetime], now: datetime
) -> dict[str, Any]:
    """Return the one row about what is open for a cluster, and for an application on it."""
    ordinal = facts.selection.ordinal(cluster)
    if ordinal is None:
        detail = f"there is no cluster {cluster[:80]!r}"
        raise invalid(detail, pointer="?cluster", fix="see `resedge get clusters`")
    if application and application not in facts.applications:
        near = nearest(application, facts.applications)
        fix = f"did you mean {near}?" if near else "see `resedge get applications`"
        raise invalid(f"there is no application {application[:80]!r}", pointer="?application", fix=fix, nearest=near)
    zone_name = facts.zones.names[facts.zone_of.values[ordinal]]
    zone: tzinfo = zone_of(zone_name) if zone_name else UTC
    instant = Gates(facts).at(now)
    found, waits = instant.open_for(application, ordinal, *span)
    opens, _ = instant.earliest(application, ordinal, now, first=False)
    is_open = opens == now
    change = instant.closes_at(application, ordinal, now) if is_open else opens
    return {
        "calendar": "open",
        "applications": [application] if application else [],
        "require": False,
        "zone": zone_name,
        "hours": None,
        "count": 1,
        "example": cluster,
        "open_now": is_open,
        "next_change": None if change is None else change.astimezone(zone).isoformat(),
        "openings": [
            {"from": begins.astimezone(zone).isoformat(), "to": (ends or span[1]).astimezone(zone).isoformat()}
            for begins, ends in found
        ],
        "never_opens": None if found or opens is not None else f"it waits for {', then '.join(waits)}",
        "waits_for": waits,
    }


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
