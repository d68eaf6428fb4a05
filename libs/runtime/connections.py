"""Limits on connections: how many, how long for a head, how slowly a client may read.

A connection that only waits for its client is closed first. A new connection replaces the one that has waited longest
without a whole request, so that half-open connections never keep others out.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, cast

import h11
from starlette.types import Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.server import ServerState

from libs.contracts.problems import Problem, unavailable
from libs.web.metrics import CONNECTIONS, CONNECTIONS_ENDED
from libs.web.problems import MEDIA_TYPE, answer

FILES_WANTED = 65_536
"""Open files that a process asks the system for; fewer if the system's own limit is lower."""
FILES_KEPT = 256
"""Files that are never used for connections: databases, packs, child processes."""
CONNECTIONS_MIN = 16


@dataclass(frozen=True, slots=True)
class Bounds:
    """The limits of a process for all its clients together (`connections_max`) and for each of them."""

    connections_max: int = 1_000
    head_bytes_max: int = 64 * 1024
    head_seconds: float = 10.0
    """From the connection, or from the first byte of a later request, to the end of its headers."""
    idle_seconds: int = 5
    """Between an answer and the next request."""
    drain_seconds: float = 30.0
    """For the rest of a body whose request was answered before it arrived."""
    linger_seconds: float = 2.0
    """For a client to read that it did not send a request, before the connection is closed."""
    send_seconds: float = 30.0
    """For the next `send_bytes_min` of an answer to leave, while there are so many."""
    send_bytes_min: int = 16 * 1024
    look_seconds: float = 1.0
    """How often each connection is looked at."""

    def within(self, files_max: int) -> Bounds:
        """Return limits that leave enough files for everything else if the process may open only `files_max`."""
        room = max(CONNECTIONS_MIN, (files_max - FILES_KEPT) // 2)
        return replace(self, connections_max=min(self.connections_max, room))


def open_files_max() -> int:
    """Raise the process's limit of open files as far as needed and allowed; return the new limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_WANTED if hard == resource.RLIM_INFINITY else min(FILES_WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return FILES_WANTED if soft == resource.RLIM_INFINITY else soft


@dataclass(slots=True)
class Connections:
    """All connections of one server; `waiting` are those without a whole request, the longest first."""

    bounds: Bounds
    count: int = 0
    waiting: dict[BoundedProtocol, None] = field(default_factory=dict)

    def admit(self, new: BoundedProtocol) -> None:
        """Count a connection; above the limit, another one is closed or this one is refused."""
        self.count += 1
        CONNECTIONS.set(self.count)
        if self.count > self.bounds.connections_max:
            longest = next(iter(self.waiting), None)
            if longest is None:
                new.turn_away()
            else:
                longest.end("gave way")
        self.waiting[new] = None

    def forget(self, gone: BoundedProtocol) -> None:
        """Stop counting a closed connection."""
        self.count -= 1
        CONNECTIONS.set(self.count)
        self.waiting.pop(gone, None)


class Counted:
    """A transport that counts what was written to it, to tell a slow reader from one that does not read."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._written = 0

    def write(self, data: bytes) -> None:
        """Write."""
        self._written += len(data)
        self._transport.write(data)

    @property
    def sent(self) -> int:
        """Return how many bytes have left this process."""
        return self._written - self._transport.get_write_buffer_size()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


async def _full(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request on a connection that is one too many."""
    problem = unavailable("this process has reached its limit of connections", code="too-many-connections")
    await answer(replace(problem, headers={**problem.headers, "Connection": "close"}), "")(scope, receive, send)


def _told(problem: Problem) -> bytes:
    """Return the bytes of an answer to data that is not a request."""
    body = bytes(answer(problem, "").body)
    lines = [
        f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}",
        f"Content-Type: {MEDIA_TYPE}",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


class BoundedProtocol(H11Protocol):
    """uvicorn's connection with a deadline for everything that a client does."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        connections: Connections,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._all = connections
        self._bounds = connections.bounds
        self._counted = self._partial = self._refused = False
        self._fresh = True
        self._began = self._ended = self._window = self.loop.time()
        self._sent = 0
        self._timer: asyncio.TimerHandle | None = None

    # What uvicorn calls.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's signature, narrower than asyncio's
        """Take the connection."""
        super().connection_made(cast("asyncio.Transport", Counted(transport)))
        self._counted = True
        self._all.admit(self)
        self._began = self._window = self.loop.time()
        self._timer = self.loop.call_later(self._bounds.look_seconds, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """Release the connection."""
        if self._timer is not None:
            self._timer.cancel()
        if self._counted:
            self._counted = False
            self._all.forget(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read; the head of a later request is on the clock from its first byte."""
        if self.transport.is_closing() or self._refused:
            return
        if self._idle and not self._partial and self.cycle is not None:
            self._began = self.loop.time()
        super().data_received(data)
        if not self._refused:
            self._look_at_request()

    def on_response_complete(self) -> None:
        """Wait for the next request, or for the rest of a body that is no longer read."""
        self._fresh = False
        self._ended = self._began = self.loop.time()
        super().on_response_complete()  # the next request may have come already
        self._look_at_request()

    def _look_at_request(self) -> None:
        """Check whether a request is being answered; a connection without one is waiting."""
        self._partial = self._idle and self.conn.their_state is h11.IDLE and bool(self.conn.trailing_data[0])
        if self._idle and not self.transport.is_closing():
            self._all.waiting.setdefault(self, None)
        else:
            self._all.waiting.pop(self, None)

    def send_400_response(self, msg: str) -> None:
        """Answer data that is not HTTP, or exceeds a limit, with a problem document."""
        error = sys.exc_info()[1]
        hint = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else 400
        self._refuse(_problem_of(hint, str(error or msg)))

    # What this class adds.

    @property
    def _idle(self) -> bool:
        cycle = cast("RequestResponseCycle | None", self.cycle)  # none before the first request
        return cycle is None or cycle.response_complete

    def turn_away(self) -> None:
        """Answer every request on this connection with 503."""
        self.app = _full

    def end(self, why: str) -> None:
        """Close at once, with an answer where one is due."""
        self._all.waiting.pop(self, None)
        self._note(why)
        if self._partial and not self._refused and not self.transport.is_closing():
            self.transport.write(_told(_problem_of(HTTPStatus.REQUEST_TIMEOUT, "the request did not come in time")))
        self.transport.close()

    def _abort(self, why: str) -> None:
        self._note(why)
        self.transport.abort()

    @staticmethod
    def _note(why: str) -> None:
        CONNECTIONS_ENDED.labels(why).inc()

    def _refuse(self, problem: Problem) -> None:
        """Answer with a problem and close; nothing is answered where an answer has begun."""
        if not self._idle:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            self.transport.close()
            return
        # Closing at once, with unread bytes, would reset the connection before its client sees the answer.
        self.transport.write(_told(problem))
        self.transport.write_eof()
        self._refused, self._ended = True, self.loop.time()
        self._all.waiting[self] = None

    def _look(self) -> None:
        """End the connection if its client is overdue."""
        self._timer = self.loop.call_later(self._bounds.look_seconds, self._look)
        now = self.loop.time()
        if self._stalled(now):
            self._abort("does not read")
        elif self._refused:
            if now - self._ended > self._bounds.linger_seconds:
                self.transport.abort()
        elif self.transport.is_closing() or not self._idle:
            return
        elif not self._fresh and self.conn.their_state is h11.SEND_BODY:
            if now - self._ended > self._bounds.drain_seconds:
                self._abort("body too late")
        elif (self._fresh or self._partial) and now - self._began > self._bounds.head_seconds:
            self.end("head too late")

    def _stalled(self, now: float) -> bool:
        transport = cast("Counted", self.transport)
        if transport.get_write_buffer_size() == 0:
            self._window, self._sent = now, transport.sent
            return False
        if now - self._window < self._bounds.send_seconds:
            return False
        slow = transport.sent - self._sent < self._bounds.send_bytes_min
        self._window, self._sent = now, transport.sent
        return slow


_TOO_LARGE = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE


def _problem_of(status: int, detail: str) -> Problem:
    """Return the problem for data that is not a request."""
    if status == _TOO_LARGE:
        return Problem(431, "headers-too-large", "The headers are too large.", detail, fix="send less in headers")
    if status == HTTPStatus.REQUEST_TIMEOUT:
        return Problem(408, "request-timeout", "The request did not come in time.", detail, fix="send it at once")
    invalid = Problem(400, "invalid-http", "This is not an HTTP request.", detail[:200], fix="send HTTP/1.1")
    return replace(invalid, status=501) if status == HTTPStatus.NOT_IMPLEMENTED else invalid


def protocol_of(bounds: Bounds) -> Callable[..., asyncio.Protocol]:
    """Return a factory of connections of one server, which are counted together."""
    return functools.partial(BoundedProtocol, connections=Connections(bounds))
