"""What holds for every route there is, and for every one that will be: HEAD, encodings, labels, health, errors."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute
from httpx2 import Response
from prometheus_client import generate_latest

from libs.web.auth import OpenRule
from libs.web.openapi import rules_of
from libs.web.problems import MEDIA_TYPE
from libs.web.routes import all_routes
from libs.web.turns import Turn
from tests.flow.conftest import Server, store

ENDLESS = {"/v1/rendering:settled"}
"""What waits for long where nothing has come to be."""


def routes(server: Server, *methods: str) -> Iterator[tuple[str, APIRoute, str]]:
    """Yield method, route and a path of it."""
    for route in all_routes(server.embedded.app.routes):
        for method in sorted((route.methods or set()) & set(methods)):
            yield method, route, re.sub(r"\{[^}]*\}", "x-1", route.path)


def is_problem(response: Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, (response.request.method, response.request.url, response.text)
    assert response.headers["Content-Type"] == MEDIA_TYPE
    document: dict[str, Any] = response.json()
    assert document["request_id"] == response.headers["X-Request-ID"]
    return document


async def test_head_answers_as_get_does_without_a_body(server: Server) -> None:
    await server.declare(store("x-1"))
    await server.settled()
    count = 0
    for _, route, path in routes(server, "GET"):
        if route.path in ENDLESS:
            continue
        got, headed = await server.client.get(path), await server.client.head(path)
        assert headed.status_code == got.status_code, path
        assert headed.headers["Content-Type"] == got.headers["Content-Type"], path
        assert headed.content == b"", path
        count += 1
    assert count > 40


async def test_head_of_a_stream_ends(server: Server) -> None:
    async with asyncio.timeout(20):
        headed = await server.client.head("/v1/events?follow=true")
    assert (headed.status_code, headed.content) == (200, b"")
    assert headed.headers["Content-Type"].startswith("text/event-stream")


async def test_a_body_that_is_compressed_is_refused_everywhere(server: Server) -> None:
    for method, route, path in routes(server, "GET", "PUT", "POST", "DELETE"):
        if any(isinstance(rule, OpenRule) for rule in rules_of(route.dependant)):
            continue
        for encoding in ("gzip", "br", "gzip, identity"):
            refused = await server.client.request(method, path, content=b"x", headers={"Content-Encoding": encoding})
            assert is_problem(refused, 415)["code"] == "unsupported-content-encoding"
            assert refused.headers["Accept-Encoding"] == "identity"
    same = await server.client.put("/v1/stores/a", json=store("a"), headers={"Content-Encoding": "identity"})
    assert same.status_code == 201
    async with server.client_for(None) as stranger:
        assert (await stranger.post("/v1/stores:import", headers={"Content-Encoding": "gzip"})).status_code == 401


async def test_another_method_is_a_problem_that_says_which_there_are(server: Server) -> None:
    known = {method for _, route, _ in routes(server, "GET", "PUT", "POST", "DELETE") for method in route.methods or ()}
    for method, route, path in routes(server, "GET", "PUT", "POST", "DELETE"):
        for other in ("PATCH", "OPTIONS", "TRACE", "BREW"):
            refused = await server.client.request(other, path)
            assert is_problem(refused, 405)["code"] == "method-not-allowed"
            allowed = refused.headers["Allow"].split(", ")
            assert method in allowed, route.path
            assert set(allowed) <= known | {"HEAD"}


@pytest.mark.parametrize("path", ["/", "/v2", "/v1", "/v1/stores/a/b/c", "/v1/%00", "/v1/storess/", "//v1/stores"])
async def test_a_path_without_a_route_is_a_problem(server: Server, path: str) -> None:
    refused = await server.client.get(path)
    assert is_problem(refused, 404)


async def test_methods_and_paths_never_become_labels(server: Server) -> None:
    def series() -> set[tuple[str, str]]:
        text = generate_latest().decode()
        found = re.findall(r'resedge_http_request_seconds_count\{method="([^"]*)",route="([^"]*)"', text)
        return {(method, route) for method, route in found}

    await server.client.request("BREW", "/v1/never-0")
    await server.client.request("BREW", "/v1/stores/never-0")
    before = series()
    for number in range(30):
        await server.client.request(f"BREW{number}", f"/v1/never-{number}")
        await server.client.request(f"BREW{number}", f"/v1/stores/never-{number}")
    assert series() == before
    templates = {route.path for route in all_routes(server.embedded.app.routes)} | {"none"}
    assert {route for method, route in before if "never" in route} == set()
    assert {"none", "/v1/stores/{name:path}"} <= {route for method, route in before if method == "other"} <= templates


async def test_health_tells_strangers_which_checks_fail_and_nothing_else(server: Server) -> None:
    for token in (None, "wrong"):
        async with server.client_for(token) as stranger:
            told = (await stranger.get("/readyz?verbose")).json()
        assert told["checks"]
        assert all(each.keys() == {"check", "ok"} for each in told["checks"])
    told = (await server.client.get("/readyz?verbose")).json()
    assert all(each.keys() == {"check", "ok", "detail"} for each in told["checks"])


@pytest.mark.parametrize("path", ["/v1/log:verify", "/v1/rendering:verify"])
async def test_one_verification_runs_at_a_time(server: Server, path: str) -> None:
    answers = await asyncio.gather(*(server.client.post(path) for _ in range(4)))
    assert sorted(each.status_code for each in answers) == [200, 409, 409, 409]
    for each in answers:
        if each.status_code == 409:
            assert is_problem(each, 409)["code"] == "already-running"
            assert each.headers["Retry-After"]
    assert (await server.client.post(path)).status_code == 200


def test_a_turn_is_given_back_whatever_happens() -> None:
    turn = Turn("trial")
    with pytest.raises(ZeroDivisionError), turn.taken():
        raise ZeroDivisionError
    with turn.taken():
        pass
