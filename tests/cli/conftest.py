from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cli.__main__ import main
from tests.cli.cli_server import FakeServer, Ran, clean_environment, serving

Resedge = Callable[..., Ran]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory of its own, and nothing of the caller's settings."""
    folder = tmp_path / "home"
    folder.mkdir()
    for key in set(os.environ) - set(clean_environment("")):
        monkeypatch.delenv(key)
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with serving() as running:
        yield running


@pytest.fixture
def resedge(
    server: FakeServer, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Resedge:
    """Run the command against the server, in this process, without a terminal."""
    assert home.is_dir()
    monkeypatch.setenv("RESEDGE_SERVER", server.url)
    monkeypatch.setenv("RESEDGE_TOKEN", "s3cret-token")

    def run(*arguments: str) -> Ran:
        capsys.readouterr()
        code = main(arguments)
        out, err = capsys.readouterr()
        return Ran(code, out, err)

    return run
