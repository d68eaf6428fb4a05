"""What a process sends to a collector, and what becomes of it without one."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from cli.config import load_config
from libs.runtime.telemetry import set_up_telemetry
from tests.support.children import child
from tests.support.collector import collecting

ROOT = Path(__file__).resolve().parents[2]
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
UNREACHABLE = "http://127.0.0.1:9"
STORE = {"kind": "Store", "metadata": {"name": "tx-1"}, "spec": {"timezone": "America/Chicago"}}


class Up:
    """A server of its own, `resedge up`."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, token: str, log: Path) -> None:
        self.process = process
        self.log = log
        self.http = httpx2.Client(
            base_url=url, headers={"Authorization": f"Bearer {token}", "traceparent": TRACEPARENT}, trust_env=False
        )

    def end(self) -> None:
        """End it, by a signal."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout=15) == 0


@contextmanager
def up(folder: Path, endpoint: str) -> Iterator[Up]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("RESEDGE_", "XDG_"))}
    environment |= {"HOME": str(folder), "RESEDGE_OTLP_ENDPOINT": endpoint, "RESEDGE_INSTANCE": "one"}
    command = [sys.executable, "-m", "cli", "up", "--data-dir", str(folder / "data"), "--port", "0"]
    log = folder / "up.log"
    with (
        log.open("wb") as file,
        child(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=file) as process,
    ):
        assert process.stdout is not None
        said = process.stdout.readline().decode()
        found = re.search(r"up at (\S+)", said)
        assert found is not None, log.read_text()
        config = load_config(folder / ".config/resedge/config.yaml")
        server = Up(process, found[1], config.named("local").token, log)
        with server.http:
            yield server


def test_the_spans_of_a_request_reach_the_collector_the_last_ones_when_the_process_ends(tmp_path: Path) -> None:
    with collecting() as collector, up(tmp_path, collector.endpoint) as server:
        assert server.http.put("/v1/stores/tx-1", json=STORE).status_code == 201
        names = ("PUT /v1/stores/{name:path}", "log append", "fleet process", "rendering decide", "rendering commit")
        spans = collector.wait_for(TRACE, *names)
        server.http.get("/v1/whoami")
        server.end()
        collector.wait_for(TRACE, "GET /v1/whoami", seconds=0)

    request = spans["PUT /v1/stores/{name:path}"]
    assert (request.service, request.instance, request.parent) == ("resedge-embedded", "one", "00f067aa0ba902b7")
    assert spans["log append"].parent == request.id
    assert spans["fleet process"].parent == request.id
    assert spans["rendering decide"].parent == request.id
    assert spans["rendering commit"].parent == spans["rendering decide"].id


def test_a_collector_that_is_not_there_is_told_once_and_holds_up_nothing(tmp_path: Path) -> None:
    with up(tmp_path, UNREACHABLE) as server:
        for number in range(20):
            server.http.get("/v1/whoami")
            time.sleep(0.1 if number % 2 else 0.3)  # batches of spans are sent, and fail, in between
        server.end()
    lines = [line for line in server.log.read_text().splitlines() if "/v1/whoami" not in line]
    assert len([line for line in lines if "traces cannot be sent" in line]) == 1
    assert not [line for line in lines if "UNAVAILABLE" in line or "Traceback" in line]


@pytest.mark.parametrize("endpoint", ["collector:4317", "grpc://collector:4317", "http://", "/var/run/otel"])
def test_an_endpoint_that_is_none_is_refused_at_start(endpoint: str) -> None:
    with pytest.raises(ValueError, match="RESEDGE_OTLP_ENDPOINT must be http"):
        set_up_telemetry("test", endpoint=endpoint)
