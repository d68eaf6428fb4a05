"""`scripts/compose-local up` on a system that already exists: its ports stay, and so does what runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.compose_local import main
from scripts.compose_local_places import Places
from scripts.compose_local_processes import Process

PORT_BASE = 24_500
FILE = """
services:
  sleeper:
    build: .
    command: [sleep, "60"]
    healthcheck: {{test: [CMD, "{health}"], interval: 100ms, retries: 1, start_period: 100ms, start_interval: 100ms}}
"""


class Local:
    """A system of one service, whose health its file says."""

    def __init__(self, home: Path) -> None:
        self.home, self.file = home, home / "compose.yml"
        self.places = Places(home)
        self.sleeper = Process(self.places.directory, "sleeper")

    def up(self, *words: str, health: str = "true") -> int:
        self.file.write_text(FILE.format(health=health))
        return main(["up", "--dir", str(self.home), "--file", str(self.file), *words])


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Local]:
    found = Local(tmp_path)
    assert found.up("--port-base", str(PORT_BASE)) == 0
    yield found
    main(["down", "--dir", str(found.home), "--file", str(found.file)])


def test_the_ports_of_the_first_time_stay(local: Local, capsys: pytest.CaptureFixture[str]) -> None:
    assert local.up() == 0

    assert f"up on http://127.0.0.1:{PORT_BASE} " in capsys.readouterr().err
    assert local.places.remembered().port_base == PORT_BASE


def test_other_ports_are_refused_while_it_runs(local: Local, capsys: pytest.CaptureFixture[str]) -> None:
    assert local.up("--port-base", "24600") == 2

    assert "it runs on other ports" in capsys.readouterr().err
    assert local.places.remembered().port_base == PORT_BASE
    assert local.sleeper.runs


def test_what_ran_before_goes_on_when_nothing_could_be_started(local: Local) -> None:
    started = local.sleeper.started
    assert started is not None

    assert local.up(health="false") != 0

    assert local.sleeper.runs
    os.kill(started.pid, 0)
