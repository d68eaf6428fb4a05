"""Sends documents as one change: all of them, or none; the server puts them in order.

Every message about a document names its file and line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cli.client import LONG_SECONDS
from cli.errors import CliError, ServerProblem, UsageProblem
from cli.options import dry
from libs.contracts.documents import DOCUMENTS_BYTES_MAX, DOCUMENTS_MAX

if TYPE_CHECKING:
    from cli.client import Client
    from cli.documents import Document

_ROUTE = "/v1/documents"
SHOWN_MAX = 10
"""Refused documents that are shown in full; the others are counted."""
_NO_SUCH_ROUTE = (404, 405)
_POINTS_INTO = "/documents/"

Result = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of documents: (document, result) in the order in which they were decided, and of them together."""

    results: Sequence[tuple[Document, Result]]
    position: int
    warnings: Sequence[str]
    body: Mapping[str, Any] = field(default_factory=dict)
    """The server's whole answer."""


class _Refused(ServerProblem):
    """The server refused some documents, so that none was declared; `problems` has one for each that it listed."""

    def __init__(self, problem: ServerProblem, problems: Sequence[ServerProblem]) -> None:
        super().__init__(problem.status, problem.body)
        self.problems = problems

    def lines(self) -> list[str]:
        """Return the messages of the first ones, and how many there are."""
        lines = [line for each in self.problems[:SHOWN_MAX] for line in each.lines()]
        count = int(self.body.get("refused_count") or len(self.problems))
        more = count - min(len(self.problems), SHOWN_MAX)
        lines += [f"{more} more are refused; with -o json the server's list is shown"] if more else []
        return [*lines, "nothing was declared"]

    def document(self) -> Mapping[str, Any]:
        """Return the problem document, with the file and the line of each refused document."""
        told = [{**each.body, "place": each.place} for each in self.problems]
        return {**super().document(), "refused": told}


def declare_together(client: Client, documents: Sequence[Document], *, dry_run: bool, reach: bool = False) -> Applied:
    """Declare documents, or run a dry run, in one request; `reach` also asks which clusters that reaches.

    Raises:
        UsageProblem: one thing is declared twice, or they are more than one change takes.
        Refused: by the server, which declared none of them.
    """
    check_once(documents)
    _check_size(documents)
    body = {"documents": [document.body for document in documents]}
    params = {**dry(dry_run), **({"reach": "true"} if reach else {})}
    try:
        answer = client.change(
            "POST",
            _ROUTE,
            body,
            params=params,
            read_seconds=LONG_SECONDS,
        )
    except ServerProblem as problem:
        raise _located(problem, documents) from problem
    told = answer.body if isinstance(answer.body, Mapping) else {}
    results = [*(told.get("results") or []), *({} for _ in documents)][: len(documents)]
    order = told.get("order") or range(len(documents))
    paired = [(documents[index], results[index]) for index in order]
    return Applied(paired, answer.position, [str(each) for each in told.get("warnings") or ()], told)


def check_once(documents: Sequence[Document]) -> None:
    """Refuse one thing that is declared twice.

    Raises:
        UsageProblem: with both places.
    """
    first: dict[tuple[str, str], Document] = {}
    for document in documents:
        known = first.setdefault((document.body["kind"], document.name.strip("/")), document)
        if known is not document:
            raise UsageProblem(
                f"{document.kind.name(document.body)} is declared twice: {known.place()} and {document.place()}",
                fix="leave one of the two out: one apply declares each thing once",
            )


def _check_size(documents: Sequence[Document]) -> None:
    if len(documents) > DOCUMENTS_MAX:
        raise UsageProblem(
            f"{len(documents):,} documents are more than one apply allows ({DOCUMENTS_MAX:,})",
            fix="apply them in parts; stores can be imported (`resedge import stores`)",
        )


def _located(problem: ServerProblem, documents: Sequence[Document]) -> CliError:
    """Return the problem with the places of the documents in their files."""
    if problem.status in _NO_SUCH_ROUTE and "document" not in problem.body:
        return CliError(
            "the server does not accept several documents as one change",
            why=f"{_ROUTE} answers {problem.status}",
            fix="update the server, or check that --server names a Resilient Edge server",
        )
    if problem.code == "body-too-large":
        return UsageProblem(
            f"the documents are larger than one apply allows ({DOCUMENTS_BYTES_MAX >> 20} MiB)",
            fix="apply them in parts; stores can be imported (`resedge import stores`)",
        )
    listed = problem.body.get("refused")
    if not isinstance(listed, list) or not listed:
        listed = [problem.body] if "document" in problem.body else []
    if not listed:
        return problem
    return _Refused(problem, [_of_one(each, problem.status, documents) for each in listed])


def _of_one(said: Any, status: int, documents: Sequence[Document]) -> ServerProblem:
    """Return the problem of one document, with its place and a pointer into it."""
    body = dict(said) if isinstance(said, Mapping) else {}
    index = body.get("document")
    status = int(body.get("status") or status)
    if not isinstance(index, int) or not 0 <= index < len(documents):
        return ServerProblem(status, body)
    document = documents[index]
    pointer = str(body.get("pointer") or "").removeprefix(f"{_POINTS_INTO}{index}")
    body["pointer"] = pointer or None
    first = body.get("first")
    if body.get("code") == "declared-twice" and isinstance(first, int) and 0 <= first < len(documents):
        body["detail"] = f"it is declared at {documents[first].place()} already"
    return ServerProblem(status, body, where=document.where, sent=document.body, place=document.place(pointer))
