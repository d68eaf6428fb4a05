"""Trying documents before they are declared: all in one request, or chained where each service is on its own.

The one rule: a document is tried on what the ones before it would make of the fleet, and no request is larger than the
server takes.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cli.client import LONG_SECONDS, Client, path_of
from cli.errors import CliError, Problem, UsageProblem
from cli.options import dry
from cli.ordering import provides
from cli.terminal import progress

if TYPE_CHECKING:
    from cli.documents import Document
    from cli.ordering import Node

REQUEST_BYTES_MAX = 7 << 20  # the server takes 8 MiB
CHAIN_BYTES_MAX = 3 << 20
"""Documents of one chain: the events that they become are sent with each of them, and are somewhat longer."""
CHAIN_SENT_BYTES_MAX = 256 << 20
"""What a chain may send altogether: every document carries all before it, so that it grows with their square."""
ASSUMED_EVENTS_MAX = 10_000  # the server's own bound
NO_SUCH_ROUTE = (404, 405)
_NAMES = "names are lower-case letters, digits and hyphens"

Result = Mapping[str, Any]


class Trial:
    """Dry runs of ordered documents at one server; finds out by itself whether it takes them together.

    `POST /v1/documents` is there only where one process has all services. Elsewhere every document is a dry run of its
    own, which takes the events of the earlier ones as given.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._together = True

    def all(self, documents: Sequence[Document]) -> list[Result]:
        """Return what the server says to each of the documents, declaring nothing.

        Raises:
            Problem: the first one that is refused, with its file and number.
            CliError: they are more than can be tried as a whole.
        """
        if not documents:
            return []
        if self._together:
            results = self._post(documents)
            if results is not None:
                return results
        return Chain(self._client).results(documents)

    def first(self, documents: Sequence[Document]) -> list[Document]:
        """Try as many of the documents as can be tried as a whole, usually all; return them.

        Raises:
            Problem: the first one that is refused, with its file and number.
        """
        if self._together:
            part = _within(documents, REQUEST_BYTES_MAX)
            if self._post(part) is not None:
                return part
        part = _within(documents, CHAIN_BYTES_MAX, CHAIN_SENT_BYTES_MAX)
        Chain(self._client).results(part)
        return part

    def _post(self, documents: Sequence[Document]) -> list[Result] | None:
        """Try all in one request; None where there is no such route."""
        body = {"documents": [document.body for document in documents]}
        try:
            answer = self._client.change("POST", "/v1/documents", body, params=dry(True), read_seconds=LONG_SECONDS)
        except Problem as problem:
            index = problem.body.get("document")
            if isinstance(index, int) and 0 <= index < len(documents):
                raise located(problem, documents[index]) from problem
            if problem.status not in NO_SUCH_ROUTE:
                raise
            self._together = False
            return None
        results = answer.body.get("results", []) if isinstance(answer.body, Mapping) else []
        return [*results, *({} for _ in documents[len(results) :])][: len(documents)]


@dataclass
class Chain:
    """Dry runs one after the other, each on the events that the earlier ones returned.

    A store's decision reads nothing but who has its clusters' names, and stores come first: it is sent only the stores
    that share a name with it. Whatever else is sent all that came before.
    """

    client: Client
    _events: list[Mapping[str, Any]] = field(default_factory=list)
    _bytes: int = 0
    _stores: dict[Node, list[Mapping[str, Any]]] = field(default_factory=lambda: defaultdict(list))

    def results(self, documents: Sequence[Document]) -> list[Result]:
        """Return what each document's service says to it.

        Raises:
            Problem: the first one that is refused, with its file and number.
            CliError: together they are more than a request takes.
        """
        return [self._result(document) for document in progress(documents, len(documents), "validating")]

    def _result(self, document: Document) -> Result:
        body = {"document": document.body, "assume": self._assumed(document)}
        try:
            answer = self.client.change(
                "PUT", document_path(document), body, params=dry(True), read_seconds=LONG_SECONDS
            )
        except Problem as problem:
            raise located(problem, document) from problem
        result: Result = answer.body if isinstance(answer.body, Mapping) else {}
        self._keep(document, result.get("events") or ())
        return result

    def _assumed(self, document: Document) -> Sequence[Mapping[str, Any]]:
        if document.body["kind"] == "Store":
            sharing = {id(event): event for node in provides(document) for event in self._stores.get(node, ())}
            return list(sharing.values())
        if self._bytes > REQUEST_BYTES_MAX or len(self._events) > ASSUMED_EVENTS_MAX:
            raise CliError(
                f"{document.where}: too much comes before it to be tried as a whole",
                why=f"separate services are told all earlier documents, which are {len(self._events):,} changes by now",
                fix="try them in parts, or apply them: apply validates and declares in parts by itself",
            )
        return self._events

    def _keep(self, document: Document, events: Sequence[Mapping[str, Any]]) -> None:
        self._events += events
        self._bytes += sum(_bytes_of(event) for event in events)
        if document.body["kind"] == "Store":
            for node in provides(document):
                self._stores[node] += events


def document_path(document: Document) -> str:
    """Return where a document is declared.

    Raises:
        UsageProblem: its name cannot stand in a URL; says file and number.
    """
    try:
        path = path_of(document.kind.plural, document.name)
    except UsageProblem as error:
        raise UsageProblem(f"{document.where}: {error.what}", fix=_NAMES) from error
    if "/" in document.name and document.body["kind"] != "Group":
        raise UsageProblem(f"{document.where}: {document.name!r} is not a name", fix=_NAMES)
    return path


def located(problem: Problem, document: Document) -> Problem:
    """Return the problem, told of a document in its file."""
    return Problem(problem.status, problem.body, where=document.where, sent=document.body)


def _within(documents: Sequence[Document], bytes_max: int, sent_bytes_max: int | None = None) -> list[Document]:
    """Return the first documents, at least one, that together are within bounds."""
    part: list[Document] = []
    size = sent = 0
    for document, encoded in _sized(documents):
        sent += encoded if document.body["kind"] == "Store" else size + encoded
        size += encoded
        if part and (size > bytes_max or (sent_bytes_max is not None and sent > sent_bytes_max)):
            break
        part.append(document)
    return part


def _sized(documents: Sequence[Document]) -> Iterator[tuple[Document, int]]:
    for document in documents:
        yield document, _bytes_of(document.body)


def _bytes_of(value: object) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode()) + 2
