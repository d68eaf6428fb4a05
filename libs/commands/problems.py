"""Maps exceptions to problems, apart from those of HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from libs.bus.faults import passing
from libs.contracts.problems import Problem, unavailable
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
from libs.selection import ReferenceCycle as SelectionCycle
from libs.selection import SelectionError, UnknownName


def problem_of(error: Exception) -> Problem | None:  # noqa: PLR0911 - one answer a kind of exception
    """Return the problem for an exception, or None if the exception is a defect of ours."""
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
            return Problem(422, "too-large", "The event is too large for the log.", str(error))
        case LogUnavailable() | LogClosed():
            detail, fix = _away("the event log", error)
            return unavailable(detail, code="log-unavailable", fix=fix)
        case SQLAlchemyError() | ConnectionError() | TimeoutError() if passing(error):
            detail, fix = _away("the service's database", error)
            return unavailable(detail, fix=fix)
        case OSError() if trouble_of(error) is not None:
            detail, fix = _away("the service's data directory", error)
            return unavailable(detail, fix=fix)
        case _:
            return None


def event_too_large(error: EventTooLarge, document: Mapping[str, Any] | None = None) -> Problem:
    """Return the 422 of an event that is too large for the log; `document` is the document that declared it.

    The pointer names the member that takes the most room: of the document where there is one, else of the event.
    """
    pointer, member_bytes = error.pointer, error.member_bytes
    if document is not None:
        said = {name: each for name, each in document.items() if name not in {"apiVersion", "kind"}}
        pointer, member_bytes = largest_member(said)
    return Problem(
        422,
        "too-large",
        "The event is too large for the log.",
        f"{error.stream} has {error.size_bytes:,} bytes; at most {EVENT_BYTES_MAX:,} are allowed, and "
        f"{pointer or 'it'} alone has {member_bytes:,}",
        pointer=pointer or None,
        fix="say it with fewer entries: an expression, a label or a group instead of a list of names, "
        "or several documents instead of one",
        extra={"bytes": error.size_bytes, "bytes_max": EVENT_BYTES_MAX},
    )


def query_problem(error: SelectionError, pointer: str = "?where") -> Problem:
    """Return the 422 of an expression in a query: nothing in the fleet refers to it, so it is never a 409."""
    problem = replace(_expression(error), status=422, pointer=pointer)
    return (
        replace(problem, title="The expression names what is not there.") if isinstance(error, UnknownName) else problem
    )


def expression_problem(error: SelectionError, pointer: str) -> Problem:
    """Return the problem of an expression in a body: 422 if it cannot be read, 409 if what it names is not there."""
    return replace(_expression(error), pointer=pointer)


def _away(what: str, error: Exception) -> tuple[str, str]:
    """Return what is wrong with a database or a disk that may soon work again, and what to do."""
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
