"""The FastAPI application of every service, and the layer around each request.

A request has an id, a span, a log line and a duration by route template, whatever its outcome.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.telemetry import TelemetryConfig
from opentelemetry import trace
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.access.denials import Denials
from libs.access.principals import Principal
from libs.access.rights import Rights
from libs.access.tokens import Verifier
from libs.contracts.problems import Problem
from libs.version import VERSION, VERSION_HEADER
from libs.web.arriving import BODY_SECONDS, in_time
from libs.web.auth import authorize, by_of, open_to_all, principal_of, requires
from libs.web.kinds import KINDS_HEADER, KINDS_VERSION, kinds_router
from libs.web.metrics import READY, REQUEST_SECONDS, exposition
from libs.web.openapi import described
from libs.web.problems import install_problems

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
CLOCK_HEADER = "Resedge-Clock"
"""In every answer of a process whose clock is not the real one: what the clock shows, and how fast it runs."""
QUIET = frozenset({"/livez", "/readyz", "/metrics"})
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"})
OTHER_METHOD = "other"
"""Stands for every other method where methods are counted: clients may make up as many as they like."""
LOGGED_METHOD_CHARACTERS_MAX = 20
NO_SECOND_TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}
"""FastAPI would give every request a second server span, four below it, and exceptions' messages to exporters."""

log = structlog.get_logger("resedge.http")
_tracer = trace.get_tracer("resedge.http")
_propagator = TraceContextTextMapPropagator()


@dataclass(frozen=True, slots=True)
class Readiness:
    """What one readiness check found; one that is not `required` is listed, and leaves the service ready."""

    name: str
    ok: bool
    detail: str
    required: bool = True


ReadinessCheck = Callable[[], Awaitable[Readiness]]


class AroundRequests:
    """The outermost layer: request id, span, duration, one log line, version and virtual clock, HEAD, slow bodies."""

    def __init__(
        self,
        app: ASGIApp,
        new_id: Callable[[], str],
        clock_told: Callable[[], str] | None = None,
        denials: Denials | None = None,
        body_seconds: float = BODY_SECONDS,
    ) -> None:
        self._app = app
        self._denials = denials
        self._new_id = new_id
        self._clock_told = clock_told
        self._body_seconds = body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        given = headers.get("x-request-id", "")
        request_id = given if REQUEST_ID.fullmatch(given) else self._new_id()
        said = {"X-Request-ID": request_id, VERSION_HEADER: VERSION, KINDS_HEADER: KINDS_VERSION}
        if self._clock_told is not None:
            said[CLOCK_HEADER] = self._clock_told()
        # What fails is answered outside of this layer, and says the same.
        scope.setdefault("state", {}).update(request_id=request_id, said=said)
        method = scope["method"] if scope["method"] in METHODS else OTHER_METHOD
        inner = {**scope, "method": "GET"} if method == "HEAD" else scope
        answer = _Answer(send, said, head=method == "HEAD")
        started = time.perf_counter()
        context = _propagator.extract(headers)
        with _tracer.start_as_current_span(f"{method} request", context, kind=SpanKind.SERVER) as span:
            try:
                await self._app(inner, in_time(receive, self._body_seconds), answer.send)
            finally:
                route = getattr(inner.get("route"), "path", "none")
                span.update_name(f"{method} {route}")
                span.set_attributes({"http.route": route, "http.response.status_code": answer.status})
                REQUEST_SECONDS.labels(method, route, str(answer.status)).observe(time.perf_counter() - started)
                self._note(scope, request_id, answer.status, time.perf_counter() - started)
                if answer.status == HTTPStatus.FORBIDDEN and self._denials is not None:
                    _note_refused(self._denials, inner, route)

    @staticmethod
    def _note(scope: Scope, request_id: str, status: int, seconds: float) -> None:
        if scope["path"] not in QUIET:
            level = log.error if status >= 500 else log.info
            level(
                "request",
                method=scope["method"][:LOGGED_METHOD_CHARACTERS_MAX],
                path=scope["path"],
                status=status,
                milliseconds=round(seconds * 1000, 1),
                request_id=request_id,
            )


def _note_refused(denials: Denials, scope: Scope, route: str) -> None:
    """Count a request that was answered with 403; without a verified token there is no actor to count it for."""
    request = Request(scope)
    if hasattr(request.state, "sender"):
        by = by_of(request)
        detail = getattr(request.state, "refused", "")
        denials.note(by.person, f"{scope['method']} {route}", detail, by)


class _Answer:
    """The outgoing answer: with the headers that all answers have, and for HEAD without the body of GET."""

    def __init__(self, send: Send, said: Mapping[str, str], *, head: bool) -> None:
        self._send, self._said, self._head = send, said, head
        self.status = 500

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            more = [(name.lower().encode(), value.encode()) for name, value in self._said.items()]
            message["headers"] = [*message["headers"], *more]
            await self._send(message)
            if self._head:  # What streams need not be waited for.
                await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        elif not self._head:
            await self._send(message)
            if message.get("more_body"):
                # Sending waits for nothing while there is room, or once the client has gone: a stream lets others run.
                await asyncio.sleep(0)


def web_application(  # noqa: PLR0913 - the parts of a process that every service shares
    *,
    title: str,
    tokens: Verifier,
    new_id: Callable[[], str],
    checks: Sequence[ReadinessCheck],
    collect: Callable[[], None] = lambda: None,
    clock_told: Callable[[], str] | None = None,
    rights: Rights | None = None,
    denials: Denials | None = None,
    lifespan: Any = None,
) -> FastAPI:
    """Return an application with health, metrics, schema, problems and request ids, to which routers are added.

    `collect` brings the gauges up to date when metrics are read; `clock_told` says what a virtual clock shows.
    Without `rights` nobody has more than the roles of their token; `denials` counts what is refused.
    """
    app = FastAPI(
        title=title,
        version=VERSION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        telemetry=NO_SECOND_TELEMETRY,
    )
    app.state.tokens = tokens
    app.state.rights = rights
    app.add_middleware(AroundRequests, new_id=new_id, clock_told=clock_told, denials=denials)
    install_problems(app)
    app.openapi = lambda: described(app)  # type: ignore[method-assign]  # FastAPI's own way of extending it
    _add_health(app, checks)
    _add_identity(app, clock_told)
    app.include_router(kinds_router())

    @app.get("/metrics", dependencies=[requires("read", "Metrics")], response_class=PlainTextResponse, tags=["health"])
    async def metrics() -> Response:
        """Return all metrics in Prometheus' text format."""
        collect()
        for each in [await check() for check in checks]:
            READY.labels(each.name).set(each.ok or not each.required)
        content, media_type = exposition()
        return Response(content, media_type=media_type)

    @app.get("/openapi.json", dependencies=[requires("read", "Schema")], include_in_schema=False)
    async def openapi() -> JSONResponse:
        """Return the OpenAPI description of all routes."""
        return JSONResponse(app.openapi())

    return app


def _add_identity(app: FastAPI, clock_told: Callable[[], str] | None) -> None:
    @app.get("/v1/whoami", dependencies=[requires("read", "Principal")], tags=["identity"], operation_id="whoami")
    async def whoami(request: Request) -> dict[str, Any]:
        """Tell who the token is for, in which built-in roles and groups, which token it is and until when.

        `groups_unknown` says why groups do not count, such as group overage.
        """
        principal: Principal = request.state.principal
        return {
            "actor": principal.name,
            "roles": sorted(principal.roles),
            "groups": sorted(principal.groups),
            "token": principal.token_id or None,
            "expires": None if principal.expires is None else principal.expires.isoformat(),
            **({"groups_unknown": principal.groups_unknown} if principal.groups_unknown else {}),
            **({} if clock_told is None else {"clock": clock_told()}),
        }


def _add_health(app: FastAPI, checks: Sequence[ReadinessCheck]) -> None:
    @app.get("/livez", dependencies=[open_to_all()], response_class=PlainTextResponse, tags=["health"])
    async def livez() -> str:
        """Tell that the process answers."""
        return "ok"

    @app.get("/readyz", dependencies=[open_to_all()], response_model=None, tags=["health"])
    async def readyz(request: Request) -> Response:
        """Tell whether the service can work: 200 or 503; `?verbose` lists version and checks, with a token in words."""
        found = [await check() for check in checks]
        status = 200 if all(each.ok or not each.required for each in found) else 503
        if "verbose" not in request.query_params:
            return PlainTextResponse("ok" if status == 200 else "not ready", status)
        listed: list[dict[str, Any]] = [{"check": each.name, "ok": each.ok} for each in found]
        if await _may_know(request):
            # A detail may name files, databases and what a driver said: nothing for everybody.
            listed = [{**told, "detail": each.detail} for told, each in zip(listed, found, strict=True)]
        return JSONResponse({"ready": status == 200, "version": VERSION, "checks": listed}, status)


async def _may_know(request: Request) -> bool:
    """Tell whether a request carries a token that may read figures; health itself needs none."""
    if "authorization" not in request.headers:
        return False
    try:
        authorize(await principal_of(request), "read", "Metrics", request.app.state.rights)
    except Problem:
        return False
    return True
