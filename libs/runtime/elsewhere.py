"""Documents that separate services decide: requests and answers of `POST /v1/documents:decide`.

Only the relay asks a service, after it has authorised the change, and it appends the change itself; the answer changes
nothing anywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import httpx2
import msgspec
from fastapi import Request, Response
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from libs.commands.intents import Intent
from libs.contracts import Event, decode, encode, type_name
from libs.contracts.documents import DOCUMENTS_BYTES_MAX
from libs.contracts.envelope import UnknownEventType
from libs.contracts.problems import Problem, invalid, said_problem, unavailable
from libs.fleet.forking import forked
from libs.runtime.deciding import Decided, Served, decide_documents
from libs.web.bodies import read_body
from libs.web.intents import intent_of
from libs.web.positions import POSITION_HEADER

DECIDING_ROUTE = "/v1/documents:decide"
DECIDE_SECONDS = 300.0
DECIDE_BYTES_MAX = DOCUMENTS_BYTES_MAX
_REFUSED = 400
_NOT_YET = (503, 504)
Api = Callable[[], httpx2.AsyncClient]

_propagator = TraceContextTextMapPropagator()


class Assumed(msgspec.Struct, frozen=True):
    """An event that is not in the log yet."""

    stream: str
    type: str
    data: msgspec.Raw


class _Asked(msgspec.Struct, frozen=True):
    """Documents (a list, as JSON) to decide, in whose name, on what others would have made of the fleet."""

    actor: str
    documents: msgspec.Raw
    assume: list[Assumed] = []


class _Told(msgspec.Struct, frozen=True, omit_defaults=True):
    """The result for one document, or its `problem`."""

    name: str = ""
    stream: str = ""
    version: int = 0
    result: str = "unchanged"
    warnings: list[str] = []
    events: list[Assumed] = []
    guards: list[str] = []
    blobs: dict[str, bytes] = {}
    problem: dict[str, Any] | None = None


class Answered(msgspec.Struct, frozen=True):
    """The results for the documents, in order; `position` is how far the service had read."""

    position: int
    documents: list[_Told]


@dataclass(frozen=True, slots=True)
class Here:
    """The route of one service: decides documents of the kinds that it serves."""

    served: Mapping[str, Served]

    async def post(self, request: Request) -> Response:
        """Decide documents for the relay, on a fork that holds the events of others."""
        sender = request.state.sender
        if "relay" not in sender.roles:
            raise Problem(
                403,
                "forbidden",
                "You are not allowed to do this.",
                f"{sender.name} may not call this route: only the relay may",
                fix="send them to POST /v1/documents; ?dry_run=true only tries them",
            )
        body = await read_body(request, DECIDE_BYTES_MAX)
        try:
            asked, documents = await asyncio.to_thread(_understood, body)
            assumed = [(each.stream, decode(each.type, each.data)) for each in asked.assume]
        except (ValueError, UnknownEventType) as error:  # msgspec's are of the first kind too
            raise invalid(f"it is not a request of the relay: {error}") from None
        intent = replace(intent_of(request, b""), actor=asked.actor, assume=assumed)
        commands = next(iter(self.served.values())).commands
        await commands.positions.seen(intent.position, commands.facts, by_log=True)
        position = commands.facts.position
        fork = await forked(commands.facts.fleet, (event for _, event in assumed))
        found = await decide_documents(self.served, documents, intent, fork, position)
        answered = Answered(position, [_told(each) for each in found])
        return Response(
            msgspec.json.encode(answered), media_type="application/json", headers={POSITION_HEADER: str(position)}
        )


class Elsewhere:
    """Asks the services that run on their own, for one change; `api` opens a client with the relay's token."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._client: httpx2.AsyncClient | None = None

    async def close(self) -> None:
        """Close the connections, if anybody was asked."""
        if self._client is not None:
            await self._client.aclose()

    async def decide(
        self,
        service: str,
        documents: Sequence[Any],
        assumed: Sequence[tuple[str, Event]],
        intent: Intent,
        position: int,
    ) -> tuple[list[Decided | Problem], int]:
        """Return the results for the documents of one service, and how far it had read; it waits for `position`.

        Raises:
            Problem: 503, the service cannot be asked now.
        """
        headers = {"Content-Type": "application/json", POSITION_HEADER: str(position)}
        if intent.request_id is not None:
            headers["X-Request-ID"] = intent.request_id
        _propagator.inject(headers)
        path = f"/services/{service}{DECIDING_ROUTE}"
        try:
            self._client = self._client or self._api()
            content = await asyncio.to_thread(_asked, intent.actor, documents, assumed)
            answer = await self._client.post(path, headers=headers, content=content, timeout=DECIDE_SECONDS)
        except (httpx2.HTTPError, OSError) as error:
            raise _away(service, f"got no answer: {type(error).__name__}") from None
        if answer.status_code >= _REFUSED:
            raise _not_now(service, answer)
        answered = await asyncio.to_thread(msgspec.json.decode, answer.content, type=Answered)
        if len(answered.documents) != len(documents):
            raise _away(service, f"answers about {len(answered.documents)} of {len(documents)} documents")
        return [_found(each) for each in answered.documents], answered.position


def _asked(actor: str, documents: Sequence[Any], assumed: Sequence[tuple[str, Event]]) -> bytes:
    # The documents as Python's own parser reads them: its integers may be longer than msgspec's.
    said = msgspec.Raw(json.dumps(documents).encode())
    return msgspec.json.encode(_Asked(actor, said, [_assumed(*each) for each in assumed]))


def _understood(body: bytes) -> tuple[_Asked, list[Any]]:
    asked = msgspec.json.decode(body, type=_Asked)
    documents = json.loads(bytes(asked.documents))
    if not isinstance(documents, list):
        raise ValueError("documents must be a list")  # noqa: TRY004 - it is the body that is wrong
    return asked, documents


def _not_now(service: str, answer: httpx2.Response) -> Problem:
    """Return why a service does not answer: its own reason if it is only behind."""
    with contextlib.suppress(ValueError, AttributeError):
        problem = said_problem(answer.status_code, answer.json())
        if answer.status_code in _NOT_YET:
            return replace(problem, detail=f"{service}: {problem.detail}", headers={"Retry-After": "1"})
    return _away(service, f"answers {answer.status_code}")


def _away(service: str, what: str) -> Problem:
    return unavailable(
        f"{service}, which decides about some of the documents, {what}",
        code="api-unreachable",
        fix="nothing was declared: try again with the same Idempotency-Key",
    )


def _assumed(stream: str, event: Event) -> Assumed:
    return Assumed(stream, type_name(event), msgspec.Raw(encode(event)))


def _told(found: Decided | Problem) -> _Told:
    if isinstance(found, Problem):
        return _Told(problem=found.document(""))
    return _Told(
        found.name,
        found.stream,
        found.version,
        found.result,
        list(found.warnings),
        [_assumed(*each) for each in found.events],
        list(found.guards),
        dict(found.blobs),
    )


def _found(told: _Told) -> Decided | Problem:
    if told.problem is not None:
        return said_problem(int(told.problem.get("status", _REFUSED)), told.problem)
    return Decided(
        name=told.name,
        stream=told.stream,
        version=told.version,
        result=told.result,
        warnings=told.warnings,
        events=[(each.stream, decode(each.type, each.data)) for each in told.events],
        guards=told.guards,
        blobs=told.blobs,
    )
