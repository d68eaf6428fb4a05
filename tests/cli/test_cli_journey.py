"""The whole command against the real server: declared, published, rendered, explained, verified, exported, imported."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.cli_machine import ROOT, Machine
from tests.support.children import child

FLEET = """
kind: Application
metadata: {name: pos-api}
spec: {namespace: pos}
---
kind: Namespace
metadata: {name: pos}
spec: {expression: /g/geo/us, owners: [team-pos]}
---
kind: Configuration
metadata: {name: pos-texas}
spec: {applications: [pos-api], expression: /g/geo/us/tx, values: {logLevel: debug}}
---
kind: Group
metadata: {path: /geo/us/tx}
spec: {expression: state = tx}
"""
STORES = "name,timezone,state,size\n" + "".join(
    f"tx-{i:03},America/Chicago,tx,{'large' if i % 2 else 'small'}\n" for i in range(40)
)
MANIFEST = """
apiVersion: v1
kind: ConfigMap
metadata: {name: pos}
data: {store: "${edge.store.name}", level: "${edge.config.logLevel}"}
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A server with a rendered fleet of 40 stores."""
    machine = Machine(tmp_path_factory.mktemp("shop"))
    (machine.home / "stores.csv").write_text(STORES)
    (machine.home / "pos").mkdir()
    (machine.home / "pos" / "pos.yaml").write_text(MANIFEST)
    with machine.up():
        assert machine.ok("import", "stores", str(machine.home / "stores.csv")).startswith("stores: 40 created")
        declared = machine.ok("apply", "-f", "-", stdin=FLEET).splitlines()
        assert declared == [
            "group/geo/us/tx created",
            "namespace/pos created",
            "application/pos-api created",
            "configuration/pos-texas created",
        ]
        assert machine.ok("publish", "pos-api", "1.0.0", str(machine.home / "pos")) == "release/pos-api/1.0.0 created\n"
        machine.ok("set-release", "pos-api", "1.0.0")
        assert machine.ok("wait", "--for=rendered").startswith("rendered at position ")
        yield machine


def test_what_was_declared_is_admitted_and_explained(shop: Machine) -> None:
    assert len(shop.ok("get", "clusters", "-l", "size = large", "-o", "name").split()) == 20
    page = shop.ok("why", "tx-001", "pos-api")
    assert "admitted  1.0.0" in page
    assert "closed" not in page
    assert "selected" in shop.resedge("explain", "tx-001", "size = large and /g/geo").err
    assert "pos-texas" in shop.ok("get", "configuration", "--cluster", "tx-001", "--application", "pos-api")
    assert json.loads(shop.ok("get", "refusals", "-o", "json")) == {"items": []}


def test_the_same_again_changes_nothing(shop: Machine) -> None:
    assert {line.split()[1] for line in shop.ok("apply", "-f", "-", stdin=FLEET).splitlines()} == {"unchanged"}
    assert shop.ok("diff", "-f", "-", stdin=FLEET) == ""
    changed = shop.resedge("diff", "-f", "-", stdin=FLEET.replace("debug", "info"))
    assert changed.code == 1
    assert "-    logLevel: debug\n+    logLevel: info\n" in changed.out


def test_a_commands_own_write_is_read_at_once(shop: Machine) -> None:
    for size in ("xl", "xxl"):
        assert shop.ok("label", "stores", "-l", "/c/tx-003", f"size={size}") == "1 stores changed\n"
        assert shop.ok("get", "clusters", "-l", f"size = {size}", "-o", "name") == "cluster/tx-003\n"


@pytest.mark.parametrize(
    ("arguments", "stdin", "code"),
    [
        (["apply", "-f", "-"], "kind: Group\nmetadata: {path: /geo/x}\nspec: {expression: /g/geo/uss}\n", 3),
        (["apply", "-f", "-"], "kind: Group\nmetadata: {path: /geo/x}\nspec: {expresion: none}\n", 2),
        (["apply", "-f", "-"], "kind: Store\nmetadata: {name: ../../x}\nspec: {timezone: UTC}\n", 2),
        (["import", "stores", "-"], "name,timezone\nok-1,UTC\nbad-1,Mars\n", 2),
        (["get", "stores", "-l", "size ="], "", 2),
        (["get", "store", "tx-999"], "", 5),
        (["delete", "group", "/geo/us/tx", "--yes"], "", 3),
        (["get", "stores", "--token", "wrong"], "", 4),
        (["set-release", "pos-api", "9.9.9"], "", 3),
        (["confirm", "no-such-plan"], "", 3),
    ],
)
def test_what_is_refused_has_its_code_and_changes_nothing(
    shop: Machine, arguments: list[str], stdin: str, code: int
) -> None:
    before = shop.ok("log", "--tail", "1", "-o", "name")
    ran = shop.resedge(*arguments, stdin=stdin)

    assert (ran.code, ran.out) == (code, ""), ran.err
    assert ran.err.startswith("error: ")
    assert shop.ok("log", "--tail", "1", "-o", "name") == before


def test_verify_finds_all_as_written(shop: Machine) -> None:
    assert "no" not in shop.ok("verify", "--all").split()


def test_a_followed_log_shows_what_happens_and_ends_with_130(shop: Machine) -> None:
    command = [sys.executable, "-m", "cli", "log", "--follow", "-o", "jsonl"]
    with child(command, cwd=ROOT, env=shop.environment, stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        following.stdout.readline()
        shop.ok("label", "stores", "-l", "/c/tx-005", "followed=yes")
        seen = iter(following.stdout.readline, "")
        assert any('"stream":"store-tx-005"' in line and "followed" in line for line in seen)
        following.send_signal(signal.SIGINT)
        assert following.wait(timeout=60) == 130


def test_an_export_makes_the_same_fleet_elsewhere(shop: Machine, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    shop.ok("export", "--with-releases", "--dir", str(folder))
    other = Machine(tmp_path / "other")
    other.home.mkdir()
    with other.up():
        declared = other.ok("import", "fleet", str(folder))
        assert declared.splitlines()[-2:] == ["release/pos-api/1.0.0 created", "release-choices/pos-api created"]
        other.ok("wait", "--for=rendered")

        assert other.ok("export") == shop.ok("export")
        for kind in ("releases", "release-choices"):
            assert other.ok("get", kind, "pos-api", "-o", "name") == shop.ok("get", kind, "pos-api", "-o", "name")
        assert "admitted  1.0.0" in other.ok("why", "tx-001", "pos-api")
    checks = json.loads(other.ok("verify", "--data-dir", str(other.home / "data"), "-o", "json"))
    assert checks["ok"] is True
