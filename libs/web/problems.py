"""Problem documents (RFC 9457), the one shape of every answer that is not a success.

The one rule: handlers raise, and `problem_of` (libs/commands/problems.py) alone knows which exception is which status.
"""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from libs.access.principals import GROUPS_FIX
from libs.commands.problems import problem_of
from libs.contracts.names import escape
from libs.contracts.problems import Problem, invalid
from libs.contracts.refusals import Rejected
from libs.eventlog import (
    InvalidSubmission,
    LogClosed,
    LogUnavailable,
)
from libs.selection import SelectionError
from libs.web.metrics import REFUSALS
from libs.web.routes import methods_at

MEDIA_TYPE = "application/problem+json"

log = structlog.get_logger("resedge.web")


def _problem_of(error: Exception) -> Problem | None:
    """Return the problem that an exception means, HTTP's own ones too."""
    match error:
        case RequestValidationError():
            return _request_validation(error)
        case HTTPException() | ClientDisconnect():
            return _http(error)
        case _:
            return problem_of(error)


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
    problem = _problem_of(error)
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
    if _problem_of(error) is None:
        raise error
    return await _handle(request, error)


def install_problems(app: FastAPI) -> None:
    """Make every exception of `app` a problem document."""
    ours = (Problem, Rejected, SelectionError, InvalidSubmission, LogUnavailable, LogClosed)
    for handled in (*ours, RequestValidationError, HTTPException, ClientDisconnect, Exception):
        app.add_exception_handler(handled, _handle)
    for handled in (SQLAlchemyError, OSError):
        app.add_exception_handler(handled, _handle_passing)
