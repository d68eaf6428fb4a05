"""The routes of a composed application, one by one, whichever router they were made in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fastapi.routing import APIRoute
from starlette.routing import BaseRoute


def all_routes(routes: Iterable[BaseRoute]) -> Iterator[APIRoute]:
    """Yield every route, those of included routers too."""
    for route in routes:
        if (router := getattr(route, "original_router", None)) is not None:
            yield from all_routes(router.routes)
        elif isinstance(route, APIRoute):
            yield route


def methods_at(routes: Iterable[BaseRoute], path: str) -> list[str]:
    """Return the methods that a path takes, HEAD where it takes GET."""
    methods = {method for route in all_routes(routes) if route.path_regex.match(path) for method in route.methods or ()}
    return sorted(methods | ({"HEAD"} if "GET" in methods else set()))
