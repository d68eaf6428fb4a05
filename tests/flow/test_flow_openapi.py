"""What every service describes is what it answers: schemathesis finds nothing, with all of its checks."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from cli.embedded import SERVICES
from libs.runtime.connections import Bounds
from libs.runtime.embedded import Embedded
from libs.runtime.service import Build
from libs.runtime.serving import configuration, listen
from libs.web.auth import Rule
from libs.web.openapi import JSON, NOT_COMMANDS, YAML, rules_of
from libs.web.problems import MEDIA_TYPE
from libs.web.routes import all_routes

CONFIG = Path(__file__).parent / "schemathesis.toml"
EXAMPLES_MAX = "1"
SECONDS_MAX = 600
WAITED_FOR = {"position", "Resedge-Position", "timeout_seconds"}
"""What makes an answer wait; a position is one that an answer gave, which none that is made up is."""
READ_IN_ONE_PLACE = {"Idempotency-Key", "If-Match", "If-None-Match", "limit", "cursor"}
SHARED = {
    "/livez",
    "/readyz",
    "/metrics",
    "/v1/whoami",
    "/v1/documents",
    "/v1/projections",
    "/v1/projections/{name}",
    "/v1/projections/{name}:rebuild",
}
SHARED_WITH = "grouping"


def name_of(build: Build) -> str:
    return build.__module__.split(".")[1]


def tried(document: dict[str, Any], service: str) -> dict[str, Any]:
    """Return what is tried of a description: without what waits, and what all services share with one of them only."""
    made: dict[str, Any] = json.loads(json.dumps(document))
    if service != SHARED_WITH:
        made["paths"] = {path: each for path, each in made["paths"].items() if path not in SHARED}
    for operations in made["paths"].values():
        for operation in operations.values():
            given = operation.get("parameters", [])
            left_out = WAITED_FOR if service == SHARED_WITH else WAITED_FOR | READ_IN_ONE_PLACE
            operation["parameters"] = [each for each in given if each["name"] not in left_out]
            content = operation.get("requestBody", {}).get("content", {})
            if service != SHARED_WITH and JSON in content:  # YAML is read in the same place everywhere
                content.pop(YAML, None)
    return made


async def serving(server: uvicorn.Server) -> None:
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("build", SERVICES, ids=name_of)
async def test_a_service_answers_as_it_describes(build: Build, tmp_path: Path) -> None:
    alone = Embedded(tmp_path / "data", [build])
    token = alone.tokens.issue("admin", frozenset({"admin"}))
    (tmp_path / "openapi.json").write_text(json.dumps(tried(alone.app.openapi(), name_of(build))))
    listening = listen("127.0.0.1", 0)
    server = uvicorn.Server(configuration(alone.app, "", Bounds()))
    running = asyncio.create_task(server._serve([listening]))
    await serving(server)
    address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    command = [str(Path(sys.executable).with_name("st")), "--config-file", str(CONFIG), "run"]
    command += [str(tmp_path / "openapi.json"), "--url", address, "--checks", "all", "--phases", "coverage,fuzzing"]
    command += ["--max-examples", EXAMPLES_MAX, "--seed", "1", "--no-color", "--generation-database", "none"]
    command += ["--header", f"Authorization: Bearer {token}", "--continue-on-failure", "--suppress-health-check", "all"]
    try:
        found = await asyncio.to_thread(
            subprocess.run, command, cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS_MAX, check=False
        )
    finally:
        server.should_exit = True
        await running

    assert found.returncode == 0, found.stdout[-8_000:] + found.stderr[-2_000:]
    assert "No failures" in found.stdout or "passed" in found.stdout, found.stdout[-2_000:]


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> tuple[Embedded, dict[str, Any]]:
    embedded = Embedded(tmp_path_factory.mktemp("openapi") / "data", SERVICES)
    described = embedded.app.openapi()
    embedded.log.close()
    return embedded, described


def test_every_route_says_who_may_what_it_answers_and_that_errors_are_problems(
    document: tuple[Embedded, dict[str, Any]],
) -> None:
    embedded, described = document
    scheme = described["components"]["securitySchemes"]["token"]
    assert scheme == {"type": "http", "scheme": "bearer"}
    routes = [route for route in all_routes(embedded.app.routes) if route.include_in_schema]
    assert len(routes) > 80
    for route in routes:
        for method in route.methods or ():
            operation = described["paths"][route.path_format][method.lower()]
            place = f"{method} {route.path}"
            statuses = set(operation["responses"])
            assert any(status.startswith("2") for status in statuses), place
            if route.path in {"/livez", "/readyz"}:
                continue
            assert operation["security"] == [{"token": []}], place
            assert statuses >= {"401", "403", "415", "422", "503"}, place
            for status, answer in operation["responses"].items():
                if status >= "400":
                    assert list(answer["content"]) == [MEDIA_TYPE], place
            rule = next(rules_of(route.dependant))
            assert isinstance(rule, Rule)
            if method in {"PUT", "POST", "DELETE"} and rule.verb not in NOT_COMMANDS:
                assert statuses >= {"404", "408", "409", "412", "413"}, place
                names = {each["name"] for each in operation["parameters"]}
                assert names >= {"Idempotency-Key", "dry_run", "If-Match"}, place
            if method == "PUT":
                assert operation["requestBody"]["content"], place


def test_every_reference_of_the_description_leads_somewhere(document: tuple[Embedded, dict[str, Any]]) -> None:
    _, described = document
    text = json.dumps(described)
    names = {part.split('"')[0] for part in text.split('"$ref": "')[1:]}
    assert names
    for name in names:
        assert name.startswith("#/components/schemas/"), name
        assert name.rpartition("/")[2] in described["components"]["schemas"], name
