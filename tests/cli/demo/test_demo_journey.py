"""The demo's journey asks the server for the right things in the right order, and ends what it started."""

import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cli.client import Content, ServerAnswer
from cli.config import write_context
from cli.demo import run_demo
from cli.demo.catalog import APPLICATIONS, NEXT_RELEASE, demo_documents
from cli.demo.fleet import make_fleet
from cli.demo.hierarchies import LIVE, PILOT
from cli.demo.journey import Journey, Step
from cli.demo.server import connection_to, free_port, running
from cli.errors import CliError, ServerProblem, UsageProblem

STORES = 300


class RecordingServer:
    """Answers as a server does: every change is an event, and every settling one commit of `files` files."""

    def __init__(self, *, refuses: str = "", timeouts: int = 0, behind: int = 0) -> None:
        self.changes: list[tuple[str, str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self._refuses = refuses
        self._timeouts = timeouts
        self._behind = behind

    def change(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        params: Mapping[str, Any] | None = None,
        content: Content | None = None,
        content_type: str = "application/json",
        read_seconds: float = 1.0,
    ) -> ServerAnswer:
        assert params is None
        assert read_seconds > 60
        if self._behind and path == "/v1/documents":
            self._behind -= 1
            raise ServerProblem(
                504, {"code": "position-timeout", "title": "the service has not seen that position yet"}
            )
        if self._refuses and self._refuses in path:
            raise ServerProblem(409, {"code": "unknown-reference", "title": "no such group", "detail": "/geo/uss"})
        if content is not None:
            assert content_type == "text/csv"
            rows = b"".join(content()).splitlines()
            body = len(rows) - 1
        self.changes.append((method, path, body))
        self._append("dev.resedge.catalog.Changed.v1", {})
        return ServerAnswer(200, {"created": body} if content else {}, "", len(self.events))

    def get(
        self,
        path: str,
        params: Mapping[str, Any] | None = None,
        *,
        read_seconds: float = 60.0,
        fresh: bool = True,
    ) -> ServerAnswer:
        asked = params or {}
        if path == "/v1/rendering:settled":
            assert int(asked["position"]) <= len(self.events)
            assert read_seconds > float(asked["timeout_seconds"])
            assert not fresh
            if self._timeouts:
                self._timeouts -= 1
                raise ServerProblem(504, {"code": "timeout", "title": "not settled yet"})
            self._append(
                "dev.resedge.rendering.AdmissionWritten.v1", {"commit": f"{len(self.events):040x}", "files": 7}
            )
            return ServerAnswer(200, {"position": len(self.events)}, "", len(self.events))
        assert path == "/v1/events"
        after = int(asked["after"])
        return ServerAnswer(200, {"items": self.events[after : after + int(asked["limit"])]}, "", 0)

    def _append(self, kind: str, data: dict[str, Any]) -> None:
        self.events.append({"position": len(self.events) + 1, "type": kind, "data": data})


def journey(server: RecordingServer, seen: list[Step] | None = None) -> Journey:
    return Journey(server, STORES, lambda _: None, (seen if seen is not None else []).append)


def test_the_journey_goes_from_stores_to_one_relabelled_store() -> None:
    server = RecordingServer()
    seen: list[Step] = []

    journey(server, seen).run()

    paths = [path for _, path, _ in server.changes]
    releases = [path for path in paths if "/releases/" in path]
    assert server.changes[0] == ("POST", "/v1/stores:import", STORES)
    assert len(releases) == len(APPLICATIONS) + 1
    assert paths.index(releases[0]) > max(i for i, p in enumerate(paths[: len(paths) // 2]) if p == "/v1/documents")
    assert server.changes[-1][1:] == (
        "/v1/stores:label",
        {"where": f"/c/{last_store()}", "set": server.changes[-1][2]["set"], "remove": []},
    )
    assert [step.commit != "" for step in seen] == [False, True, True, False, True, True, False, True, True]
    assert all(step.files == (7 if step.commit else 0) for step in seen)


def last_store() -> str:
    return journey(RecordingServer()).favourite.name


def test_documents_are_sent_as_one_change_and_the_fleet_opens_with_one_group() -> None:
    server = RecordingServer()

    journey(server).run()

    bodies = [body["documents"] for _, path, body in server.changes if path == "/v1/documents"]
    assert [len(each) for each in bodies] == [len(demo_documents(make_fleet(STORES))), 1]
    assert bodies[-1] == [
        {
            "apiVersion": "resedge.dev/v1",
            "kind": "Group",
            "metadata": {"path": LIVE},
            "spec": {"expression": "/c/*"},
        }
    ]


def test_the_new_release_is_chosen_on_the_pilot_stores_only() -> None:
    server = RecordingServer()

    journey(server).run()

    chosen = [body for _, path, body in server.changes if path.endswith("/release-choices:set")]
    assert [body["expression"] for body in chosen] == [None] * len(APPLICATIONS) + [f"/g{PILOT}"]
    assert chosen[-1]["version"] == NEXT_RELEASE.version


def test_waiting_goes_on_while_the_server_is_still_rendering() -> None:
    server = RecordingServer(timeouts=3)

    journey(server).run()

    assert server.changes[-1][1] == "/v1/stores:label"


def test_a_service_that_is_still_reading_the_import_is_asked_again() -> None:
    server = RecordingServer(behind=2)

    journey(server).run()

    assert server.changes[-1][1] == "/v1/stores:label"


def test_a_refused_step_ends_the_journey_with_the_problem() -> None:
    server = RecordingServer(refuses="/v1/documents")
    seen: list[Step] = []

    with pytest.raises(ServerProblem, match="no such group"):
        journey(server, seen).run()

    assert [path for _, path, _ in server.changes] == ["/v1/stores:import"]
    assert len(seen) == 2


def test_a_directory_with_a_fleet_in_it_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "log.db").write_bytes(b"")

    assert run_demo(10, serve=False, data_dir=tmp_path, port=0) == 1
    assert "is not empty" in capsys.readouterr().err


def test_a_port_that_is_taken_is_refused_before_anything_starts() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(UsageProblem, match="is taken"):
            free_port(other.getsockname()[1])

    assert free_port(0) > 0


def test_the_token_is_taken_from_the_context_of_that_very_server(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    write_context("other", "http://127.0.0.1:1", "not this", path=config)
    write_context("local", "http://127.0.0.1:2", "this", path=config)

    assert connection_to(2, config).token == "this"
    with pytest.raises(CliError, match="wrote no context"):
        connection_to(3, config)


ANSWERS_READY = """
import http.server, sys
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/readyz" else 404)
        self.end_headers()
print("listening", flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Ready).serve_forever()
"""


def test_a_server_runs_for_as_long_as_the_block_and_no_longer(tmp_path: Path) -> None:
    port = free_port(0)
    log = tmp_path / "server.log"

    with running([sys.executable, "-c", ANSWERS_READY, str(port)], port, log) as process:
        assert process.poll() is None
        assert log.read_text(encoding="utf-8").startswith("listening")

    assert process.returncode == -signal.SIGTERM


def test_a_server_that_does_not_start_is_reported_with_its_last_words(tmp_path: Path) -> None:
    says = [sys.executable, "-c", "import sys; sys.exit('the log is locked by another process')"]

    with (
        pytest.raises(CliError, match="the server ended with 1") as caught,
        running(says, free_port(0), tmp_path / "server.log"),
    ):
        pass

    assert caught.value.why == "the log is locked by another process"
