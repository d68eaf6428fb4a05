"""2,000 half-open connections do not take a server away: everything in one process, and a service alone."""

from __future__ import annotations

import os
import re
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import httpx2
import pytest

from libs.runtime.connections import open_files_max
from libs.web.auth import TokenStore
from tests.support.children import child
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]
CONNECTIONS = 2_000
FILES_MAX = 700
"""Far fewer than there are connections, for the server; a file limit that it cannot raise."""


def few_files() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES_MAX, FILES_MAX))


@pytest.fixture(params=["embedded", "inventory"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, int]]:
    """Run a server whose port is chosen by the system; return it with an administrator's token."""
    (tmp_path / "data").mkdir(mode=0o700)
    token = TokenStore(tmp_path / "data" / "tokens.json").issue("tester", frozenset({"admin"}))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RESEDGE_")}
    environment |= {"XDG_CONFIG_HOME": str(tmp_path / "config"), "XDG_STATE_HOME": str(tmp_path / "state")}
    environment |= {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    if request.param == "embedded":
        arguments = ["cli", "up", "--port", str(port), "--data-dir", "data"]
    else:
        arguments = ["services.inventory"]
        environment |= {"RESEDGE_INVENTORY_PORT": str(port), "RESEDGE_DATA_DIR": "data"}
    command = [sys.executable, "-m", *arguments]
    with (
        (tmp_path / "said").open("wb") as said,
        child(command, cwd=tmp_path, env=environment, stdout=said, stderr=said, preexec_fn=few_files) as process,
    ):
        _wait_until_ready(port, process, tmp_path / "said")
        yield token, port
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert not re.search(rb"Traceback|Too many open files", (tmp_path / "said").read_bytes())


def _wait_until_ready(port: int, process: subprocess.Popen[bytes], said: Path) -> None:
    def listens() -> bool:
        assert process.poll() is None, said.read_text()
        with closing(socket.socket()) as probe, httpx2.Client(trust_env=False) as client:
            probe.settimeout(0.1)
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return False
            client.get(f"http://127.0.0.1:{port}/livez")
            return True

    until(listens)


def test_half_open_connections_keep_nobody_out(address: tuple[str, int]) -> None:
    token, port = address
    assert open_files_max() > CONNECTIONS + 200, "this process may not open as many connections"
    url, headers = f"http://127.0.0.1:{port}", {"Authorization": f"Bearer {token}"}
    with ExitStack() as stack:
        for number in range(CONNECTIONS):
            half_open = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            half_open.sendall([b"", b"GET /v1/stores HTTP/1.1\r\nHost: a\r\nX-", b"G"][number % 3])
            if number % 100 == 0:
                # A connection of its own each time: as somebody who comes while this goes on.
                answer = httpx2.get(f"{url}/v1/stores", headers=headers, timeout=20, trust_env=False)
                assert answer.status_code == 200
        with httpx2.Client(base_url=url, headers=headers, timeout=20, trust_env=False) as client:
            for number in range(20):
                document = {"kind": "Store", "metadata": {"name": f"s-{number}"}, "spec": {"timezone": "UTC"}}
                assert client.put(f"/v1/stores/s-{number}", json=document).status_code == 201
            figures = client.get("/metrics").text
        counted = re.search(r"^resedge_http_connections (\S+)$", figures, re.MULTILINE)
        assert counted
        assert float(counted[1]) < FILES_MAX / 2
        assert 'resedge_http_connections_ended_total{why="gave way"}' in figures
