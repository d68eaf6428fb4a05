"""The routes of inventory: stores (documents, import, labels) and clusters."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pyroaring import BitMap

from libs.commands.commands import Commands
from libs.commands.kinds import DeclaredKind
from libs.commands.problems import query_problem
from libs.commands.proposals import Proposal
from libs.contracts.names import nearest
from libs.contracts.problems import not_found
from libs.contracts.tree import cluster_path
from libs.fleet import Fleet
from libs.kinds import BY_DOCUMENT
from libs.selection import SelectionError, parse
from libs.web.auth import requires
from libs.web.bodies import parse_json, read_body, read_document
from libs.web.intents import flag, intent_of
from libs.web.openapi import body_of, taking
from libs.web.paging import page_answer, page_of
from libs.web.positions import POSITION_HEADER, wanted_position
from libs.web.router import declared_router, respond, select
from libs.web.schema import document_model, validated
from services.inventory.bulk import LabelChange, propose_import, propose_labels, read_rows, store_names
from services.inventory.documents import StoreSpec, parse_store, store_document
from services.inventory.domain import Command, RemoveStore, State, decide, guards, store_stream, without_cluster
from services.inventory.events import ClusterSpec, StoreDeclared, StoreRemoved

_NEAR_MAX = 500
_TEXTS = tuple(each.name for each in fields(ClusterSpec) if each.default == "")
"""The text fields of a cluster."""
IMPORTED = taking({"text/csv": {"type": "string"}, "application/x-ndjson": {"type": "string"}})

STORE: DeclaredKind[Command, State] = DeclaredKind(
    registered=BY_DOCUMENT["Store"],
    declared=StoreDeclared,
    removed=StoreRemoved,
    parse=parse_store,
    remove=RemoveStore,
    decide=decide,
    to_document=store_document,
    guards=guards,
    clusters_to_names=store_names,
    schema=document_model("Store", StoreSpec, "name").model_json_schema(),
)


class Clusters:
    """The handlers of clusters: queries, and their deletion, which edits their store."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    async def page(
        self, request: Request, response: Response, where: str | None = None, limit: str = "100", cursor: str = ""
    ) -> dict[str, Any]:
        """Return a page of clusters in the order of their names, those that `where` selects if it is given."""
        del limit, cursor  # declared for the schema; page_of reads them
        page = page_of(request)
        facts = await self._facts(request)
        selected = self._selected(facts, where)
        named = ((facts.selection.name(ordinal), ordinal) for ordinal in selected)
        found = heapq.nsmallest(page.limit + 1, (each for each in named if each[0] > page.after))
        more = len(found) > page.limit
        found = found[: page.limit]
        response.headers[POSITION_HEADER] = str(self._commands.view.position)
        items = await self._described(facts, [ordinal for _, ordinal in found])
        return page_answer(request, response, items, found[-1][0] if more else None)

    async def count(self, request: Request, response: Response, where: str | None = None) -> dict[str, int]:
        """Return how many clusters there are, those that `where` selects if it is given."""
        facts = await self._facts(request)
        response.headers[POSITION_HEADER] = str(self._commands.facts.position)
        return {"count": len(self._selected(facts, where))}

    async def get(self, request: Request, name: str) -> Response:
        """Return a cluster with its effective labels, groups, namespaces and its place in the tree."""
        facts = await self._facts(request)
        found = await self._described(facts, [self._ordinal(facts, name)])
        return JSONResponse(found[0], headers={POSITION_HEADER: str(self._commands.view.position)})

    async def explain(self, request: Request, name: str, expression: str) -> Response:
        """Return which terms of an expression hold for the cluster, and why."""
        facts = await self._facts(request)
        ordinal = self._ordinal(facts, name)
        try:
            parsed = parse(expression)
            facts.selection.check(parsed)
            explanation = facts.selection.explain(parsed, ordinal)
        except SelectionError as error:
            raise query_problem(error, "?expression") from None
        terms = [{"term": text, "holds": holds, "why": why} for text, holds, why in explanation.terms]
        return JSONResponse(
            {"cluster": name, "holds": explanation.holds, "terms": terms},
            headers={POSITION_HEADER: str(self._commands.facts.position)},
        )

    async def delete(self, request: Request, name: str) -> Response:
        """Delete a cluster by declaring its store without it; refused while an expression names it."""
        body = await read_body(request)
        intent = intent_of(request, body, assume=parse_json(body).get("assume") if body else None)

        async def propose(facts: Fleet) -> Proposal:
            ordinal = self._ordinal(facts, name)
            store = facts.selection.store_of(ordinal)
            row = await self._commands.view.row("Store", store)
            state = None if row is None else row.state()
            if row is None or not isinstance(state, StoreDeclared):
                raise not_found("cluster", name)
            intent.check_version(row.version, exists=True)
            command = without_cluster(state, name, intent.actor, self._commands.clock())
            stream = store_stream(store)
            return Proposal(
                events=[(stream, event) for event in decide(command, state, facts)],
                expected={stream: row.version},
                guards=guards(command, state),
                body={"result": "deleted", "warnings": []},
                stream=stream,
                version=row.version,
            )

        return respond(await self._commands.change(propose, intent))

    async def _facts(self, request: Request) -> Fleet:
        commands = self._commands
        await commands.positions.seen(wanted_position(request), commands.facts, commands.view)
        return commands.facts.fleet

    @staticmethod
    def _selected(facts: Fleet, where: str | None) -> BitMap:
        return facts.selection.everything if where is None else select(facts, where)

    @staticmethod
    def _ordinal(facts: Fleet, name: str) -> int:
        ordinal = facts.selection.ordinal(name)
        if ordinal is not None:
            return ordinal
        known = heapq.nsmallest(
            _NEAR_MAX,
            (each for each in map(facts.selection.name, facts.selection.everything) if each[:3] == name[:3]),
        )
        raise not_found("cluster", name, nearest(name, known))

    async def _described(self, facts: Fleet, ordinals: Sequence[int]) -> list[dict[str, Any]]:
        stores = sorted({facts.selection.store_of(ordinal) for ordinal in ordinals})
        rows = await self._commands.view.rows("Store", stores)
        declared = {
            cluster.name: cluster
            for row in rows
            if isinstance(event := row.event(), StoreDeclared)
            for cluster in event.clusters
        }
        return [_cluster(facts, ordinal, declared) for ordinal in ordinals]


def _cluster(facts: Fleet, ordinal: int, declared: dict[str, ClusterSpec]) -> dict[str, Any]:
    selection = facts.selection
    name = selection.name(ordinal)
    store_name = selection.store_of(ordinal)
    store = facts.store(store_name)
    said = declared.get(name, ClusterSpec(name))
    return {
        "name": name,
        "store": store_name,
        "timezone": store.timezone if store else None,
        "labels": {
            key: value if isinstance(value, str) else list(value)
            for key, value in sorted(selection.labels_of(ordinal).items())
        },
        "capacity": said.capacity,
        **{field: getattr(said, field) or None for field in _TEXTS},
        "groups": sorted(selection.groups_of(ordinal)),
        "namespaces": sorted(each for each in facts.namespaces if ordinal in selection.namespace_members(each)),
        "path": cluster_path(name),
    }


class _Bulk:
    """Changes of many stores at once."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    async def load(self, request: Request, empty_removes: str = "false", confirmed: str = "false") -> Response:
        """Import stores from CSV or JSON lines: all rows are valid, or none is imported.

        Fields without a column, and empty cells, stay unchanged; with `empty_removes=true` an empty cell removes its
        field. An import that removes many placements is refused (409 needs-confirmation) unless `confirmed=true` is
        given.
        """
        del empty_removes, confirmed  # declared for the schema; flag reads them
        rows, body = await read_rows(request)
        intent = intent_of(request, body)
        said = flag(request, "confirmed")
        commands = self._commands

        async def propose(facts: Fleet) -> Proposal:
            proposal, question = await propose_import(rows, commands.view, intent, commands.clock(), facts)
            if question is not None and not said and not intent.dry_run:
                # A sender without the right gets a 403, not a question.
                await commands.judged(proposal, facts, intent)
                raise question
            return proposal

        return respond(await commands.change(propose, intent))

    async def label(self, request: Request) -> Response:
        """Put and remove labels of all stores of which `where` selects a cluster."""
        value, body = await read_document(request)
        change = validated(LabelChange, value)
        intent = intent_of(request, body)
        commands = self._commands
        return respond(
            await commands.change(lambda facts: propose_labels(change, commands.view, intent, facts), intent)
        )


def inventory_router(commands: Commands) -> APIRouter:
    """Return all routes of inventory."""
    router = APIRouter()
    bulk, clusters = _Bulk(commands), Clusters(commands)

    def add(method: str, path: str, handler: Any, verb: str, kind: str, operation_id: str, **more: Any) -> None:
        router.add_api_route(
            path,
            handler,
            methods=[method],
            dependencies=[requires(verb, kind)],
            operation_id=operation_id,
            response_model=None,
            tags=[f"{kind.lower()}s"],
            **more,
        )

    add("POST", "/v1/stores:import", bulk.load, "import", "Store", "import_stores", openapi_extra=IMPORTED)
    add("POST", "/v1/stores:label", bulk.label, "label", "Store", "label_stores", openapi_extra=body_of(LabelChange))
    add("GET", "/v1/clusters:count", clusters.count, "count", "Cluster", "count_clusters")
    add("GET", "/v1/clusters", clusters.page, "list", "Cluster", "list_clusters")
    add("GET", "/v1/clusters/{name}", clusters.get, "read", "Cluster", "read_cluster")
    add("GET", "/v1/clusters/{name}/explain", clusters.explain, "explain", "Cluster", "explain_cluster")
    add("DELETE", "/v1/clusters/{name}", clusters.delete, "remove", "Cluster", "remove_cluster")
    router.include_router(declared_router(STORE, commands))
    return router
