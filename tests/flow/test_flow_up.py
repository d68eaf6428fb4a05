"""`resedge up` as a process: address and token on the first start, one process a directory, a clean end."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import httpx2
import pytest

from tests.support.children import child

ROOT = Path(__file__).parents[2]


class Process:
    """A running `resedge up`."""

    def __init__(self, home: Path, children: ExitStack, *arguments: str) -> None:
        self.home = home
        environment = {
            **os.environ,
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / "config"),
            "XDG_STATE_HOME": str(home / "state"),
            "PYTHONPATH": str(ROOT),
        }
        command = [sys.executable, "-m", "cli", "up", "--port", "0", *arguments]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process: subprocess.Popen[str] = children.enter_context(
            child(command, cwd=home, env=environment, text=True, **pipes)
        )

    def address(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("resedge is up at http://127.0.0.1:"), line
        return line.split()[4]

    def token(self) -> str:
        text = (self.home / "config" / "resedge" / "config.yaml").read_text()
        return next(line.split()[-1] for line in text.splitlines() if "token:" in line)

    def end(self, how: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        self.process.send_signal(how)
        _, said = self.process.communicate(timeout=15)
        return self.process.returncode, said


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Start `resedge up` in one home; what still runs when the test ends is killed."""
    with ExitStack() as children:
        yield partial(Process, tmp_path, children)


def ask(address: str, path: str, token: str) -> dict[str, object]:
    answer: dict[str, object] = httpx2.get(f"{address}{path}", headers={"Authorization": f"Bearer {token}"}).json()
    return answer


def test_it_starts_serves_refuses_a_second_and_ends(start: Callable[..., Process], tmp_path: Path) -> None:
    up = start("--data-dir", "data")
    address = up.address()
    token = up.token()
    assert ask(address, "/v1/stores", token) == {"items": [], "next": None}
    assert (tmp_path / "config" / "resedge" / "config.yaml").stat().st_mode & 0o777 == 0o600

    second = start("--data-dir", "data")
    _, why = second.process.communicate(timeout=20)
    assert second.process.returncode == 1
    assert f"in use by process {up.process.pid}" in why

    port = address.rpartition(":")[2]
    third = start("--data-dir", "other", "--port", port)
    _, why = third.process.communicate(timeout=20)
    assert (third.process.returncode, f"port {port} is in use" in why) == (1, True)

    follower = socket.create_connection(("127.0.0.1", int(port)), timeout=10)
    request = f"GET /v1/events?follow=true HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n"
    follower.sendall(request.encode())
    assert b"200 OK" in follower.recv(4096)

    code, said = up.end()
    follower.close()
    assert code == 0, said
    assert token not in said

    again = start("--data-dir", "data")
    assert ask(again.address(), "/v1/stores", token) == {"items": [], "next": None}
    assert again.token() == token
    assert again.end(signal.SIGINT)[0] == 0
