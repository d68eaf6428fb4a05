"""`GET /v1/kinds`: the kinds of this version of the server, so that the command needs no list of its own."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from libs.kinds import KINDS, kind_as_json, version_of
from libs.web.auth import requires

KINDS_VERSION = version_of(KINDS)
KINDS_HEADER = "Resedge-Kinds"
"""In every answer: the version of the kinds that the server publishes."""


async def _published(response: Response) -> dict[str, Any]:
    """Return every kind: its words, its service, what its documents refer to, and what a table shows of it.

    `version` changes with any of it, and is in the header `Resedge-Kinds` of every answer.
    """
    response.headers["ETag"] = f'"{KINDS_VERSION}"'
    return {"version": KINDS_VERSION, "items": [kind_as_json(kind) for kind in KINDS], "next": None}


def kinds_router() -> APIRouter:
    """Return the route that publishes the registered kinds; whoever has an accepted token may read it."""
    router = APIRouter(tags=["kinds"])
    router.add_api_route(
        "/v1/kinds",
        _published,
        methods=["GET"],
        dependencies=[requires("list", "Kind")],
        operation_id="list_kinds",
        summary="List the kinds of things",
        response_model=None,
    )
    return router
