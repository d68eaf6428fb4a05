"""The demo on separate services: a system that runs already is used as it is, and left running."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.config import write_context
from cli.demo import run_demo
from cli.demo.distributed import system
from cli.errors import ExitCode, UsageProblem
from tests.support.edge import separate_services

STORES = 12


def test_a_running_system_is_driven_and_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("config", "state"):
        monkeypatch.setenv(f"XDG_{name.upper()}_HOME", str(tmp_path / name))
    with separate_services(tmp_path / "data", f"sqlite:///{tmp_path / 'log.db'}") as services:
        write_context("dev", services.url, services.token)

        assert run_demo(STORES, serve=False, data_dir=tmp_path / "home", port=8080, distributed=True) == ExitCode.OK
        printed = capsys.readouterr().out
        assert "it runs already" in printed
        assert f"git clone {tmp_path / 'data' / 'gitops.git'}" in printed
        assert "ends now" not in printed

        assert (
            run_demo(STORES, serve=False, data_dir=tmp_path / "again", port=8080, distributed=True) == ExitCode.FAILED
        )
        assert f"has {STORES} stores already" in capsys.readouterr().err


def test_without_a_clone_there_is_no_system_to_bring_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr("cli.demo.distributed.PROJECT_ROOT", tmp_path)
    with pytest.raises(UsageProblem, match="compose-local"), system(tmp_path, 8080):
        pass
