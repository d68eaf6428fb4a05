"""The edge router, run by a real nginx: every route of every service reaches its own service."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import pytest

from scripts.edge import ANSWERED_BY, OF_EACH_SERVICE, TEMPLATE, Operation, filled_template, operations, written
from tests.support.children import child
from tests.support.ports import free_ports
from tests.support.waiting import until

SERVICES = ("audit", "catalog", "grouping", "inventory", "policy", "relay", "rendering")
PROBLEM = {"type": "about:blank", "status": 503, "code": "contended"}
SAMPLES = {"path": "geo/us/central", "name": "geo/us/central"}
"""Parameters of a group's route take slashes; every other parameter is one segment."""


class Answer(NamedTuple):
    status: int
    type: str | None
    headers: dict[str, str]
    body: bytes


class Stand(BaseHTTPRequestHandler):
    """Stands for a service: says who it is and what it was asked."""

    disable_nagle_algorithm = True  # an answer's body does not wait for what says that its head came
    protocol_version = "HTTP/1.1"
    service = ""
    large = threading.Semaphore(0)

    def answer(self) -> None:
        if self.path == "/v1/stores/busy":
            self._send(503, json.dumps(PROBLEM).encode(), "application/problem+json", {"Retry-After": "7"})
        elif self.path == "/v1/events?follow=true":
            self._follow()
        else:
            size = len(self.rfile.read(int(self.headers.get("Content-Length", "0"))))
            asked = {"service": self.service, "method": self.command, "path": self.path, "size": size}
            asked |= {"request_id": self.headers.get("X-Request-Id"), "actor": self.headers.get("Authorization")}
            self._send(200, json.dumps(asked).encode(), "application/json", {})

    def _follow(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"b\r\ndata: one\n\n\r\n")
        self.wfile.flush()
        self.large.acquire(timeout=10)  # the rest comes when the client has read the first
        self.wfile.write(b"b\r\ndata: two\n\n\r\n0\r\n\r\n")

    def _send(self, status: int, body: bytes, kind: str, more: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **more}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer  # noqa: N815 - the library's names

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Edge:
    def __init__(self, port: int, stands: dict[str, ThreadingHTTPServer]) -> None:
        self.port = port
        self.stands = stands

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return Answer(answer.status, answer.getheader("Content-Type"), dict(answer.getheaders()), answer.read())
        finally:
            connection.close()

    def service(self, method: str, path: str) -> str:
        answer = self.ask(method, path)
        assert answer.status == 200, (method, path, answer)
        return str(json.loads(answer.body)["service"]) if method != "HEAD" else ""


def _stand(service: str) -> ThreadingHTTPServer:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type(service, (Stand,), {"service": service}))
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    return server


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    assert nginx, "nginx was not found: run scripts/setup --test"
    directory = tmp_path_factory.mktemp("edge")
    stands = {service: _stand(service) for service in SERVICES}
    port = free_ports(1)[0]
    values = {f"{name.upper()}_UPSTREAM": f"127.0.0.1:{stand.server_port}" for name, stand in stands.items()}
    values |= {"EDGE_RUN_DIR": str(directory), "EDGE_LISTEN": f"127.0.0.1:{port}", "EDGE_RESOLVER": "127.0.0.1"}
    (directory / "nginx.conf").write_text(filled_template(TEMPLATE.read_text("utf-8"), values))
    command = [nginx, "-e", "stderr", "-c", str(directory / "nginx.conf"), "-g", "daemon off; user root;"]
    with child(command, stderr=subprocess.PIPE) as running:
        try:
            _wait_until_listening(port, running)
            yield Edge(port, stands)
        finally:
            for stand in stands.values():
                stand.shutdown()
                stand.server_close()


def _wait_until_listening(port: int, running: subprocess.Popen[bytes]) -> None:
    def listens_or_ended() -> bool:
        with socket.socket() as probe:
            return running.poll() is not None or probe.connect_ex(("127.0.0.1", port)) == 0

    until(listens_or_ended)
    if running.poll() is not None:
        raise AssertionError(running.communicate(timeout=10)[1].decode())


def test_the_template_has_the_current_routes() -> None:
    template = TEMPLATE.read_text("utf-8")

    assert written(template) == template, "run python -m scripts.edge"


ROUTED = operations()


def test_there_is_something_to_route() -> None:
    assert {each.service for each in ROUTED} >= set(SERVICES) - {"relay"}
    assert len(ROUTED) > 40


@pytest.mark.parametrize("operation", ROUTED, ids=lambda each: f"{each.service}-{each.method}-{each.path}")
def test_every_route_reaches_its_own_service(edge: Edge, operation: Operation) -> None:
    def value(found: re.Match[str]) -> str:
        if operation.path.startswith("/v1/groups"):
            return SAMPLES[found[1]]
        return f"{operation.service}.documents" if operation.path.startswith("/v1/projections/") else "a-name.1"

    path = re.sub(r"\{([^}]+)\}", value, operation.path)

    wanted = ANSWERED_BY.get(operation.path, operation.service)
    assert edge.service(operation.method, path) == wanted
    assert edge.service(operation.method, f"{path}?limit=1&where=a%20%3D%20b") == wanted


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("page", OF_EACH_SERVICE)
def test_what_each_service_has_for_itself_is_under_its_name(edge: Edge, service: str, page: str) -> None:
    answer = edge.ask("GET", f"/services/{service}/{page}?verbose")

    assert json.loads(answer.body)["service"] == service
    assert json.loads(answer.body)["path"] == f"/{page}?verbose"


def test_documents_of_all_kinds_go_to_the_relay_and_come_to_each_service_by_its_name(edge: Edge) -> None:
    assert edge.service("POST", "/v1/documents?dry_run=true") == "relay"
    assert edge.service("POST", "/services/catalog/v1/documents:decide") == "catalog"
    assert edge.ask("POST", "/v1/documents:decide", b"{}").status == 404


def test_what_a_client_said_arrives_as_it_was(edge: Edge) -> None:
    path = "/v1/groups/geo%2Fus//x/..%2Fy:members?where=size%20in%20(large,xl)&a=%2F"
    asked = json.loads(edge.ask("GET", path, Authorization="Bearer secret", X_Request_Id="mine-1").body)

    assert asked["path"] == path
    assert asked["actor"] == "Bearer secret"
    assert asked["request_id"] == "mine-1"
    assert json.loads(edge.ask("GET", "/v1/stores").body)["request_id"], "one is made where there is none"


def test_a_refusal_of_a_service_passes_as_it_is(edge: Edge) -> None:
    answer = edge.ask("GET", "/v1/stores/busy")

    assert (answer.status, answer.type) == (503, "application/problem+json")
    assert json.loads(answer.body) == PROBLEM
    assert answer.headers["Retry-After"] == "7"


def test_a_service_that_is_away_is_worth_trying_again(edge: Edge) -> None:
    stand = edge.stands["relay"]
    stand.shutdown()
    stand.server_close()

    answer = edge.ask("GET", "/services/relay/readyz")

    assert (answer.status, answer.type) == (503, "application/problem+json")
    assert json.loads(answer.body)["code"] == "unavailable"
    assert "relay" in json.loads(answer.body)["detail"]
    assert answer.headers["Retry-After"] == "1"
    again = _stand("relay")
    again.shutdown()
    again.server_close()


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/storess", "/v2/stores", "/metrics", "/services/other/readyz"])
def test_what_nobody_has_is_a_problem_too(edge: Edge, path: str) -> None:
    answer = edge.ask("GET", path)

    assert (answer.status, answer.type) == (404, "application/problem+json")


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"\x16\x03\x01\x02\r\n\r\n", 400, "invalid-http"),
        (b"GET /v1/stores HTTP/1.1\r\n\r\n", 400, "invalid-http"),
        (b"GET /v1/stores HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "invalid-http"),
        (b"PUT /v1/stores/a HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 400, "invalid-http"),
        (b"PUT /v1/stores/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501, "invalid-http"),
        (b"GET /v1/stores HTTP/3.7\r\nHost: a\r\n\r\n", 501, "invalid-http"),
        (b"TRACE /v1/stores HTTP/1.1\r\nHost: a\r\n\r\n", 501, "invalid-http"),
        (b"GET /v1/stores HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 70_000 + b"\r\n\r\n", 431, "headers-too-large"),
        (b"GET /v1/stores?" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, "headers-too-large"),
    ],
)
def test_what_is_no_http_is_a_problem(edge: Edge, sent: bytes, status: int, code: str) -> None:
    with socket.create_connection(("127.0.0.1", edge.port), timeout=10) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as answer:
            head, _, body = answer.read().partition(b"\r\n\r\n")
    assert int(head.split()[1]) == status, head
    assert b"\r\nContent-Type: application/problem+json" in head
    assert (json.loads(body)["code"], json.loads(body)["status"]) == (code, status)


def test_a_release_of_64_mib_passes_and_more_is_refused(edge: Edge) -> None:
    answer = edge.ask("PUT", "/v1/applications/a/releases/1", bytes(64 << 20))
    assert json.loads(answer.body)["size"] == 64 << 20

    refused = edge.ask("PUT", "/v1/applications/a/releases/1", None, Content_Length=str(71 << 20))
    assert (refused.status, refused.type) == (413, "application/problem+json")


def test_events_pass_as_they_come(edge: Edge) -> None:
    connection = HTTPConnection("127.0.0.1", edge.port, timeout=20)
    connection.request("GET", "/v1/events?follow=true")
    answer = connection.getresponse()

    assert answer.read(11) == b"data: one\n\n"
    Stand.large.release()
    assert answer.read() == b"data: two\n\n"
    connection.close()


def test_the_router_itself_answers_without_any_service(edge: Edge) -> None:
    assert edge.ask("GET", "/livez").status == edge.ask("GET", "/readyz").status == 200


def test_a_value_that_is_missing_is_named() -> None:
    with pytest.raises(ValueError, match="needs EDGE_RUN_DIR"):
        filled_template(TEMPLATE.read_text("utf-8"), {})
