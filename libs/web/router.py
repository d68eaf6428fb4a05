"""The routes of a declared kind: PUT, GET, DELETE, list, count; parse, command, hand over.

The one rule: differences between kinds are in their `DeclaredKind`, never here.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pyroaring import BitMap

from libs.commands.commands import Commands
from libs.commands.histories import before_change
from libs.commands.intents import etag
from libs.commands.kinds import DeclaredKind
from libs.commands.problems import query_problem
from libs.commands.proposals import Answer
from libs.contracts.names import nearest
from libs.contracts.problems import invalid, not_found
from libs.fleet import Fleet
from libs.selection import SelectionError, parse
from libs.web.auth import requires
from libs.web.bodies import parse_json, read_body, read_document
from libs.web.intents import intent_of
from libs.web.openapi import JSON, OBJECT, YAML, taking
from libs.web.paging import page_answer, page_of
from libs.web.positions import POSITION_HEADER, wanted_position


def respond(answer: Answer) -> Response:
    """Return the response of a change: its body, `ETag` and `Resedge-Position`."""
    headers = {POSITION_HEADER: str(answer.position)}
    if answer.version is not None:
        headers["ETag"] = etag(answer.version)
    if answer.body is None:
        return Response(status_code=answer.status, headers=headers)
    return JSONResponse(dict(answer.body), answer.status, headers)


def unwrapped(value: Any) -> tuple[Any, Any]:
    """Return (document, assumed events) of a body, which in a dry run may be `{"document", "assume"}`."""
    if isinstance(value, dict) and "document" in value and value.keys() <= {"document", "assume"}:
        return value["document"], value.get("assume", [])
    return value, None


def select(facts: Fleet, where: str) -> BitMap:
    """Return the clusters that a query's expression selects.

    Raises:
        Problem: 422, it cannot be read or names what is not there.
    """
    try:
        expression = parse(where)
        facts.selection.check(expression)
        return facts.selection.select(expression)
    except SelectionError as error:
        raise query_problem(error) from None


class DeclaredRoutes:
    """The handlers of one declared kind."""

    def __init__(self, kind: DeclaredKind[Any, Any], commands: Commands) -> None:
        self._kind = kind
        self._commands = commands

    async def put(self, request: Request, name: str) -> Response:
        """Declare it: 201 created, 200 configured, 204 unchanged; a dry run answers the events instead."""
        value, body = await read_document(request)
        document, assume = unwrapped(value)
        name, make = self._kind.parse(document, self._kind.name_in_url(name))
        return respond(await self._commands.declare(self._kind, name, make, intent_of(request, body, assume=assume)))

    async def delete(self, request: Request, name: str, reason: str = "") -> Response:
        """Remove it; refused while something refers to it. `reason` is recorded with the removal."""
        del reason  # declared for the schema; intent_of reads it
        body = await read_body(request)
        assume = parse_json(body).get("assume") if body else None
        intent = intent_of(request, body, assume=assume)
        return respond(await self._commands.remove(self._kind, self._kind.name_in_url(name), intent))

    async def get(self, request: Request, name: str, before: int | None = None) -> Response:
        """Return its document; `ETag` is its version.

        With `before`, a position in the log, answer what it was before that event about it, and what changed it since.
        """
        await self._seen(request)
        wanted = self._kind.name_in_url(name)
        if before is not None:
            return JSONResponse(await before_change(self._commands, self._kind, wanted, before))
        view = self._commands.view
        row = await view.row(self._kind.kind, wanted) if self._kind.is_name(wanted) else None
        if row is None or row.removed:
            near = nearest(wanted, await view.neighbours(self._kind.kind, wanted))
            raise not_found(self._kind.kind.lower(), wanted, near)
        document = self._kind.to_document(row.event(), self._commands.facts.fleet)
        return JSONResponse(document, headers={"ETag": etag(row.version), POSITION_HEADER: str(view.position)})

    async def list(
        self, request: Request, response: Response, where: str | None = None, limit: str = "100", cursor: str = ""
    ) -> dict[str, Any]:
        """Return a page of documents in the order of their names, those that `where` selects if it is given."""
        del limit, cursor  # declared for the schema; page_of reads them
        page = page_of(request)
        await self._seen(request)
        view = self._commands.view
        if where is None:
            rows = await view.page(self._kind.kind, page.after, page.limit + 1)
        else:
            names = self._names(where)
            after = heapq.nsmallest(page.limit + 1, (name for name in names if name > page.after))
            rows = await view.rows(self._kind.kind, after)
        more = len(rows) > page.limit
        rows = rows[: page.limit]
        facts = self._commands.facts.fleet
        response.headers[POSITION_HEADER] = str(view.position)
        items = [self._kind.to_document(row.event(), facts) for row in rows]
        return page_answer(request, response, items, rows[-1].name if more else None)

    async def count(self, request: Request, response: Response, where: str | None = None) -> dict[str, int]:
        """Return how many there are, those that `where` selects if it is given."""
        await self._seen(request)
        view = self._commands.view
        response.headers[POSITION_HEADER] = str(view.position)
        if where is None:
            return {"count": await view.count(self._kind.kind)}
        return {"count": len(self._names(where))}

    def _names(self, where: str) -> set[str]:
        if self._kind.clusters_to_names is None:
            raise invalid(
                f"{self._kind.plural} cannot be selected by an expression",
                pointer="?where",
                fix="`where` selects stores and clusters; leave it out here",
            )
        facts = self._commands.facts.fleet
        return set(self._kind.clusters_to_names(facts, select(facts, where)))

    async def _seen(self, request: Request) -> None:
        commands = self._commands
        await commands.positions.seen(wanted_position(request), commands.facts, commands.view)


def adding(router: APIRouter, *tags: str) -> Callable[..., None]:
    """Return what adds a guarded route: `add(method, path, handler, (verb, kind), operation_id, …)`."""

    def add(method: str, path: str, handler: Any, right: tuple[str, str], operation_id: str, **more: Any) -> None:
        router.add_api_route(
            path,
            handler,
            methods=[method],
            dependencies=[requires(*right)],
            operation_id=operation_id,
            response_model=None,
            **{"tags": list(tags), **more},
        )

    return add


def declared_router(kind: DeclaredKind[Any, Any], commands: Commands, *, without: Collection[str] = ()) -> APIRouter:
    """Return the routes of a declared kind under `/v1/<plural>`.

    `without` are the verbs (`count`, `list`, `declare`, `read`, `remove`) whose routes the service makes itself.
    """
    router = APIRouter(tags=[kind.plural])
    routes = DeclaredRoutes(kind, commands)
    base = f"/v1/{kind.plural}"
    one = f"{base}/{{name:path}}" if kind.greedy else f"{base}/{{name}}"
    body = taking({media: dict(kind.schema or OBJECT) for media in (JSON, YAML)})

    def add(path: str, handler: Any, method: str, verb: str, **more: Any) -> None:
        if verb in without:
            return
        router.add_api_route(
            path,
            handler,
            methods=[method],
            dependencies=[requires(verb, kind.kind)],
            operation_id=f"{verb}_{kind.plural}" if path != one else f"{verb}_{kind.category}",
            summary=f"{verb.capitalize()} {kind.plural if path != one else kind.kind}",
            response_model=None,
            **more,
        )

    add(f"{base}:count", routes.count, "GET", "count")
    add(base, routes.list, "GET", "list")
    add(one, routes.put, "PUT", "declare", openapi_extra=body)
    add(one, routes.get, "GET", "read")
    add(one, routes.delete, "DELETE", "remove")
    return router
