"""A real HTTP server with canned answers, and the command run against it."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass
class Asked:
    """One request that the server saw."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Answer:
    """What the server answers; `drop` closes the connection instead."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    drop: bool = False


Rule = Callable[[Asked], Answer]


class FakeServer:
    """Answers by (method, path pattern); the newest rule that fits wins. Everything asked is kept."""

    def __init__(self, address: str) -> None:
        self.url = address
        self.asked: list[Asked] = []
        self._rules: list[tuple[str, re.Pattern[str], list[Rule]]] = []

    def on(self, method: str, pattern: str, *answers: Answer | Rule) -> None:
        """Answer so, one after the other; the last answer stays."""
        rules = [self._constant(a) if isinstance(a, Answer) else a for a in answers]
        self._rules.insert(0, (method, re.compile(pattern), rules))

    def _constant(self, answer: Answer) -> Rule:
        return lambda _asked: answer

    def answer(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        for method, pattern, rules in self._rules:
            if method == asked.method and pattern.fullmatch(asked.path):
                return (rules.pop(0) if len(rules) > 1 else rules[0])(asked)
        return problem(404, "not-found", "Not found.", detail=f"there is no {asked.path}")

    def asked_for(self, method: str) -> list[Asked]:
        return [asked for asked in self.asked if asked.method == method]


def problem(status: int, code: str, title: str, **members: Any) -> Answer:
    body = {"type": f"/docs/reference/problems.md#{code}", "code": code, "title": title, "request_id": "r-1", **members}
    return Answer(status, body, content_type="application/problem+json")


def changed(result: str, position: int = 0) -> Answer:
    headers = {"Resedge-Position": str(position)} if position else {}
    if result == "unchanged":
        return Answer(204, None, headers)
    body = {"result": result, "version": 1, "position": position, "warnings": []}
    return Answer(201 if result == "created" else 200, body, headers)


def _handler(server: FakeServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        disable_nagle_algorithm = True  # an answer's body does not wait for what says that its head came
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            url = urlsplit(self.path)
            query = {key: values[-1] for key, values in parse_qs(url.query, keep_blank_values=True).items()}
            headers = {key.lower(): value for key, value in self.headers.items()}
            answer = server.answer(Asked(self.command, unquote(url.path), query, headers, self._read()))
            if answer.drop:
                self.close_connection = True
                return
            text = isinstance(answer.body, str)
            content = answer.body.encode() if text else b"" if answer.body is None else json.dumps(answer.body).encode()
            self.send_response(answer.status)
            for key, value in answer.headers.items():
                self.send_header(key, value)
            if answer.status != 204:
                self.send_header("Content-Type", answer.content_type)
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if answer.status != 204:
                self.wfile.write(content)

        def _read(self) -> bytes:
            if self.headers.get("transfer-encoding") == "chunked":
                parts = []
                while size := int(self.rfile.readline(), 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(parts)
            return self.rfile.read(int(self.headers.get("content-length", 0)))

        do_GET = do_PUT = do_POST = do_DELETE = _serve  # noqa: N815 - names that http.server calls

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's signature
            pass

    return Handler


@contextmanager
def serving() -> Iterator[FakeServer]:
    """Serve on a free port of the loopback until the block ends."""
    server = FakeServer("")
    listener = ThreadingHTTPServer(("127.0.0.1", 0), _handler(server))
    listener.daemon_threads = True
    server.url = f"http://127.0.0.1:{listener.server_port}"
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()


@dataclass(frozen=True)
class Ran:
    """How a run of the command ended."""

    code: int
    out: str
    err: str


def clean_environment(home: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("RESEDGE_", "XDG_", "NO_COLOR"))}
    return {**kept, "HOME": home}
