"""Every command of the how-to does what the page says, on a server that runs and on its data directory."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.cli_machine import Machine
from tests.cli.test_cli_journey import FLEET, MANIFEST, STORES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "audit-and-replay.md").read_text("utf-8")
COMMANDS = re.findall(r"^\$ (.+)$", PAGE, re.MULTILINE)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    made = Machine(tmp_path_factory.mktemp("audited"))
    (made.home / "stores.csv").write_text(STORES)
    (made.home / "pos").mkdir()
    (made.home / "pos" / "pos.yaml").write_text(MANIFEST)
    with made.up():
        made.ok("import", "stores", str(made.home / "stores.csv"))
        made.ok("apply", "-f", "-", stdin=FLEET)
        made.ok("publish", "pos-api", "1.0.0", str(made.home / "pos"))
        made.ok("set-release", "pos-api", "1.0.0")
        made.ok("wait", "--for=rendered")
        yield made


def test_the_commands_of_the_page_work_in_their_order(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(COMMANDS) > 12
    monkeypatch.chdir(machine.home)
    for command in COMMANDS:
        program, *words = shlex.split(command)
        if program == ".venv/bin/resedge":
            assert machine.resedge(*words).code == 0, command
        else:
            done = subprocess.run([ROOT / program, *words], capture_output=True, text=True, check=False)
            assert (done.returncode, done.stdout[:3]) == (0, "ok:"), f"{command}: {done.stderr}"


def test_the_trail_tells_of_the_import_by_store_and_of_the_release_by_application(machine: Machine) -> None:
    assert "declared store tx-007" in machine.ok("audit", "--subject", "store/tx-007", "--type", "StoreDeclared")
    told = machine.ok("audit", "--subject", "application/pos-api", "--oldest")
    assert [line.split()[3] for line in told.splitlines()[1:]][:2] == ["declared", "published"] or "published" in told
    assert "decided an admission of 40 clusters" in told
