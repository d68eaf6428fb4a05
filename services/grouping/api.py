"""The routes of grouping: groups (documents) and their members."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response

from libs.commands.kinds import DeclaredKind
from libs.contracts.names import nearest
from libs.contracts.problems import not_found
from libs.kinds import BY_DOCUMENT
from libs.web.auth import requires
from libs.web.paging import page_answer, page_of
from libs.web.positions import POSITION_HEADER, wanted_position
from libs.web.router import DeclaredRoutes, declared_router
from libs.web.schema import document_model
from services.grouping.documents import GroupSpec, group_document, parse_group
from services.grouping.domain import Command, RemoveGroup, State, check_path, decide, warnings
from services.grouping.events import GroupDeclared, GroupRemoved

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyroaring import BitMap

    from libs.commands.commands import Commands
    from libs.fleet import Fleet


def groups_holding(facts: Fleet, clusters: BitMap) -> Iterable[str]:
    """Return the declared groups that have one of `clusters` as a member."""
    return (path for path in facts.groups if not facts.selection.members(path).isdisjoint(clusters))


GROUP: DeclaredKind[Command, State] = DeclaredKind(
    registered=BY_DOCUMENT["Group"],
    declared=GroupDeclared,
    removed=GroupRemoved,
    parse=parse_group,
    remove=RemoveGroup,
    decide=decide,
    to_document=group_document,
    warnings=warnings,
    clusters_to_names=groups_holding,
    schema=document_model("Group", GroupSpec, "path").model_json_schema(),
)


class Groups:
    """The handlers of groups besides those of documents."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands
        self._routes = DeclaredRoutes(GROUP, commands)

    async def list(
        self,
        request: Request,
        response: Response,
        where: str | None = None,
        under: str | None = None,
        limit: str = "100",
        cursor: str = "",
    ) -> dict[str, Any]:
        """Return a page of groups in the order of their paths: those at or below `under` if it is given."""
        if under is None:
            return await self._routes.list(request, response, where, limit, cursor)
        page = page_of(request)
        facts = await self._facts(request)
        view = self._commands.view
        after = heapq.nsmallest(page.limit + 1, (path for path in _under(facts, under) if path > page.after))
        rows = [row for row in await view.rows(GROUP.kind, after) if not row.removed]
        more = len(after) > page.limit
        rows = rows[: page.limit]
        response.headers[POSITION_HEADER] = str(view.position)
        items = [group_document(row.event(), facts) for row in rows]
        return page_answer(request, response, items, rows[-1].name if more and rows else None)

    async def count(
        self, request: Request, response: Response, where: str | None = None, under: str | None = None
    ) -> dict[str, int]:
        """Return how many groups there are: those at or below `under` if it is given."""
        if under is None:
            return await self._routes.count(request, response, where)
        facts = await self._facts(request)
        response.headers[POSITION_HEADER] = str(self._commands.facts.position)
        return {"count": len(_under(facts, under))}

    async def members(
        self,
        request: Request,
        response: Response,
        path: str,
        limit: str = "100",
        cursor: str = "",
    ) -> dict[str, Any]:
        """Return a page of a group's members, those of groups below it too, in the order of their names."""
        del limit, cursor  # declared for the schema; page_of reads them
        page = page_of(request)
        facts = await self._facts(request)
        members = _members(facts, path)
        selection = facts.selection
        named = ((selection.name(ordinal), ordinal) for ordinal in members)
        found = heapq.nsmallest(page.limit + 1, (each for each in named if each[0] > page.after))
        more = len(found) > page.limit
        found = found[: page.limit]
        response.headers[POSITION_HEADER] = str(self._commands.facts.position)
        items = [{"name": name, "store": selection.store_of(ordinal)} for name, ordinal in found]
        following = found[-1][0] if more else None
        return {**page_answer(request, response, items, following), "count": len(members)}

    async def members_count(self, request: Request, response: Response, path: str) -> dict[str, int]:
        """Return how many members a group has, those of groups below it too."""
        facts = await self._facts(request)
        response.headers[POSITION_HEADER] = str(self._commands.facts.position)
        return {"count": len(_members(facts, path))}

    async def _facts(self, request: Request) -> Fleet:
        commands = self._commands
        await commands.positions.seen(wanted_position(request), commands.facts, commands.view)
        return commands.facts.fleet


def _members(facts: Fleet, rest: str) -> BitMap:
    path = GROUP.name_in_url(rest)
    if not facts.selection.group_exists(path):
        raise not_found("group", path, nearest(path, facts.groups))
    return facts.selection.members(path)


def _under(facts: Fleet, under: str) -> list[str]:
    path = "/" + under.strip("/")
    check_path(path, "?under")
    if not facts.selection.group_exists(path):
        raise not_found("group", path, nearest(path, facts.groups))
    return [each for each in facts.groups if each == path or each.startswith(f"{path}/")]


def grouping_router(commands: Commands) -> APIRouter:
    """Return all routes of grouping; those of members come first, since a path takes the rest of its URL."""
    router = APIRouter(tags=["groups"])
    groups = Groups(commands)

    def add(path: str, handler: Any, verb: str, operation_id: str) -> None:
        router.add_api_route(
            path,
            handler,
            methods=["GET"],
            dependencies=[requires(verb, "Group")],
            operation_id=operation_id,
            response_model=None,
        )

    add("/v1/groups", groups.list, "list", "list_groups")
    add("/v1/groups:count", groups.count, "count", "count_groups")
    add("/v1/groups/{path:path}:members", groups.members, "list", "list_members")
    add("/v1/groups/{path:path}:count", groups.members_count, "count", "count_members")
    router.include_router(declared_router(GROUP, commands, without=("list", "count")))
    return router
