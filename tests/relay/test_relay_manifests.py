"""Manifests by reference: fetched within bounds, from under the source's prefix only, taken only by their digest."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from libs.contracts import SourceDeclared
from libs.contracts.inbox import ManifestsReference
from libs.contracts.problems import Problem
from services.relay.inbox_manifests import MANIFESTS_BYTES_MAX, fetched, outside_client
from tests.relay.conftest import SOURCE, Outside, event

GOOD = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: menu}\n"
DIGEST = hashlib.sha256(GOOD).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    disable_nagle_algorithm = True  # an answer's body does not wait for what says that its head came
    asked: ClassVar[list[str]]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        match self.path:
            case "/r/good.yaml":
                self._answer(200, GOOD)
            case "/r/inside":
                self._answer(302, b"", "/r/good.yaml")
            case "/r/outside":
                self._answer(302, b"", "/secret")
            case "/r/elsewhere":
                self._answer(302, b"", "https://elsewhere.example.com/r/")
            case "/r/loop":
                self._answer(302, b"", "/r/loop")
            case "/r/large":
                self._answer(200, b"#" * (MANIFESTS_BYTES_MAX + 1))
            case "/r/binary":
                self._answer(200, b"\xff\xfe")
            case _:
                self._answer(404, b"")

    def _answer(self, status: int, body: bytes, location: str = "") -> None:
        self.send_response(status)
        if location:
            self.send_header("Location", location)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            return  # who reads within bounds hangs up

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def host() -> Iterator[tuple[str, list[str]]]:
    asked: list[str] = []
    handler = type("Handler", (_Handler,), {"asked": asked})
    listener = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    listener.daemon_threads = True
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.server_port}", asked
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()


def registered(prefix: str) -> SourceDeclared:
    return SourceDeclared("registry", SOURCE, "registry", [], manifests=prefix)


@pytest.mark.parametrize("path", ["good.yaml", "inside"])
async def test_what_the_digest_names_is_taken(path: str) -> None:
    with host() as (address, _):
        reference = ManifestsReference(f"{address}/r/{path}", DIGEST)
        assert await fetched(registered(f"{address}/r/"), reference, outside_client) == GOOD.decode()


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("outside", "is not under"),
        ("elsewhere", "is not under"),
        ("loop", "redirects more than"),
        ("large", "has more than"),
        ("missing", "answers 404"),
        ("../secret", "is not under"),
        ("%2e%2e/secret", "is not under"),
        ("..%2fsecret", "is not under"),
    ],
)
async def test_what_cannot_be_had_is_said_and_nothing_outside_is_asked(path: str, said: str) -> None:
    with host() as (address, asked):
        with pytest.raises(Problem, match="manifests-not-fetched") as refusal:
            await fetched(
                registered(f"{address}/r/"), ManifestsReference(f"{address}/r/{path}", DIGEST), outside_client
            )
        assert said in refusal.value.detail
        assert all(each.startswith("/r/") and "secret" not in each for each in asked)


async def test_other_bytes_than_the_event_names_are_refused() -> None:
    with host() as (address, _):
        source = registered(f"{address}/r/")
        for sha256, path in (
            ("0" * 64, "good.yaml"),
            ("x", "good.yaml"),
            (hashlib.sha256(b"\xff\xfe").hexdigest(), "binary"),
        ):
            with pytest.raises(Problem):
                await fetched(source, ManifestsReference(f"{address}/r/{path}", sha256), outside_client)


async def test_a_source_without_a_prefix_fetches_nothing_and_a_dead_host_is_said() -> None:
    with host() as (address, asked):
        with pytest.raises(Problem):
            await fetched(registered(""), ManifestsReference(f"{address}/r/good.yaml", DIGEST), outside_client)
        assert asked == []
    with pytest.raises(Problem, match="manifests-not-fetched"):
        await fetched(registered(f"{address}/r/"), ManifestsReference(f"{address}/r/good.yaml", DIGEST), outside_client)


async def test_a_release_by_reference_is_published_once_its_host_is_there(outside: Outside) -> None:
    await outside.register()
    await outside.send(event("StoreOpened", {"name": "tx-austin-0042", "timezone": "UTC"}))
    await outside.server.declare({"kind": "Namespace", "metadata": {"name": "m"}, "spec": {"expression": "/c/*"}})
    await outside.server.declare({"kind": "Application", "metadata": {"name": "menu"}, "spec": {"namespace": "m"}})
    with host() as (address, _):
        await outside.register(manifests=f"{address}/r/")
        reference = {"url": f"{address}/r/nothing", "sha256": DIGEST}
        said = event("ReleasePublished", {"application": "menu", "version": "1", "reference": reference})
        assert (await outside.send(said)).json()["code"] == "manifests-not-fetched"

        reference["url"] = f"{address}/r/good.yaml"
        said = event("ReleasePublished", {"application": "menu", "version": "1", "reference": reference})
        assert (await outside.send(said)).json()["outcome"] == "accepted"

    await outside.server.settled()
    manifests = await outside.admin.get("/v1/applications/menu/releases/1/manifests")
    assert manifests.content == GOOD
