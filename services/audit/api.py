"""The routes of audit: the log's events, paged or followed, and its verification."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.sse import format_sse_event

from libs.eventlog import EventLog
from libs.web.auth import requires
from libs.web.intents import flag
from libs.web.paging import page_answer, page_of
from libs.web.positions import HEADER
from libs.web.problems import invalid
from services.audit.domain import shown, verdict
from services.audit.reading import Tail

POSITION_DIGITS_MAX = 18


class Events:
    """Reads the log to people."""

    def __init__(self, log: EventLog, tail: Tail) -> None:
        self._log = log
        self._tail = tail
        self._verifying = asyncio.Lock()

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
        position = _position(page.after or request.headers.get("last-event-id") or after)
        if flag(request, "follow"):
            return StreamingResponse(self._stream(request, position), media_type="text/event-stream", headers=_UNCACHED)
        events = await asyncio.to_thread(self._log.read, position, page.limit)
        head = await asyncio.to_thread(self._log.head)
        response.headers[HEADER] = str(head.position)
        more = bool(events) and events[-1].position < head.position
        items = [shown(event) for event in events]
        return page_answer(request, response, items, str(events[-1].position) if more else None)

    async def _stream(self, request: Request, position: int) -> AsyncIterator[bytes]:
        yield format_sse_event(comment="events follow")
        async for event in self._tail.follow(position, request.is_disconnected):
            yield format_sse_event(data_str=json.dumps(shown(event)), id=str(event.position), event="event")

    async def verify(self, request: Request) -> Response:
        """Recompute the hash chain of the whole log; one verification at a time."""
        del request
        async with self._verifying:
            found = await asyncio.to_thread(self._log.verify)
        return JSONResponse(verdict(found))


_UNCACHED = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def _position(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or len(text) > POSITION_DIGITS_MAX:
        raise invalid(f"{text[:40]!r} is not a position of the log", pointer="?after")
    return int(text)


def audit_router(log: EventLog, tail: Tail) -> APIRouter:
    """Return all routes of audit."""
    router = APIRouter(tags=["log"])
    events = Events(log, tail)
    router.add_api_route(
        "/v1/events",
        events.page,
        methods=["GET"],
        dependencies=[requires("list", "Event")],
        operation_id="list_events",
        response_model=None,
    )
    router.add_api_route(
        "/v1/log:verify",
        events.verify,
        methods=["POST"],
        dependencies=[requires("verify", "Log")],
        operation_id="verify_log",
        response_model=None,
    )
    return router
