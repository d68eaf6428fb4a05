"""The routes of a composed application, one by one, whichever router they were made in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

_PARAMETER = re.compile(r"\{[^}]*\}")


def all_routes(routes: Iterable[BaseRoute]) -> Iterator[APIRoute]:
    """Yield every route, those of included routers too."""
    for route in routes:
        if (router := getattr(route, "original_router", None)) is not None:
            yield from all_routes(router.routes)
        elif isinstance(route, APIRoute):
            yield route


def methods_at(routes: Iterable[BaseRoute], path: str) -> list[str]:
    """Return the methods that a path takes, HEAD where it takes GET: those of the template that says most of it."""
    matching = [route for route in all_routes(routes) if route.path_regex.match(path)]
    most = max((_literal(route) for route in matching), default=0)
    methods = {method for route in matching if _literal(route) == most for method in route.methods or ()}
    return sorted(methods | ({"HEAD"} if "GET" in methods else set()))


def _literal(route: APIRoute) -> int:
    return len(_PARAMETER.sub("", route.path))
