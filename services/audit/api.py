"""The routes of audit: the log's events (paged, followed, exported), the trail, and the log's verification."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from fastapi.sse import format_sse_event

from libs.commands.positions import Positions
from libs.contracts.problems import invalid
from libs.eventlog import EventLog
from libs.web.auth import requires
from libs.web.intents import flag
from libs.web.openapi import answers
from libs.web.paging import page_answer, page_of
from libs.web.positions import POSITION_HEADER, wanted_position
from libs.web.streams import Stream
from libs.web.turns import Turn
from services.audit.asking import asked_of, position, range_asked
from services.audit.domain import event_as_json, verdict
from services.audit.exporting import chosen, whole_lines
from services.audit.projections import AuditTrail
from services.audit.reading import Tail

_UNCACHED = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_ORDERS = ("newest", "oldest")


class _Events:
    """Reads the log to people."""

    def __init__(self, log: EventLog, tail: Tail) -> None:
        self._log = log
        self._tail = tail
        self._verifying = Turn("verification")

    async def page(
        self,
        request: Request,
        response: Response,
        after: str = "0",
        limit: str = "100",
        cursor: str = "",
        follow: str = "false",
    ) -> Any:
        """Return events after a position; with `follow=true` as server-sent events, for as long as the client stays."""
        del limit, cursor, follow  # page_of and flag read them
        page = page_of(request)
        start = position(page.after or request.headers.get("last-event-id") or after, "?after")
        if flag(request, "follow"):
            return Stream(self._stream(request, start), media_type="text/event-stream", headers=_UNCACHED)
        events = await asyncio.to_thread(self._log.read, start, page.limit)
        head = await asyncio.to_thread(self._log.head)
        response.headers[POSITION_HEADER] = str(head.position)
        more = bool(events) and events[-1].position < head.position
        items = [event_as_json(event) for event in events]
        return page_answer(request, response, items, str(events[-1].position) if more else None)

    async def _stream(self, request: Request, start: int) -> AsyncGenerator[bytes]:
        yield format_sse_event(comment="events follow")
        async with aclosing(self._tail.follow(start, request.is_disconnected)) as events:
            async for event in events:
                yield format_sse_event(data_str=json.dumps(event_as_json(event)), id=str(event.position), event="event")

    async def verify(self, request: Request) -> Response:
        """Recompute the hash chain of the whole log; one verification at a time."""
        del request
        with self._verifying.taken():
            found = await asyncio.to_thread(self._log.verify)
        return JSONResponse(verdict(found))


class Trail:
    """Answers who did what, when and why, and exports events that can be verified without the log."""

    def __init__(self, log: EventLog, trail: AuditTrail, positions: Positions) -> None:
        self._log = log
        self._trail = trail
        self._positions = positions

    async def page(  # noqa: PLR0913, PLR0917 - they are the query's parameters
        self,
        request: Request,
        response: Response,
        subject: str = "",
        actor: str = "",
        type: str = "",  # noqa: A002 - the parameter's name
        since: Annotated[str, Query(alias="from")] = "",
        until: str = "",
        order: str = "newest",
        limit: str = "100",
        cursor: str = "",
    ) -> Any:
        """Return a page of the trail, the newest first; `from` ≤ time < `until`, RFC 3339 with offset."""
        del subject, actor, type, since, until, limit, cursor  # asked_of and page_of read them
        asked, page = asked_of(request), page_of(request)
        if order not in _ORDERS:
            raise invalid(f"order must be {' or '.join(_ORDERS)}", pointer="?order")
        await self._positions.seen(wanted_position(request), self._trail)
        newest = order == "newest"
        if page.after:
            here = position(page.after, "?cursor")
            asked = replace(asked, before=here) if newest else replace(asked, after=here)
        items = await self._trail.page(asked, page.limit + 1, newest=newest)
        more = len(items) > page.limit
        items = items[: page.limit]
        response.headers[POSITION_HEADER] = str(self._trail.position)
        return page_answer(request, response, items, str(items[-1]["position"]) if more else None)

    async def export(  # noqa: PLR0913, PLR0917 - they are the query's parameters
        self,
        request: Request,
        after: str = "0",
        through: str = "",
        since: Annotated[str, Query(alias="from")] = "",
        until: str = "",
        subject: str = "",
        actor: str = "",
        type: str = "",  # noqa: A002 - the parameter's name
    ) -> Response:
        """Stream events as JSON Lines, each with the exact bytes that its hash covers.

        `after` < position ≤ `through`, `from` ≤ time < `until`; `subject`, `actor` and `type` leave others out. The
        headers `Resedge-Export-…` say what is to come, so that a stream that was cut off is known.
        """
        del after, through, since, until, subject, actor, type  # range_asked and asked_of read them
        asked = asked_of(request)
        first, last = await asyncio.to_thread(range_asked, request, self._log)
        filtered = bool(asked.subject or asked.actor or asked.types)
        count = last - first
        if filtered:
            await self._positions.seen(last, self._trail)
            count = await self._trail.count(replace(asked, after=first, before=last + 1, since=None, until=None))
            lines = chosen(self._log, self._trail, asked, first, last)
        else:
            lines = whole_lines(self._log, first, last)
        told = {"After": first, "Through": last, "Count": count}
        headers = {f"Resedge-Export-{name}": str(value) for name, value in told.items()}
        return Stream(lines, media_type="application/x-ndjson", headers={**_UNCACHED, **headers})


def audit_router(log: EventLog, tail: Tail, trail: AuditTrail, positions: Positions) -> APIRouter:
    """Return all routes of audit."""
    router = APIRouter(tags=["log"])
    events, told = _Events(log, tail), Trail(log, trail, positions)

    def add(path: str, handler: Any, rule: Any, name: str, method: str = "GET", media: str = "") -> None:
        responses = answers(200, media=("application/json", media) if media == "text/event-stream" else (media,))
        router.add_api_route(
            path,
            handler,
            methods=[method],
            dependencies=[rule],
            operation_id=name,
            response_model=None,
            responses=responses if media else None,
        )

    add("/v1/events", events.page, requires("list", "Event"), "list_events", media="text/event-stream")
    add("/v1/events:export", told.export, requires("list", "Event"), "export_events", media="application/x-ndjson")
    add("/v1/audit", told.page, requires("list", "Audit"), "list_audit")
    add("/v1/log:verify", events.verify, requires("verify", "Log"), "verify_log", "POST", "application/json")
    return router
