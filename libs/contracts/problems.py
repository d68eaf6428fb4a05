"""Problem documents (RFC 9457): the one format of every answer that is not a success."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

DOCS_PAGE = "/docs/reference/problems.md"


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
    """Return the problem from another service's problem document."""
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
        "Not found.",
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
        "The body is too large for this endpoint.",
        f"the body may have at most {bytes_max} bytes",
        fix="send less at once",
    )


def unavailable(detail: str, *, code: str = "unavailable", fix: str | None = None) -> Problem:
    """Return the 503 of a service that cannot answer now, but will."""
    return Problem(503, code, "The service cannot answer now.", detail, fix=fix, headers={"Retry-After": "1"})
