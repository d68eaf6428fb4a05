"""The command starts fast because it loads only what it needs, and behaves as a process should."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cli.app import VERBS
from cli.reference import reference
from libs.version import VERSION
from tests.cli.cli_server import Answer, FakeServer, clean_environment

if TYPE_CHECKING:
    from tests.cli.conftest import Resedge

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("pydantic", "numpy", "sqlalchemy", "rich", "fastapi", "lark", "msgspec", "structlog", "uvicorn")


def ended(command: list[str], home: Path) -> subprocess.CompletedProcess[str]:
    environment = clean_environment(str(home))
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def process(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = (
        "import sys; from cli.__main__ import main; status = main(); sys.stdout.flush();"
        "print('MODULES', *sys.modules, file=sys.stderr); sys.exit(status)"
    )
    return ended([sys.executable, "-c", code, *arguments], home)


def loaded(ran: subprocess.CompletedProcess[str]) -> set[str]:
    return {name.partition(".")[0] for name in ran.stderr.rpartition("MODULES")[2].split()}


def test_the_version_loads_nothing(tmp_path: Path) -> None:
    ran = process(tmp_path, "--version")

    assert ran.stdout == f"resedge {VERSION}\n"
    assert not loaded(ran) & {*HEAVY, "typer", "httpx2", "yaml"}


def test_a_read_loads_no_heavy_library(tmp_path: Path, server: FakeServer) -> None:
    server.on("GET", "/v1/stores", Answer(200, {"items": [], "next": None}))
    ran = process(tmp_path, "get", "stores", "--server", server.url)

    assert ran.returncode == 0
    assert not loaded(ran) & set(HEAVY)


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path, server: FakeServer) -> None:
    items = [{"metadata": {"name": f"s-{i}"}, "spec": {}} for i in range(20_000)]
    server.on("GET", "/v1/stores", Answer(200, {"items": items, "next": None}))
    command = f"{sys.executable} -m cli get stores --server {server.url} -o name | head -1"
    shell = ["bash", "-o", "pipefail", "-c", command]
    ran = ended(shell, tmp_path)

    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "store/s-0\n", "")


def test_every_verb_has_help_without_boxes(resedge: Resedge) -> None:
    for verb in VERBS:
        ran = resedge(verb, "--help")
        assert (ran.code, ran.err) == (0, "")
        assert ran.out.startswith(f"Usage: resedge {verb}")
        assert "─" not in ran.out
    assert all(verb in resedge("--help").out for verb in VERBS)


def test_the_reference_page_is_current() -> None:
    assert (ROOT / "docs/reference/cli.md").read_text() == reference(), (
        "run python -m cli.reference > docs/reference/cli.md"
    )


def test_a_person_is_told_once_a_command_of_a_server_of_another_version(resedge: Resedge, server: FakeServer) -> None:
    told = {"Resedge-Version": "99.0.0"}
    server.on("GET", "/v1/stores", Answer(200, {"items": [{"metadata": {"name": "tx-1"}}], "next": "1"}, told))
    server.on("GET", "/v1/clusters", Answer(200, {"items": []}, {"Resedge-Version": VERSION}))
    server.on("GET", "/v1/groups", Answer(200, {"items": []}, {"Resedge-Clock": "virtual", **told}))
    ran = resedge("get", "stores", "--limit", "3", "-o", "name")
    notice = f"the server is version 99.0.0, this command is {VERSION}: use the command of the server's version"

    assert ran.out == "store/tx-1\n" * 3
    assert ran.err == f"notice: {notice}\n"
    assert resedge("get", "clusters", "-o", "name").err == ""
    assert resedge("get", "groups", "-o", "name").err.splitlines() == [
        "notice: the server's clock is virtual",
        f"notice: {notice}",
    ]
