"""Problem documents (RFC 9457), the one shape of every answer that is not a success.

The one rule: handlers raise, and `problem_of` alone knows which exception is which status.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from libs.access.principals import GROUPS_FIX
from libs.bus.faults import passing
from libs.contracts.names import escape
from libs.contracts.refusals import Cycle, Invalid, Rejected, UnknownReference
from libs.eventlog import (
    EVENT_BYTES_MAX,
    EventTooLarge,
    InvalidSubmission,
    LogClosed,
    LogUnavailable,
    largest_member,
    trouble_of,
)
from libs.selection import Cycle as SelectionCycle
from libs.selection import SelectionError, UnknownName
from libs.web.metrics import REFUSALS
from libs.web.routes import methods_at

MEDIA_TYPE = "application/problem+json"
DOCS_PAGE = "/docs/reference/problems.md"

log = structlog.get_logger("resedge.web")


@dataclass(eq=False)
class Problem(Exception):  # noqa: N818 - RFC 9457 calls it a problem
    """An answer that is not a success: `code` is stable, `detail` says what is wrong here, `fix` what to do."""

    status: int
    code: str
    title: str
    detail: str
    pointer: str | None = None
    fix: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def document(self, request_id: str) -> dict[str, Any]:
        """Return the members of the problem document; absent ones are left out."""
        members = {
            "type": f"{DOCS_PAGE}#{self.code}",
            "code": self.code,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "pointer": self.pointer,
            "fix": self.fix,
            "request_id": request_id or None,
        }
        members |= {key: value for key, value in self.extra.items() if key not in members}
        return {key: value for key, value in members.items() if value is not None}


def said_problem(status: int, members: Mapping[str, Any]) -> Problem:
    """Return the problem that another service's problem document says."""
    known = ("type", "code", "title", "status", "detail", "pointer", "fix", "request_id")
    return Problem(
        status,
        str(members.get("code", "refused")),
        str(members.get("title", "The command was refused.")),
        str(members.get("detail", f"the service answers {status}")),
        members.get("pointer"),
        members.get("fix"),
        {key: value for key, value in members.items() if key not in known},
    )


def not_found(kind: str, name: str, near: str | None = None) -> Problem:
    """Return the 404 of a resource that the URL names."""
    plural = f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}s"
    return Problem(
        404,
        "not-found",
        "There is no such thing.",
        f"there is no {kind} {name!r}",
        fix=f"did you mean {near!r}?" if near else f"list what exists with GET /v1/{plural}",
        extra={"nearest": near},
    )


def invalid(detail: str, *, pointer: str | None = None, fix: str | None = None, **extra: Any) -> Problem:
    """Return the 422 of something that cannot be read."""
    return Problem(422, "invalid-request", "The request cannot be read.", detail, pointer, fix, extra)


def too_large(bytes_max: int) -> Problem:
    """Return the 413 of a body that exceeds its bound."""
    return Problem(
        413,
        "body-too-large",
        "The body is larger than this endpoint takes.",
        f"the body may have at most {bytes_max} bytes",
        fix="send less at once",
    )


def event_too_large(error: EventTooLarge, document: Mapping[str, Any] | None = None) -> Problem:
    """Return the 422 of what is more than one fact of the log; `document` is what the event was declared by.

    The pointer names the member that takes the most room: of the document where there is one, else of the event.
    """
    pointer, member_bytes = error.pointer, error.member_bytes
    if document is not None:
        said = {name: each for name, each in document.items() if name not in {"apiVersion", "kind"}}
        pointer, member_bytes = largest_member(said)
    return Problem(
        422,
        "too-large",
        "This is more than the log takes as one fact.",
        f"{error.stream} has {error.size_bytes:,} bytes; at most {EVENT_BYTES_MAX:,} are taken, and {pointer or 'it'} "
        f"alone has {member_bytes:,}",
        pointer=pointer or None,
        fix="say it with fewer entries: an expression, a label or a group instead of a list of names, "
        "or several documents instead of one",
        extra={"bytes": error.size_bytes, "bytes_max": EVENT_BYTES_MAX},
    )


def unavailable(detail: str, *, code: str = "unavailable", fix: str | None = None) -> Problem:
    """Return the 503 of a service that cannot answer now, but will."""
    return Problem(503, code, "The service cannot answer now.", detail, fix=fix, headers={"Retry-After": "1"})


def query_problem(error: SelectionError, pointer: str = "?where") -> Problem:
    """Return the 422 of an expression in a query: nothing in the fleet refers to it, so it is never a refusal."""
    problem = replace(_expression(error), status=422, pointer=pointer)
    return (
        replace(problem, title="The expression names what is not there.") if isinstance(error, UnknownName) else problem
    )


def expression_problem(error: SelectionError, pointer: str) -> Problem:
    """Return the problem of an expression in a body: 422 if it cannot be read, 409 if what it names is not there."""
    return replace(_expression(error), pointer=pointer)


def problem_of(error: Exception) -> Problem | None:  # noqa: C901, PLR0911 - one answer a kind of exception
    """Return the problem that an exception means, or nothing where it is a defect of ours."""
    match error:
        case Problem():
            return error
        case Rejected():
            return _refusal(error)
        case SelectionError():
            return _expression(error)
        case EventTooLarge():
            return event_too_large(error)
        case InvalidSubmission():
            return Problem(422, "too-large", "This is more than the log takes as one fact.", str(error))
        case LogUnavailable() | LogClosed():
            detail, fix = _away("the event log", error)
            return unavailable(detail, code="log-unavailable", fix=fix)
        case SQLAlchemyError() | ConnectionError() | TimeoutError() if passing(error):
            detail, fix = _away("the service's database", error)
            return unavailable(detail, fix=fix)
        case OSError() if trouble_of(error) is not None:
            detail, fix = _away("the service's data directory", error)
            return unavailable(detail, fix=fix)
        case RequestValidationError():
            return _request_validation(error)
        case HTTPException() | ClientDisconnect():
            return _http(error)
        case _:
            return None


def _away(what: str, error: Exception) -> tuple[str, str]:
    """Return what is wrong with a database or a disk that may be there again soon, and what to do."""
    repeat = "repeat with the same Idempotency-Key"
    trouble = trouble_of(error)
    if trouble is None:
        return f"{what} does not answer", repeat
    return f"{what} cannot be used now: {trouble.what}", f"{trouble.fix}; then {repeat}"


def _refusal(refusal: Rejected) -> Problem:
    status = 422 if isinstance(refusal, Invalid) else 409
    near = refusal.extra.get("nearest")
    fix = refusal.fix or (f"did you mean {near!r}?" if near else None)
    return Problem(status, refusal.code, refusal.title, refusal.detail, refusal.pointer, fix, refusal.extra)


def _expression(error: SelectionError) -> Problem:
    place: dict[str, Any] = {"position": error.position, "nearest": error.nearest}
    match error:
        case UnknownName():
            return _refusal(UnknownReference(str(error), **place, reference=f"{error.kind} {error.name}"))
        case SelectionCycle():
            return _refusal(Cycle(str(error), **place))
        case _:
            fix = f"did you mean {error.nearest!r}?" if error.nearest else None
            return Problem(422, error.code, "The expression cannot be read.", str(error), fix=fix, extra=place)


def _request_validation(error: RequestValidationError) -> Problem:
    first = error.errors()[0]
    place, *rest = first["loc"]
    pointer = "".join(f"/{escape(part)}" for part in rest)
    return invalid(str(first["msg"]), pointer=f"?{rest[0]}" if place == "query" and rest else pointer, place=place)


def _http(error: HTTPException | ClientDisconnect) -> Problem:
    if isinstance(error, ClientDisconnect):
        return Problem(400, "disconnected", "The client went away.", "the request ended before its body")
    phrase = HTTPStatus(error.status_code).phrase
    code = phrase.lower().replace(" ", "-")
    fix = "see GET /openapi.json for what there is" if error.status_code in {404, 405} else None
    return Problem(error.status_code, code, f"{phrase}.", str(error.detail), fix=fix, headers=error.headers or {})


def answer(problem: Problem, request_id: str) -> JSONResponse:
    """Return the response of a problem."""
    return JSONResponse(
        problem.document(request_id), problem.status, headers=dict(problem.headers), media_type=MEDIA_TYPE
    )


async def _handle(request: Request, error: Exception) -> JSONResponse:
    request_id = getattr(request.state, "request_id", "")
    problem = problem_of(error)
    if problem is None:
        log.error("request failed", request_id=request_id, path=request.url.path, exc_info=error)
        detail = "the server failed; its log has the reason under this request_id"
        said = getattr(request.state, "said", {})
        problem = Problem(500, "internal", "The server failed.", detail, headers=said)
    if problem.status == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = methods_at(request.app.routes, request.scope["path"])
        problem = replace(problem, headers={**problem.headers, "Allow": ", ".join(allowed)})
    if problem.status == HTTPStatus.CONFLICT:
        REFUSALS.labels(problem.code).inc()
    if problem.status == HTTPStatus.FORBIDDEN:
        problem = _without_groups(problem, request)
        request.state.refused = problem.detail
    return answer(problem, request_id)


def _without_groups(problem: Problem, request: Request) -> Problem:
    """Return a 403 that says so where groups of whoever asks do not count: it may be refused for that alone."""
    unknown = getattr(getattr(request.state, "sender", None), "groups_unknown", "")
    if not unknown:
        return problem
    fix = "; ".join(each for each in (problem.fix, GROUPS_FIX) if each)
    extra = {**problem.extra, "groups_unknown": unknown}
    return replace(problem, detail=f"{problem.detail}; {unknown}", fix=fix, extra=extra)


async def _handle_passing(request: Request, error: Exception) -> JSONResponse:
    """Answer a fault that passes; any other of its class is a defect of ours, which is answered where all are."""
    if problem_of(error) is None:
        raise error
    return await _handle(request, error)


def install_problems(app: FastAPI) -> None:
    """Make every exception of `app` a problem document."""
    ours = (Problem, Rejected, SelectionError, InvalidSubmission, LogUnavailable, LogClosed)
    for handled in (*ours, RequestValidationError, HTTPException, ClientDisconnect, Exception):
        app.add_exception_handler(handled, _handle)
    for handled in (SQLAlchemyError, OSError):
        app.add_exception_handler(handled, _handle_passing)
