"""`POST /v1/documents`: documents of any kind, in any order, as one change: all of them or none.

Each is decided on the fleet as the earlier ones would change it, and all their events are appended once, under the
union of their guards. It makes no difference which process decides a kind.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import msgspec
from fastapi import APIRouter, Request, Response

from libs.access.rights import Rights
from libs.commands.commands import Commands
from libs.commands.intents import Intent
from libs.commands.ordering import Ordered, ordered
from libs.commands.problems import problem_of
from libs.commands.proposals import Answer, Proposal, shown_event
from libs.contracts import Event
from libs.contracts.documents import DECIDED_BY, DOCUMENTS_BYTES_MAX, DOCUMENTS_MAX, names_of, shown_name
from libs.contracts.problems import Problem, unavailable
from libs.contracts.refusals import Invalid
from libs.fleet import Fleet
from libs.fleet.forking import assume
from libs.runtime.deciding import Decided, Served, decide_documents, unknown_kind
from libs.runtime.elsewhere import DECIDING_ROUTE, Api, Elsewhere, Here
from libs.runtime.refused import EVENT_OF, documents_refused
from libs.web.auth import Principal, authorize, requires
from libs.web.bodies import read_document
from libs.web.intents import intent_of
from libs.web.openapi import JSON, YAML, answers, taking
from libs.web.positions import POSITION_HEADER

_DOCUMENTS = {
    "type": "object",
    "properties": {
        "documents": {"type": "array", "items": {"type": "object"}, "maxItems": DOCUMENTS_MAX},
        "assume": {
            "type": ["array", "null"],
            "items": {"type": "object"},
            "description": "Events that a dry run answered; in a dry run only.",
        },
    },
    "required": ["documents"],
    "additionalProperties": False,
}

T = TypeVar("T")

ROUNDS_MAX = 8
"""How often refused documents are tried again after the others: a cluster may move from one store to another."""
REFUSED_MAX = 1_000
"""With so many refused documents nothing is tried again."""
INLINE_DOCUMENTS_MAX = 1_000
"""More documents than this are ordered, and reported, in a thread."""
WARNINGS_BYTES_MAX = 128 * 1024
_LETTERS = {"created": "c", "configured": "f", "unchanged": "u"}
_WORDS = {letter: word for word, letter in _LETTERS.items()}


class Documents:
    """Takes documents for the services that declare their kinds, here and elsewhere."""

    def __init__(self, served: Mapping[str, Served], elsewhere: Api | None) -> None:
        self._served, self._elsewhere = served, elsewhere
        self._commands = next(iter(served.values())).commands

    async def post(self, request: Request) -> Response:
        """Declare documents as one change, or with `?dry_run=true` return the events that they would append."""
        value, body = await read_document(request, DOCUMENTS_BYTES_MAX)
        documents = _documents(value)
        intent = intent_of(request, body, assume=value.get("assume"))
        self._check(documents, request.state.sender, request.app.state.rights)
        order = await _beside(len(documents), ordered, documents)
        elsewhere = None if self._elsewhere is None else Elsewhere(self._elsewhere)
        change = _Change(documents, order, self._served, elsewhere, self._commands, intent)
        try:
            answer = await self._commands.change(change.propose, intent)
        except Problem as problem:
            if (event := problem.extra.get(EVENT_OF)) is None:
                raise
            raise documents_refused({change.document_of(event): problem}, documents) from None
        finally:
            if elsewhere is not None:
                await elsewhere.close()
        told = await _beside(len(documents), lambda: msgspec.json.encode(change.told(answer)))
        return Response(told, media_type="application/json", headers={POSITION_HEADER: str(answer.position)})

    def _check(self, documents: Sequence[Any], sender: Principal, rights: Rights | None) -> None:
        """Refuse things that are declared twice, unknown kinds, and kinds to which the sender has no right.

        Raises:
            Problem: 409, 422 or 403.
        """
        known = DECIDED_BY if self._elsewhere is not None else self._served
        refused: dict[int, Problem] = {}
        first: dict[tuple[str, str], int] = {}
        allowed: dict[str, Problem | None] = {}
        for index, document in enumerate(documents):
            kind, name = names_of(document)
            if kind not in known:
                refused[index] = _problem(
                    unknown_kind(document.get("kind") if isinstance(document, dict) else None, known)
                )
                continue
            if kind not in allowed:
                allowed[kind] = _not_allowed(sender, kind, rights)
            if (problem := allowed[kind]) is not None:
                refused[index] = problem
            elif name and first.setdefault((kind, name), index) != index:
                refused[index] = _twice(kind, name, first[kind, name])
        if refused:
            raise documents_refused(refused, documents)


@dataclass(slots=True)
class _Change:
    """The documents of one request being decided."""

    documents: Sequence[Any]
    order: Ordered
    served: Mapping[str, Served]
    elsewhere: Elsewhere | None
    commands: Commands
    intent: Intent
    decided: dict[int, Decided] = field(default_factory=dict)

    async def propose(self, facts: Fleet) -> Proposal:
        """Decide all of them on a fork of the facts.

        Raises:
            Problem: some of them are refused, or a service cannot be asked.
        """
        position, fork = self.commands.facts.position, facts.fork()
        self.decided = {}
        seen = position
        waiting = list(self.order.sequence)
        refused: dict[int, Problem] = {}
        for _ in range(ROUNDS_MAX):
            refused = {}
            for service, indices in replace(self.order, sequence=waiting).stages():
                found, at = await self._stage(service, indices, fork, position)
                seen = min(seen, at)
                for index, each in zip(indices, found, strict=True):
                    if isinstance(each, Problem):
                        refused[index] = each
                    else:
                        self.decided[index] = each
                if len(refused) > REFUSED_MAX:
                    break
            if not refused:
                return self._proposal(seen)
            if len(refused) == len(waiting) or len(refused) > REFUSED_MAX:
                break
            waiting = [index for index in waiting if index in refused]
        kept = self.order.first_of_each_chain(refused)
        raise documents_refused({index: refused[index] for index in kept}, self.documents)

    async def _stage(
        self, service: str, indices: Sequence[int], fork: Fleet, position: int
    ) -> tuple[list[Decided | Problem], int]:
        some = [self.documents[index] for index in indices]
        if all(names_of(document)[0] in self.served for document in some):
            return await decide_documents(self.served, some, self.intent, fork, position), position
        if self.elsewhere is None:
            raise unavailable(f"this process does not reach {service}, which decides about some of the documents")
        assumed = [*self.intent.assume, *self._events()]
        found, seen = await self.elsewhere.decide(service, some, assumed, self.intent, position)
        await assume(fork, (event for each in found if isinstance(each, Decided) for _, event in each.events))
        return found, seen

    def _events(self) -> list[tuple[str, Event]]:
        return [each for decided in self.decided.values() for each in decided.events]

    def _proposal(self, seen: int) -> Proposal:
        decided = self.decided.values()
        self._check_streams()
        letters = "".join(_LETTERS[self.decided[index].result] for index in range(len(self.documents)))
        noted, more = _noted(self.decided)
        body: dict[str, Any] = {"results": letters, "noted": noted, "warnings": more}
        if list(self.decided) != self.order.sequence:  # some were tried again
            body["order"] = list(self.decided)
        return Proposal(
            events=self._events(),
            expected={each.stream: each.version for each in decided},
            guards=tuple(dict.fromkeys(guard for each in decided for guard in each.guards)),
            blobs={digest: data for each in decided for digest, data in each.blobs.items()},
            body=body,
            unchanged=(200, body),
            shown=(),
            runs=[(names_of(self.documents[index])[0], len(each.events)) for index, each in self.decided.items()],
            seen=seen,
        )

    def _check_streams(self) -> None:
        """Refuse a thing that is declared twice, even if its name is written in two ways.

        Raises:
            Problem: 422.
        """
        first: dict[str, int] = {}
        for index, each in sorted(self.decided.items()):
            if first.setdefault(each.stream, index) != index:
                twice = _twice(*names_of(self.documents[index]), first[each.stream])
                raise documents_refused({index: twice}, self.documents)

    def document_of(self, event: int) -> int:
        """Return the document from which the n-th event comes."""
        owners = [index for index, each in self.decided.items() for _ in each.events]
        return owners[event]

    def told(self, answer: Answer) -> dict[str, Any]:
        """Return the answer: a result for each document, and the change's position in the log."""
        body = answer.body or {}
        letters = body.get("results") or _LETTERS["unchanged"] * len(self.documents)
        noted = body.get("noted", {})
        order = body.get("order", self.order.sequence)
        results: list[dict[str, Any]] = []
        for index, document in enumerate(self.documents):
            kind, name = names_of(document)
            named = {"kind": kind, "name": shown_name(kind, name), "result": _WORDS[letters[index]]}
            results.append({**named, "warnings": noted.get(str(index), [])})
        told = {"results": results, "order": order, "warnings": body.get("warnings", [])}
        told |= {"reach": body["reach"]} if "reach" in body else {}
        if self.intent.dry_run:
            for index, result in enumerate(results):
                result["events"] = [shown_event(*each) for each in self.decided[index].events]
            return {**told, "events": body.get("events", [])}  # warnings of the change besides those of the documents
        changed = [index for index in order if results[index]["result"] != "unchanged"]
        for position, index in zip(
            range(answer.position - len(changed) + 1, answer.position + 1), changed, strict=True
        ):
            results[index]["position"] = position
        return {**told, **({"first": answer.first} if answer.first else {}), "position": answer.position}


def _noted(decided: Mapping[int, Decided]) -> tuple[dict[str, list[str]], list[str]]:
    """Return the warnings by document, as many as the log keeps with an answer, and how many there are besides."""
    noted: dict[str, list[str]] = {}
    size = left_out = 0
    for index, each in sorted(decided.items()):
        said = list(each.warnings)
        size += len(json.dumps({index: said})) if said else 0
        if said and size <= WARNINGS_BYTES_MAX:
            noted[str(index)] = said
        elif said:
            left_out += len(said)
    return noted, [
        f"{left_out} more warnings are not shown: declare fewer documents at once to see them"
    ] if left_out else []


def _problem(error: Exception) -> Problem:
    problem = problem_of(error)
    if problem is None:
        raise error
    return problem


def _not_allowed(sender: Principal, kind: str, rights: Rights | None) -> Problem | None:
    try:
        authorize(sender, "declare", kind, rights)
    except Problem as problem:
        return problem
    return None


def _twice(kind: str, name: str, first: int) -> Problem:
    return Problem(
        422,
        "declared-twice",
        "Something is declared twice.",
        f"{kind} {shown_name(kind, name)} is declared by document {first} of this change already",
        pointer="/metadata",
        fix="leave one of the two out: a change declares each thing once",
        extra={"first": first},
    )


async def _beside(count: int, act: Callable[..., T], *arguments: Any) -> T:
    """Run `act` on so many documents; with many, in a thread, so that the event loop answers others."""
    return act(*arguments) if count <= INLINE_DOCUMENTS_MAX else await asyncio.to_thread(act, *arguments)


def _documents(value: Any) -> list[Any]:
    if not isinstance(value, dict) or not isinstance(value.get("documents"), list):
        raise Invalid("the body is not an object with a list of documents", pointer="/documents")
    unknown = sorted(value.keys() - {"documents", "assume"})
    if unknown:
        raise Invalid(f"there is no field {unknown[0][:80]!r}", pointer=f"/{unknown[0][:80]}")
    documents: list[Any] = value["documents"]
    if len(documents) > DOCUMENTS_MAX:
        raise Invalid(
            f"there are {len(documents):,} documents, and one change takes {DOCUMENTS_MAX:,}",
            pointer="/documents",
            fix="send them in parts; stores can be imported (POST /v1/stores:import)",
        )
    return documents


def documents_router(served: Mapping[str, Served], elsewhere: Api | None = None) -> APIRouter:
    """Return the routes that declare documents of all kinds, and that decide those of the `served` kinds.

    `elsewhere` opens a client that reaches the services which decide the others.
    """
    router = APIRouter(tags=["documents"])
    router.add_api_route(
        "/v1/documents",
        Documents(served, elsewhere).post,
        methods=["POST"],
        dependencies=[requires("declare", "Document")],
        operation_id="declare_documents",
        summary="Declare documents of any kind as one change",
        response_model=None,
        responses=answers(200),
        openapi_extra=taking({JSON: _DOCUMENTS, YAML: _DOCUMENTS}),
    )
    router.add_api_route(
        DECIDING_ROUTE,
        Here(served).post,
        methods=["POST"],
        dependencies=[requires("decide", "Document")],
        operation_id="decide_documents",
        summary="Decide documents of this service's kinds (for the relay)",
        response_model=None,
        responses=answers(200),
        openapi_extra=taking({JSON: {"type": "object"}}),
    )
    return router
