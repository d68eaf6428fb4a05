"""Nothing is open by default: every route of the composed application has a rule (DESIGN rule 13)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from cli.embedded import SERVICES
from libs.runtime.embedded import Embedded
from libs.web.auth import OpenRule, RouteRule

OPEN = {"/livez", "/readyz"}


def rules_of(dependant: Any) -> Iterator[RouteRule | OpenRule]:
    for each in dependant.dependencies:
        if isinstance(each.call, RouteRule | OpenRule):
            yield each.call
        yield from rules_of(each)


def all_routes(routes: list[BaseRoute]) -> Iterator[BaseRoute]:
    for route in routes:
        router = getattr(route, "original_router", None)
        if router is None:
            yield route
        else:
            yield from all_routes(router.routes)


@pytest.fixture
async def routes(tmp_path: Path) -> list[BaseRoute]:
    embedded = Embedded(tmp_path / "data", SERVICES)
    async with embedded.running() as app:
        return list(all_routes(app.routes))


async def test_every_route_has_exactly_one_rule(routes: list[BaseRoute]) -> None:
    assert len(routes) > 20
    for route in routes:
        assert isinstance(route, APIRoute), route
        rules = list(rules_of(route.dependant))
        assert len(rules) == 1, f"{route.methods} {route.path} has {len(rules)} rules"


async def test_only_health_is_open(routes: list[BaseRoute]) -> None:
    found = {
        route.path
        for route in routes
        if isinstance(route, APIRoute) and any(isinstance(rule, OpenRule) for rule in rules_of(route.dependant))
    }
    assert found == OPEN


async def test_no_two_routes_answer_the_same(routes: list[BaseRoute]) -> None:
    seen: set[tuple[str, str]] = set()
    for route in routes:
        assert isinstance(route, APIRoute)
        for method in route.methods or ():
            assert (method, route.path) not in seen
            seen.add((method, route.path))
