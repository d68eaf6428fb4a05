"""`POST /v1/documents`: many documents of any kind in one call, in the order in which they come.

The one rule: all of them are decided first, each on what the ones before it would make of the fleet; only then are
they declared one by one, each all or nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from libs.contracts import Event
from libs.contracts.names import nearest
from libs.contracts.refusals import Invalid
from libs.web.auth import Principal, authorize, requires
from libs.web.bodies import read_document
from libs.web.commands import Commands, shown_event
from libs.web.intents import Intent, intent_of
from libs.web.kinds import DeclaredKind
from libs.web.openapi import JSON, YAML, answers, taking
from libs.web.positions import HEADER
from libs.web.problems import problem_of
from libs.web.rights import Rights

DOCUMENTS_MAX = 10_000
DOCUMENTS = {
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


@dataclass(frozen=True, slots=True)
class Served:
    """A kind and who executes its commands."""

    kind: DeclaredKind[Any, Any]
    commands: Commands


class Documents:
    """Dispatches documents to the services that declare their kinds."""

    def __init__(self, served: Mapping[str, Served]) -> None:
        self._served = served

    async def post(self, request: Request) -> Response:
        """Declare documents one by one after all were decided; `?dry_run=true` only decides."""
        value, body = await read_document(request)
        documents = _documents(value)
        intent = intent_of(request, body, assume=value.get("assume"))
        sender: Principal = request.state.sender
        results, position = await self._try_out(documents, intent, sender, request.app.state.rights)
        if not intent.dry_run:
            results, position = await self._declare(documents, intent)
        return JSONResponse({"results": results}, headers={HEADER: str(position)})

    def _parsed(self, document: Any) -> tuple[Served, str, Any]:
        kind = document.get("kind") if isinstance(document, dict) else None
        served = self._served.get(str(kind))
        if served is None:
            near = nearest(str(kind), self._served)
            fix = f"did you mean {near}?" if near else f"known kinds: {', '.join(sorted(self._served))}"
            raise Invalid(f"there is no kind {str(kind)[:80]!r}", pointer="/kind", fix=fix, nearest=near)
        name, make = served.kind.parse(document, None)
        return served, name, make

    async def _try_out(
        self, documents: list[Any], intent: Intent, sender: Principal, rights: Rights | None
    ) -> tuple[list[dict[str, Any]], int]:
        results: list[dict[str, Any]] = []
        assumed: dict[str, list[tuple[str, Event]]] = {}
        fork = None
        position = 0
        for stream, event in intent.assume:
            assumed.setdefault(stream, []).append((stream, event))
        for index, document in enumerate(documents):
            with _of_document(index):
                served, name, make = self._parsed(document)
                authorize(sender, "declare", served.kind.kind, rights)
                commands = served.commands
                if fork is None:
                    await commands.positions.seen(intent.position, commands.facts, by_log=True)
                    await commands.catch_up()
                    fork = commands.facts.fleet.fork()
                    position = commands.facts.position
                    for _, event in intent.assume:
                        fork.assume(event)
                await commands.positions.seen(max(intent.position, position), commands.view, by_log=True)
                stream = served.kind.stream(name)
                here = replace(
                    _of_kind(intent, served), assume=assumed.get(stream, []), if_match=None, if_none_match=None
                )
                decided = await commands.propose(served.kind, name, make, here, fork)
                proposal = await commands.judged(decided, fork, here)
                for each in proposal.events:
                    fork.assume(each[1])
                    assumed.setdefault(each[0], []).append(each)
                results.append(_result(served.kind.kind, name, proposal.body if proposal.events else None))
                results[-1]["events"] = [shown_event(*each) for each in proposal.events]
        return results, position

    async def _declare(self, documents: list[Any], intent: Intent) -> tuple[list[dict[str, Any]], int]:
        results: list[dict[str, Any]] = []
        position = intent.position
        for index, document in enumerate(documents):
            with _of_document(index):
                served, name, make = self._parsed(document)
                key = None if intent.key is None else f"{intent.key}/{index}"
                here = replace(_of_kind(intent, served), key=key, position=position, if_match=None, if_none_match=None)
                answer = await served.commands.declare(served.kind, name, make, here)
                position = max(position, answer.position if answer.body else position)
                results.append(_result(served.kind.kind, name, answer.body))
                if answer.body:
                    results[-1]["position"] = answer.position
                    results[-1]["version"] = answer.version
        return results, position


def _of_kind(intent: Intent, served: Served) -> Intent:
    """Return the intent of one document: its rights are those of its own kind."""
    return replace(intent, verb="declare", kind=served.kind.kind)


def _documents(value: Any) -> list[Any]:
    if not isinstance(value, dict) or not isinstance(value.get("documents"), list):
        raise Invalid("the body is not an object with a list of documents", pointer="/documents")
    unknown = sorted(value.keys() - {"documents", "assume"})
    if unknown:
        raise Invalid(f"there is no field {unknown[0][:80]!r}", pointer=f"/{unknown[0][:80]}")
    documents: list[Any] = value["documents"]
    if len(documents) > DOCUMENTS_MAX:
        raise Invalid(f"there are more than {DOCUMENTS_MAX} documents", pointer="/documents", fix="send them in parts")
    return documents


def _result(kind: str, name: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
    if body is None:
        return {"kind": kind, "name": name, "result": "unchanged", "warnings": []}
    return {"kind": kind, "name": name, "result": body["result"], "warnings": body["warnings"]}


class _of_document:  # noqa: N801 - reads as a phrase where it is used
    """Adds to a refusal which document it is about."""

    def __init__(self, index: int) -> None:
        self._index = index

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        problem = problem_of(error) if isinstance(error, Exception) else None
        if problem is not None:
            raise replace(problem, extra={**problem.extra, "document": self._index}) from None


def documents_router(served: Mapping[str, Served]) -> APIRouter:
    """Return the route that takes documents of all `served` kinds."""
    router = APIRouter(tags=["documents"])
    router.add_api_route(
        "/v1/documents",
        Documents(served).post,
        methods=["POST"],
        dependencies=[requires("declare", "Document")],
        operation_id="declare_documents",
        response_model=None,
        responses=answers(200),
        openapi_extra=taking({JSON: DOCUMENTS, YAML: DOCUMENTS}),
    )
    return router
