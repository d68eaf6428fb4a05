"""The routes of the relay: sources (documents), external events, the inbox, dead letters."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from libs.commands.commands import Commands
from libs.commands.intents import Intent
from libs.commands.kinds import DeclaredKind
from libs.commands.proposals import Answer
from libs.contracts import EventRefused
from libs.contracts.problems import invalid
from libs.kinds import BY_DOCUMENT
from libs.web.auth import Principal
from libs.web.bodies import read_body, read_document
from libs.web.intents import intent_of
from libs.web.openapi import answers
from libs.web.paging import page_answer, page_of
from libs.web.positions import POSITION_DIGITS_MAX, POSITION_HEADER, wanted_position
from libs.web.router import adding, declared_router, respond
from libs.web.schema import Spec, document_model, validated
from services.relay.documents import SourceSpec, parse_source, source_document
from services.relay.domain.letters import check_reason
from services.relay.domain.sources import Command, RemoveSource, State, decide
from services.relay.events import SourceDeclared, SourceRemoved
from services.relay.inbox import ACCEPTED, REFUSED, UNCHANGED, Inbox, problem_of_outcome
from services.relay.inbox_events import BATCH, http_headers, media_type_of, split_request
from services.relay.letters import DeadLetters
from services.relay.projections import LETTER_KINDS, STATES, InboxRow, LetterRow, LettersView

OUTCOMES = (ACCEPTED, UNCHANGED, REFUSED)

SOURCE: DeclaredKind[Command, State] = DeclaredKind(
    registered=BY_DOCUMENT["Source"],
    declared=SourceDeclared,
    removed=SourceRemoved,
    parse=parse_source,
    remove=RemoveSource,
    decide=decide,
    to_document=source_document,
    besides=("source",),  # the others, which may speak for the same source
    greedy=False,
    schema=document_model("Source", SourceSpec, "name").model_json_schema(),
)


class Decision(Spec):
    """The body of a decision about a dead letter."""

    reason: str = ""


class Events:
    """Accepts external events, and shows their outcomes."""

    def __init__(self, inbox: Inbox, commands: Commands, view: LettersView) -> None:
        self._inbox = inbox
        self._commands = commands
        self._view = view

    async def post(self, request: Request) -> Response:
        """Accept one CloudEvent or a batch; each is recorded, or a dead letter, before this answers.

        A refused single event is answered with its problem; a batch lists an outcome for each event.
        """
        body = await read_body(request)
        headers = http_headers(request.headers.items())
        principal: Principal = request.state.principal
        outcomes = [await self._inbox.receive(each) for each in split_request(headers, body, principal.name)]
        position = str(max((each.position for each in outcomes), default=0))
        if media_type_of(headers) == BATCH:
            return JSONResponse({"items": [each.document() for each in outcomes]}, headers={POSITION_HEADER: position})
        if outcomes[0].outcome == REFUSED:
            raise problem_of_outcome(outcomes[0])
        return JSONResponse(outcomes[0].document(), headers={POSITION_HEADER: position})

    async def inbox(
        self,
        request: Request,
        response: Response,
        source: str | None = None,
        outcome: str | None = None,
        limit: str = "100",
        cursor: str = "",
    ) -> dict[str, Any]:
        """Return a page of the received external events with their outcomes, newest first."""
        del limit, cursor  # declared for the schema; page_of reads them
        _one_of("outcome", outcome, OUTCOMES)
        page = page_of(request)
        await self._commands.positions.seen(wanted_position(request), self._view)
        rows = await self._view.inbox(_before(page.after), page.limit + 1, source=source, outcome=outcome)
        response.headers[POSITION_HEADER] = str(self._view.position)
        shown = rows[: page.limit]
        following = str(shown[-1].position) if len(rows) > page.limit else None
        return page_answer(request, response, [inbox_item(each) for each in shown], following)


class LetterRoutes:
    """Shows dead letters, and takes decisions about them."""

    def __init__(self, letters: DeadLetters, commands: Commands, view: LettersView) -> None:
        self._letters = letters
        self._commands = commands
        self._view = view

    async def list(
        self,
        request: Request,
        response: Response,
        kind: str | None = None,
        state: str | None = None,
        limit: str = "100",
        cursor: str = "",
    ) -> dict[str, Any]:
        """Return a page of dead letters, newest first."""
        del limit, cursor  # declared for the schema; page_of reads them
        _one_of("kind", kind, LETTER_KINDS)
        _one_of("state", state, STATES)
        page = page_of(request)
        await self._commands.positions.seen(wanted_position(request), self._view)
        rows = await self._view.letters(_before(page.after), page.limit + 1, kind=kind, state=state)
        response.headers[POSITION_HEADER] = str(self._view.position)
        shown = rows[: page.limit]
        following = str(shown[-1].position) if len(rows) > page.limit else None
        return page_answer(request, response, [letter_item(each) for each in shown], following)

    async def get(self, letter: str) -> Response:
        """Return a dead letter with the received message, as the log has it now."""
        row = await self._letters.row(letter)
        opened = row.opened
        whole: dict[str, Any] = {}
        if isinstance(opened, EventRefused):
            whole = {"headers": opened.headers, "body": opened.body, "principal": opened.principal}
            whole |= {"blob": opened.blob} if opened.blob else {}
        return JSONResponse(letter_item(row) | whole)

    async def retry(self, request: Request, letter: str) -> Response:
        """Retry a dead letter: an external event at once, as it came; a consumer by asking it to."""
        return await self._decided(request, letter, self._letters.retry)

    async def skip(self, request: Request, letter: str) -> Response:
        """Skip a dead letter: the external event has no effect; a consumer continues after its event."""
        return await self._decided(request, letter, self._letters.skip)

    async def _decided(
        self, request: Request, letter: str, decide_on: Callable[[str, str, Intent], Awaitable[Answer]]
    ) -> Response:
        value, body = await read_document(request)
        decision: Decision = validated(Decision, value)
        check_reason(decision.reason)
        return respond(await decide_on(letter, decision.reason, intent_of(request, body)))


def letter_item(row: LetterRow) -> dict[str, Any]:
    """Return a dead letter as lists show it."""
    opened = row.opened
    item: dict[str, Any] = {"letter": row.letter, "kind": row.kind, "state": row.state}
    if isinstance(opened, EventRefused):
        item |= {"source": opened.source, "id": opened.id, "type": opened.type, "code": opened.code}
    else:
        item |= {"service": opened.service, "consumer": opened.consumer, "stopped_at": opened.position}
        item |= {"type": opened.type}
    item |= {"reason": opened.reason, "position": row.position, "opened_at": row.opened_at}
    item |= {"changed_at": row.changed_at, "changed_by": row.changed_by, "attempts": row.attempts}
    return item | ({"decision": row.note} if row.note else {})


def inbox_item(row: InboxRow) -> dict[str, Any]:
    """Return an external event as the inbox lists it; `stream` and `position` say where its fact is."""
    named = {"source": row.source, "id": row.id, "type": row.type, "outcome": row.outcome, "position": row.position}
    facts = {"at": row.at, "actor": row.actor, "stream": row.fact}
    return named | facts | ({"code": row.code, "letter": row.letter} if row.outcome == REFUSED else {})


def _one_of(name: str, value: str | None, known: tuple[str, ...]) -> None:
    if value is not None and value not in known:
        raise invalid(f"{name} must be one of {', '.join(known)}", pointer=f"?{name}")


def _before(cursor: str) -> int | None:
    if not cursor:
        return None
    if not cursor.isascii() or not cursor.isdecimal() or len(cursor) > POSITION_DIGITS_MAX:
        raise invalid("cursor is not from an earlier page", pointer="?cursor", fix="start without a cursor")
    return int(cursor)


def _body(schema: type[Spec]) -> dict[str, Any]:
    return {"requestBody": {"content": {"application/json": {"schema": schema.model_json_schema()}}, "required": True}}


_EVENT = {"schema": {"type": "object"}}
_EVENTS: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/cloudevents+json": _EVENT,
            "application/cloudevents-batch+json": {"schema": {"type": "array"}},
            "application/json": _EVENT,
        },
    }
}


def relay_router(commands: Commands, events: Events, letters: LetterRoutes) -> APIRouter:
    """Return all routes of relay."""
    router = APIRouter()

    add, add_letters = adding(router, "inbox"), adding(router, "dead-letters")
    one = "/v1/dead-letters/{letter}"
    add(
        "POST",
        "/v1/events",
        events.post,
        ("send", "ExternalEvent"),
        "send_events",
        openapi_extra=_EVENTS,
        responses=answers(200),
    )
    add("GET", "/v1/inbox", events.inbox, ("list", "ExternalEvent"), "list_inbox")
    add_letters("GET", "/v1/dead-letters", letters.list, ("list", "DeadLetter"), "list_dead_letters")
    add_letters(
        "POST", f"{one}:retry", letters.retry, ("retry", "DeadLetter"), "retry_letter", openapi_extra=_body(Decision)
    )
    add_letters(
        "POST", f"{one}:skip", letters.skip, ("skip", "DeadLetter"), "skip_letter", openapi_extra=_body(Decision)
    )
    add_letters("GET", one, letters.get, ("read", "DeadLetter"), "read_letter")
    router.include_router(declared_router(SOURCE, commands))
    return router
