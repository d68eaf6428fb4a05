"""The distributed system for tests: every service a process of its own, on a real Kafka and a real PostgreSQL.

with System(broker, server, tmp_path) as system:
    system.start("inventory")                      # also ("inventory", replica="b", crash="eventlog.before-commit:2")
    answer = system.http("PUT", "/v1/stores/tx-1", json=document)      # to whichever replica of its service answers
    system.kill("inventory"); system.pause("relay"); system.restart("rendering")
    system.check()                                 # what every drill ends with

A drill ends with `check()`: every acknowledged command is in the log exactly once, positions are gapless and chained,
every projection equals its fold, the tree equals the rendering.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Self

import httpx2

from libs.eventlog import EventLog
from libs.runtime.clock import utc_now
from libs.web.auth import TokenStore
from tests.support.children import end
from tests.support.kafka import Broker
from tests.support.ports import free_ports
from tests.support.postgres import Cluster
from tests.support.starting import Forked, start
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]
SERVICES = ("inventory", "grouping", "catalog", "policy", "rendering", "audit", "relay")
# Bounds of what comes about by itself, on a machine that may be busy with much else; nothing promises these times.
READY_SECONDS_MAX = CHANGE_SECONDS_MAX = SETTLE_SECONDS_MAX = 180.0
STOP_SECONDS_MAX = 20.0  # promised: SIGTERM drains within 15 s


class NoReplica(RuntimeError):  # noqa: N818 - it states the fact
    """No replica of a service runs."""


@cache
def _routes() -> list[tuple[str, re.Pattern[str], str]]:
    """Return (method, path, service) of every route that one service alone has."""
    found: list[tuple[str, re.Pattern[str], str]] = []
    for service in SERVICES:
        description = json.loads((ROOT / "schemas/openapi" / f"{service}.json").read_text())
        for path, methods in description["paths"].items():
            pattern = re.compile(re.sub(r"\\\{[^/]+?\\\}", "[^/]+", re.escape(path)).replace("[^/]+$", ".+"))
            found += [(method.upper(), pattern, service) for method in methods if path.startswith("/v1/")]
    return found


def service_of(method: str, path: str) -> str:
    """Return the service that serves a path, by the committed OpenAPI descriptions.

    Raises:
        LookupError: none does.
    """
    plain = path.partition("?")[0]
    greedy = re.sub(r"^(/v1/groups/).+$", r"\1x", plain)
    for candidate, pattern, service in _routes():
        if candidate == method and (pattern.fullmatch(plain) or pattern.fullmatch(greedy)):
            return service
    raise LookupError(f"no service serves {method} {path}")


@dataclass
class Process:
    """One replica of a service."""

    service: str
    replica: str
    port: int
    directory: Path
    environment: dict[str, str]
    popen: Forked | None = None

    @property
    def running(self) -> bool:
        return self.popen is not None and self.popen.poll() is None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def said(self, characters: int = 4_000) -> str:
        """Return the end of what it logged."""
        path = self.directory / "log"
        return path.read_text("utf-8", "replace")[-characters:] if path.exists() else ""

    def wait_dead(self, seconds: float = STOP_SECONDS_MAX) -> int:
        """Return the exit code of a process that is to die by itself (a crash point), -9 for SIGKILL."""
        assert self.popen is not None
        return self.popen.wait(seconds)


@dataclass
class Acknowledged:
    """A change that the system answered with success."""

    key: str
    method: str
    path: str
    position: int
    body: Any = field(repr=False)


class System:
    """All services on one log, one topic prefix, one set of tokens, in one directory."""

    def __init__(
        self, broker: Broker, postgres: Cluster, directory: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.broker, self.postgres, self.directory = broker, postgres, directory
        self.log_url = postgres.new_database()
        self.views: dict[str, str] = {}
        self.prefix = f"t{secrets.token_hex(4)}."
        self.processes: dict[tuple[str, str], Process] = {}
        self.acknowledged: list[Acknowledged] = []
        self._environment = dict(environment or {})
        directory.mkdir(parents=True, exist_ok=True)
        tokens = TokenStore(directory / "tokens.json")
        self.token = tokens.issue("admin", frozenset({"admin"}))
        self.relay_token = tokens.issue("relay", frozenset({"relay"}))
        self._http = httpx2.Client(headers={"Authorization": f"Bearer {self.token}"}, timeout=30.0, trust_env=False)
        self._turn = 0
        broker.topics(self.prefix)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        for process in self.processes.values():
            if process.running:
                assert process.popen is not None
                end(process.popen)
        self._http.close()

    # --- processes -----------------------------------------------------------------------------------------------

    def start(
        self, *services: str, replica: str = "a", crash: str = "", ready: bool = True, **environment: str
    ) -> None:
        """Start replicas of services (all of them if none is named) and wait until they are ready.

        `crash` is a crash point (`name` or `name:N`) at which the process dies of SIGKILL.
        """
        names = services or SERVICES
        for name in names:
            process = self.processes.get((name, replica)) or self._process(name, replica)
            assert not process.running, f"{name} {replica} runs already"
            extra = {**environment, **({"RESEDGE_CRASH_AT": crash} if crash else {})}
            self._spawn(process, extra)
        if ready:
            for name in names:
                self.wait_ready(name, replica)

    def _process(self, service: str, replica: str) -> Process:
        directory = self.directory / f"{service}-{replica}"
        directory.mkdir(parents=True, exist_ok=True)
        if service not in self.views:
            self.views[service] = self.new_views()
        port = free_ports(1)[0]
        environment = {
            "RESEDGE_LOG_URL": self.log_url,
            "RESEDGE_VIEWS_URL": self.views[service],
            "RESEDGE_KAFKA_SERVERS": self.broker.servers,
            "RESEDGE_KAFKA_PREFIX": self.prefix,
            "RESEDGE_KAFKA_CREATE_TOPICS": "true",
            "RESEDGE_TOKENS_PATH": str(self.directory / "tokens.json"),
            "RESEDGE_DATA_DIR": str(directory),
            "RESEDGE_INSTANCE": f"{service}-{replica}",
            "RESEDGE_PORT": str(port),
            "RESEDGE_RENDERING_REPOSITORY": str(self.directory / "gitops.git"),
            "RESEDGE_RENDERING_LEASE_SECONDS": "3",
            "RESEDGE_RELAY_LEASE_SECONDS": "3",
            "RESEDGE_RELAY_TOKEN": self.relay_token,
            **self._environment,
        }
        process = Process(service, replica, port, directory, environment)
        self.processes[service, replica] = process
        return process

    def new_views(self) -> str:
        """Return the URL of an empty schema for the views of a service."""
        return self.postgres.new_database().replace("+pg8000", "+asyncpg").replace("sslmode=disable", "ssl=disable")

    def _spawn(self, process: Process, extra: Mapping[str, str]) -> None:
        environment = {**os.environ, **process.environment, **extra}
        log = process.directory / "log"
        process.popen = start(f"services.{process.service}", environment=environment, out=log, replica=process.replica)

    def wait_ready(self, service: str, replica: str = "a", seconds: float = READY_SECONDS_MAX) -> None:
        """Return when a replica says that it is ready."""
        process = self.processes[service, replica]
        deadline = time.monotonic() + seconds
        answer = ""
        while time.monotonic() < deadline:
            if not process.running:
                raise AssertionError(f"{service} {replica} ended: {process.said()}")
            try:
                response = self._http.get(f"{process.url}/readyz?verbose", timeout=5.0)
                answer = response.text
                if response.status_code == 200:
                    return
            except httpx2.TransportError:
                pass  # not listening yet
            time.sleep(0.05)  # nothing tells of it; what it said last is told
        raise AssertionError(f"{service} {replica} is not ready after {seconds} s: {answer}\n{process.said()}")

    def signal(self, service: str, number: signal.Signals, replica: str = "a") -> None:
        popen = self.processes[service, replica].popen
        assert popen is not None
        popen.send_signal(number)

    def kill(self, service: str, replica: str = "a") -> None:
        """SIGKILL."""
        self.signal(service, signal.SIGKILL, replica)
        self.processes[service, replica].wait_dead()

    def stop(self, service: str, replica: str = "a") -> None:
        """SIGTERM, and exit code 0 within the time that CONVENTIONS promise."""
        self.signal(service, signal.SIGTERM, replica)
        code = self.processes[service, replica].wait_dead()
        assert code == 0, f"{service} {replica} ended with {code}: {self.processes[service, replica].said()}"

    def pause(self, service: str, replica: str = "a") -> None:
        """SIGSTOP: it hangs, and does not know; return when it does."""
        self.signal(service, signal.SIGSTOP, replica)
        popen = self.processes[service, replica].popen
        assert popen is not None
        stat = Path(f"/proc/{popen.pid}/stat")
        until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", what="it is stopped")

    def resume(self, service: str, replica: str = "a") -> None:
        """SIGCONT."""
        self.signal(service, signal.SIGCONT, replica)

    def restart(self, service: str, replica: str = "a", crash: str = "") -> None:
        """Start again what has ended."""
        self.start(service, replica=replica, crash=crash)

    # --- requests ------------------------------------------------------------------------------------------------

    def replicas(self, service: str) -> list[Process]:
        known = list(self.processes.values())  # clients ask while a drill adds one
        return [process for process in known if process.service == service and process.running]

    def http(self, method: str, path: str, *, service: str = "", replica: str = "", **options: Any) -> httpx2.Response:
        """Send one request to a replica of the service that serves the path, in turns."""
        name = service or service_of(method, path)
        found = [each for each in self.replicas(name) if replica in ("", each.replica)]
        if not found:
            raise NoReplica(name)
        self._turn += 1
        return self._http.request(method, found[self._turn % len(found)].url + path, **options)

    def change(self, method: str, path: str, *, key: str = "", **options: Any) -> httpx2.Response:
        """Send a change with an idempotency key until it is answered, as a careful client does.

        A broken connection and a 503 are tried again with the same key; what succeeds is acknowledged.
        """
        key = key or secrets.token_hex(8)
        headers = {**options.pop("headers", {}), "Idempotency-Key": key}
        response = self._answered(method, path, headers=headers, **options)
        if response.is_success and response.status_code != 204:
            position = int(response.headers["Resedge-Position"])
            self.acknowledged.append(Acknowledged(key, method, path, position, options.get("json")))
        return response

    def _answered(self, method: str, path: str, **options: Any) -> httpx2.Response:
        deadline = time.monotonic() + CHANGE_SECONDS_MAX
        said = ""
        while time.monotonic() < deadline:
            try:
                response = self.http(method, path, **options)
            except (httpx2.TransportError, NoReplica) as error:
                said = repr(error)
            else:
                if response.status_code not in (503, 504):
                    return response
                said = response.text
            time.sleep(0.05)  # as a client that is told to come again
        raise AssertionError(f"{method} {path} was not answered in {CHANGE_SECONDS_MAX} s: {said}")

    def metrics(self, service: str, replica: str = "a") -> dict[str, float]:
        """Return the figures of a replica by `name{labels}`."""
        text = self.http("GET", "/metrics", service=service, replica=replica).text
        lines = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in lines}

    # --- what is true in the end ---------------------------------------------------------------------------------

    def log(self) -> EventLog:
        """Return the log, to be closed by the caller."""
        return EventLog.open(self.log_url, clock=utc_now, create=False)

    def connected(self, *services: str) -> None:
        """Wait until the services live on Kafka: what they read before that they read from the log, as they start."""
        until(
            lambda: all(self.metrics(service).get("resedge_kafka_connected") for service in services),
            what=f"{', '.join(services)} are connected",
        )

    def settle(self, seconds: float = SETTLE_SECONDS_MAX) -> int:
        """Wait until every running replica has seen the log's head and rendering has closed every difference."""
        deadline = time.monotonic() + seconds
        while True:
            log = self.log()
            try:
                head = log.head().position
            finally:
                log.close()
            behind = {
                (process.service, process.replica): answer
                for process in self.processes.values()
                if process.running and (answer := self._behind(process, head))
            }
            if not behind:
                return head
            assert time.monotonic() < deadline, f"not settled at {head} after {seconds} s: {behind}"
            time.sleep(0.1)  # nothing tells of it; who is behind is told

    def _behind(self, process: Process, head: int) -> str:
        figures = self.metrics(process.service, process.replica)
        positions = {name: at for name, at in figures.items() if name.startswith("resedge_consumer_position")}
        late = {name: at for name, at in positions.items() if at < head}
        if late:
            return f"{late}"
        if process.service == "rendering":
            answer = self._http.get(
                f"{process.url}/v1/rendering:settled", params={"position": head, "timeout_seconds": 5}, timeout=20
            )
            if answer.status_code != 200:
                return answer.text
        return ""

    def check(self) -> None:
        """Settle, and hold the whole system against its log (see the module's rule)."""
        self.settle()
        log = self.log()
        try:
            found = log.verify()
            assert found.ok, found
            keys = _keys(log)
            for acknowledged in self.acknowledged:
                positions = keys.get(f"admin:{acknowledged.key}", [])
                assert positions, f"acknowledged and lost: {acknowledged}"
                assert positions[-1] == acknowledged.position, f"doubled or moved: {acknowledged} at {positions}"
                assert positions == list(range(positions[0], positions[-1] + 1)), f"doubled: {acknowledged} {positions}"
            asyncio.run(self._check_views(log))
        finally:
            log.close()
        for process in self.replicas("rendering"):
            answer = self._http.post(f"{process.url}/v1/rendering:verify", params={"all": "true"}, timeout=120)
            assert answer.status_code == 200, answer.text
            assert answer.json()["ok"], answer.text
            break

    async def _check_views(self, log: EventLog) -> None:
        from tests.support.views import problems_of_views  # noqa: PLC0415 - imports every service

        found = await problems_of_views(log, self.views)
        assert not found, found


def _keys(log: EventLog) -> dict[str, list[int]]:
    """Return the positions of the events of each submission by its idempotency key."""
    found: dict[str, list[int]] = {}
    after = 0
    while page := log.read(after):
        for event in page:
            if event.key is not None:
                found.setdefault(event.key, []).append(event.position)
        after = page[-1].position
    return found
