"""The system as separate services in one process: every service a composition of its own, on one log, behind an edge.

What differs from the embedded composition is what differs across machines too: every service has its own fleet, feed
and views, nothing is shared but the log and the tokens, and no path reaches two services.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import pytest
import structlog
import uvicorn
import uvloop
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from cli.embedded import SERVICES
from libs.runtime.embedded import Embedded
from libs.runtime.service import Build
from libs.runtime.serving import listen
from libs.web.auth import TokenStore
from tests.support.waiting import eventually

ROUTES: Sequence[tuple[str, str]] = (
    (r"/v1/clusters/[^/]+/why", "rendering"),
    (r"/v1/(stores|clusters)([/:].*)?", "inventory"),
    (r"/v1/groups([/:].*)?", "grouping"),
    (r"/v1/(namespaces|applications|configurations)([/:].*)?", "catalog"),
    (r"/v1/(calendars|freezes|placementpolicies|signoffs|roles|rolebindings)([/:].*)?", "policy"),
    (r"/v1/(refusals|holds|rendering|gitops)([/:].*)?", "rendering"),
    (r"/v1/(events|log|whoami|audit)([/:].*)?", "audit"),
    (r"/v1/(sources|inbox|dead-letters)([/:].*)?", "relay"),
    (r"/v1/documents", "relay"),
    (r"/(livez|readyz)", "audit"),
)
START_SECONDS_MAX = 120.0


def service_of(path: str) -> str | None:
    """Return which service a path belongs to; None where there is none."""
    return next((service for pattern, service in ROUTES if re.fullmatch(pattern, path)), None)


class Edge:
    """Passes each request to the service of its path; keeps which service was asked what."""

    def __init__(self, services: Mapping[str, ASGIApp]) -> None:
        self.services = services
        self.passed: list[tuple[str, str, str]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        named = re.fullmatch(r"/services/([a-z]+)(/v1/documents:decide)", scope["path"])
        if named is not None:
            scope = {**scope, "path": named[2], "raw_path": named[2].encode()}
        service = service_of(scope["path"]) if named is None else named[1]
        if service is None or service not in self.services:
            await PlainTextResponse("no such route", 404)(scope, receive, send)
            return
        self.passed.append((service, scope["method"], scope["path"]))
        await self.services[service](scope, receive, send)


def name_of(build: Build) -> str:
    """Return the service that a build function makes."""
    return build.__module__.split(".")[1]


def separate(
    data_dir: Path, log_url: str, services: Sequence[Build] = SERVICES, *, api_url: str = "", token: str = ""
) -> dict[str, Embedded]:
    """Return each service in a composition of its own; all use the tokens of `data_dir`, the relay `token`."""
    with pytest.MonkeyPatch.context() as patch:
        if api_url:
            patch.setenv("RESEDGE_RELAY_API_URL", api_url)
            patch.setenv("RESEDGE_RELAY_TOKEN", token)
        return {name_of(build): Embedded(data_dir, [build], log_url=log_url, name=name_of(build)) for build in services}


class SeparateServices:
    """Running services behind an edge that listens on the loopback; `url` and an administrator's `token`."""

    def __init__(self, data_dir: Path, log_url: str) -> None:
        self._data_dir, self._log_url = data_dir, log_url
        self._listening = listen("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.token = ""
        self.edge = Edge({})
        self._started = threading.Event()
        self._failed: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="separate services")

    def start(self) -> None:
        """Start all services; return when they answer."""
        self._thread.start()
        assert self._started.wait(START_SECONDS_MAX), "the services did not start in time"
        if self._failed is not None:
            raise self._failed

    def stop(self) -> None:
        """Stop all services."""
        if self._loop is not None and self._end is not None:
            self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()
        self._listening.close()

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # the loop of `libs.runtime.serving`
                runner.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - it is raised again in the thread that asked for the start
            self._failed = error
        self._started.set()

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        self._data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Before the services start, as they only read the tokens.
        tokens = TokenStore(self._data_dir / "tokens.json")
        self.token = tokens.issue("admin", frozenset({"admin"}))
        relay = tokens.issue("relay", frozenset({"relay"}))
        services = separate(self._data_dir, self._log_url, api_url=self.url, token=relay)
        async with AsyncExitStack() as stack:
            apps = {name: await stack.enter_async_context(each.running()) for name, each in services.items()}
            self.edge = Edge(apps)
            config = uvicorn.Config(self.edge, lifespan="off", log_config=None, access_log=False)
            server = uvicorn.Server(config)
            serving = asyncio.create_task(server.serve([self._listening]))
            await eventually(lambda: server.started)
            self._started.set()
            await self._end.wait()
            for each in services.values():
                each.drain()
            server.should_exit = True
            with contextlib.suppress(asyncio.CancelledError):
                await serving


@contextmanager
def separate_services(data_dir: Path, log_url: str) -> Iterator[SeparateServices]:
    """Run every service on its own behind an edge until the block ends."""
    running = SeparateServices(data_dir, log_url)
    with _quiet():
        running.start()
        try:
            yield running
        finally:
            running.stop()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the services' log lines off the streams, which are those of the command that is tried in this process."""
    before = structlog.get_config()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    try:
        yield
    finally:
        structlog.configure(**before)
