"""What a service describes, held against what it answers: schemathesis tries one service at a time."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import uvicorn
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from cli.embedded import SERVICES
from libs.runtime.connections import Bounds
from libs.runtime.embedded import Embedded
from libs.runtime.service import Build
from libs.runtime.serving import configuration, listen
from libs.web.openapi import JSON, YAML
from tests.support.waiting import eventually

CONFIG = Path(__file__).parent / "schemathesis.toml"
EXAMPLES_MAX = "1"
SECONDS_MAX = 600
FOLLOWED_SECONDS = 1.0
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


def ending(app: FastAPI) -> FastAPI:
    """Return the application with an end to every answer that follows what comes: who tries it waits for an end."""

    async def ended(scope: Scope, receive: Receive, send: Send) -> None:
        if b"follow=" not in scope.get("query_string", b""):
            await app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(FOLLOWED_SECONDS):
                await app(scope, receive, send)
        except TimeoutError:
            await send({"type": "http.response.body"})

    return cast("FastAPI", ended)


async def serving(server: uvicorn.Server) -> None:
    await eventually(lambda: server.started)


async def check_answers(service: str, tmp_path: Path) -> None:
    """Run one service alone, and let schemathesis try its description with all checks.

    Raises:
        AssertionError: an answer is none of those that are described.
    """
    build = next(each for each in SERVICES if name_of(each) == service)
    alone = Embedded(tmp_path / "data", [build])
    token = alone.tokens.issue("admin", frozenset({"admin"}))
    (tmp_path / "openapi.json").write_text(json.dumps(tried(alone.app.openapi(), name_of(build))))
    listening = listen("127.0.0.1", 0)
    server = uvicorn.Server(configuration(ending(alone.app), "", Bounds()))
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
