"""The errors of the command (what, why, fix), and the exit codes that scripts read.

The one rule: exit codes are decided only here (CONVENTIONS §3).
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Any


class ExitCode(IntEnum):
    """The exit codes of `resedge`."""

    OK = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    DENIED = 4
    NOT_FOUND = 5
    CONFLICT = 6
    TIMEOUT = 7
    UNREACHABLE = 8
    INTERRUPTED = 130


EXIT_CODE_MEANINGS = {
    ExitCode.OK: "done",
    ExitCode.FAILED: "any other failure; `diff` found differences; `verify` found a mismatch",
    ExitCode.USAGE: "usage error: an invalid command line or file (HTTP 422)",
    ExitCode.REFUSED: "refused by a rule of the fleet (409)",
    ExitCode.DENIED: "no valid token, or not allowed (401, 403)",
    ExitCode.NOT_FOUND: "not found (404)",
    ExitCode.CONFLICT: "conflict: somebody else changed it first, or a precondition failed (412)",
    ExitCode.TIMEOUT: "no answer in time (504); run the same command again",
    ExitCode.UNREACHABLE: "the server cannot be reached or cannot answer now (503)",
    ExitCode.INTERRUPTED: "interrupted",
}

_BY_STATUS = {
    400: ExitCode.USAGE,
    401: ExitCode.DENIED,
    403: ExitCode.DENIED,
    404: ExitCode.NOT_FOUND,
    408: ExitCode.TIMEOUT,
    409: ExitCode.REFUSED,
    412: ExitCode.CONFLICT,
    413: ExitCode.USAGE,
    415: ExitCode.USAGE,
    422: ExitCode.USAGE,
    428: ExitCode.CONFLICT,
    502: ExitCode.UNREACHABLE,
    503: ExitCode.UNREACHABLE,
    504: ExitCode.TIMEOUT,
}
# A 409 with one of these codes is not a refusal by a rule, but a conflict with another writer.
_CONFLICT_CODES = frozenset({"idempotency-conflict", "version-conflict", "guard-conflict", "precondition-failed"})


class CliError(Exception):
    """The command failed; holds the information for a person and for a script."""

    def __init__(
        self,
        what: str,
        *,
        why: str = "",
        fix: str = "",
        exit_code: int = ExitCode.FAILED,
        code: str = "",
        nearest: Sequence[str] = (),
    ) -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.fix = fix
        self.exit_code = exit_code
        self.code = code
        self.nearest = tuple(nearest)

    def lines(self) -> list[str]:
        """Return the message for a person, one fact a line."""
        lines = [self.what]
        lines += [f"  why: {self.why}"] if self.why and self.why != self.what else []
        lines += (
            [f"  did you mean: {', '.join(self.nearest)}"] if self.nearest and "did you mean" not in self.fix else []
        )
        lines += [f"  fix: {self.fix}"] if self.fix else []
        return lines

    def document(self) -> Mapping[str, Any]:
        """Return the message for a script, in the shape of a problem document (RFC 9457)."""
        facts = {"code": self.code or "cli", "title": self.what, "detail": self.why, "fix": self.fix}
        return {key: value for key, value in facts.items() if value} | (
            {"nearest": self.nearest} if self.nearest else {}
        )


class UsageProblem(CliError):  # noqa: N818 - it states the fact, as refusals do
    """The command line or a file cannot be understood; nothing was sent."""

    def __init__(self, what: str, *, why: str = "", fix: str = "", nearest: Sequence[str] = ()) -> None:
        super().__init__(what, why=why, fix=fix, exit_code=ExitCode.USAGE, code="usage", nearest=nearest)


class Unreachable(CliError):  # noqa: N818 - it states the fact, as refusals do
    """No answer came from the server."""

    def __init__(self, server: str, why: str) -> None:
        super().__init__(
            f"cannot reach {server}",
            why=why,
            fix="start a server with `resedge up`, or choose another with --server or `resedge context use NAME`",
            exit_code=ExitCode.UNREACHABLE,
            code="unreachable",
        )


class TimedOut(CliError):  # noqa: N818 - it states the fact, as refusals do
    """The answer did not come in time; a change may or may not have been made."""

    def __init__(self, what: str, *, why: str = "", fix: str = "") -> None:
        super().__init__(what, why=why, fix=fix, exit_code=ExitCode.TIMEOUT, code="timeout")


class ServerProblem(CliError):  # noqa: N818 - it states the fact, as refusals do
    """The server's problem document (RFC 9457); `sent` is the document or query in which its pointer points.

    `where` names the document, `place` the file and the line.
    """

    def __init__(
        self, status: int, body: Mapping[str, Any], *, where: str = "", sent: object = None, place: str = ""
    ) -> None:
        title = str(body.get("title") or f"the server answered {status}")
        code = str(body.get("code", ""))
        usual = _BY_STATUS.get(status, ExitCode.FAILED)
        nearest = body.get("nearest") or ()
        super().__init__(
            f"{where}: {title}" if where else title,
            why=str(body.get("detail") or ""),
            fix=str(body.get("fix") or ""),
            exit_code=ExitCode.CONFLICT if status == 409 and code in _CONFLICT_CODES else usual,
            code=code,
            nearest=[nearest] if isinstance(nearest, str) else [str(name) for name in nearest],
        )
        self.status = status
        self.body = body
        self.place = place
        self.expression = _pointed(sent, str(body.get("pointer") or ""))

    def lines(self) -> list[str]:
        """Return what, why, where in the document, what to do, and what to quote when asking for help."""
        what, *rest = super().lines()
        told = " in ".join(filter(None, (str(self.body.get("pointer") or ""), self.place)))
        at = [f"  at: {told}"] if told else []
        position = self.body.get("position")
        if isinstance(position, int) and 0 <= position <= len(self.expression) > 0:
            from libs.selection.errors import caret  # noqa: PLC0415 - only an error pays for loading the language

            at += [f"    {line}" for line in caret(self.expression, position).splitlines()]
        rows = [f"  {_row(row)}" for row in self.body.get("errors") or ()]
        quote = [f"{key}: {self.body[key]}" for key in ("code", "request_id") if self.body.get(key)]
        return [what, *at, *rest, *rows, *([f"  {' · '.join(quote)}"] if quote else [])]

    def document(self) -> Mapping[str, Any]:
        """Return the document as the server sent it."""
        return {"status": self.status, **self.body}


def _pointed(sent: object, pointer: str) -> str:
    """Return the text in `sent` at a JSON pointer, or at `?name` in a query; empty if there is none."""
    found = sent
    for part in [pointer[1:]] if pointer.startswith("?") else pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, Mapping):
            found = found.get(key)
        elif isinstance(found, list) and key.isascii() and key.isdecimal() and int(key) < len(found):
            found = found[int(key)]
        else:
            return ""
    return found if isinstance(found, str) else ""


def _row(row: object) -> str:
    """Return one entry of a bulk report: which row and column, and what is wrong there."""
    if not isinstance(row, Mapping):
        return str(row)
    place = " ".join(f"{key} {row[key]}" for key in ("row", "line", "column", "pointer") if row.get(key) is not None)
    return f"{place}: {row.get('detail', '')}" if place else str(row.get("detail", json.dumps(dict(row))))


def problem_from(status: int, content_type: str, content: bytes, sent: object = None) -> ServerProblem:
    """Return the problem that an answer of 400 and above tells, even when a proxy answered instead of the server.

    `sent` is the query or document that was refused.
    """
    body: object = None
    if "json" in content_type:
        try:
            body = json.loads(content)
        except ValueError:
            body = None
    if not isinstance(body, Mapping):
        detail = content[:300].decode("utf-8", "replace").strip() if "html" not in content_type else ""
        body = {"title": f"the server answered {status}", "detail": detail}
    return ServerProblem(status, body, sent=sent)


def nearest_words(word: str, known: Iterable[str]) -> list[str]:
    """Return up to three known words that look like `word`, best first."""
    return difflib.get_close_matches(word, list(known), n=3, cutoff=0.6)
