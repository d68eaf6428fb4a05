"""`resedge rebuild`: begun once, followed until it is live, and told when it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cli.errors import ExitCode
from tests.cli.cli_server import Answer, FakeServer, problem

if TYPE_CHECKING:
    from tests.cli.conftest import Resedge

NAME = "inventory.documents"


def told(state: str, building: int | None = None, generation: int = 3, detail: str = "") -> Answer:
    body: dict[str, Any] = {
        "projection": NAME,
        "state": state,
        "generation": generation,
        "position": 40,
        "building": building,
        "head": 41,
        "detail": detail,
    }
    return Answer(202 if building == 0 else 200, body)


@pytest.fixture
def begun(server: FakeServer) -> FakeServer:
    server.on("POST", f"/v1/projections/{NAME}:rebuild", told("building", 0))
    return server


def test_it_is_followed_until_it_is_live(resedge: Resedge, begun: FakeServer) -> None:
    begun.on("GET", f"/v1/projections/{NAME}", told("building", 10), told("building", 41), told("live"))

    ran = resedge("rebuild", NAME)

    assert (ran.code, ran.out, ran.err) == (0, f"{NAME} rebuilt at position 40\n", "")
    assert len(begun.asked_for("POST")) == 1


def test_what_failed_is_said_with_its_reason(resedge: Resedge, begun: FakeServer) -> None:
    begun.on("GET", f"/v1/projections/{NAME}", told("failed", detail="X.v1 at position 7 cannot be applied"))

    ran = resedge("rebuild", NAME)

    assert ran.code == ExitCode.FAILED
    assert "X.v1 at position 7 cannot be applied" in ran.err


def test_one_that_stands_still_is_given_up(resedge: Resedge, begun: FakeServer) -> None:
    begun.on("GET", f"/v1/projections/{NAME}", told("building", 10))

    ran = resedge("rebuild", NAME, "--timeout", "200ms")

    assert ran.code == ExitCode.TIMEOUT
    assert "no progress since position 10 of 41" in ran.err


def test_another_one_s_success_is_not_ours(resedge: Resedge, begun: FakeServer) -> None:
    begun.on("GET", f"/v1/projections/{NAME}", told("live", generation=4))

    ran = resedge("rebuild", NAME)

    assert ran.code == ExitCode.FAILED
    assert "another rebuild" in ran.err


def test_an_unknown_one_is_not_found_with_the_nearest(resedge: Resedge, server: FakeServer) -> None:
    missing = problem(404, "not-found", "Not found.", detail="no projection", nearest=NAME)
    server.on("POST", "/v1/projections/inventory.document:rebuild", missing)

    ran = resedge("rebuild", "inventory.document")

    assert ran.code == ExitCode.NOT_FOUND
    assert NAME in ran.err


def test_without_a_name_all_are_listed(resedge: Resedge, server: FakeServer) -> None:
    server.on("GET", "/v1/projections", Answer(200, {"items": [told("live").body]}))

    ran = resedge("rebuild")

    assert ran.out == f"{NAME} live at position 40 of 41\n"


def test_one_that_is_not_there_is_told_with_those_that_are(resedge: Resedge, server: FakeServer) -> None:
    listed = Answer(200, {"items": [told("live").body], "next": None})
    server.on("GET", "/services/inventory/v1/projections", listed)
    for service in ("grouping", "catalog", "policy", "rendering", "audit", "relay"):
        server.on("GET", f"/services/{service}/v1/projections", Answer(200, {"items": [], "next": None}))
    server.on("POST", "/v1/projections/documents:rebuild", problem(404, "not-found", "no service has this path"))

    ran = resedge("rebuild", "documents")

    assert ran.code == ExitCode.NOT_FOUND
    assert NAME in ran.err
    assert "no service has this path" not in ran.err
