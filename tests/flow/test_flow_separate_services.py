"""The first journey, with every service on its own: the command says and does what it does on the embedded server."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from cli.__main__ import main
from cli.client import Client
from cli.config import Connection
from cli.demo.journey import Journey, Step
from cli.positions import KeptPositions
from tests.cli.cli_server import Ran, clean_environment
from tests.support.edge import SeparateServices, separate_services

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
---
kind: Store
metadata: {name: tx-new, labels: {state: tx, drivethru: "yes"}}
spec: {timezone: America/Chicago}
"""
NAMES = [
    "store/tx-new",
    "group/geo/us/tx",
    "namespace/pos",
    "application/pos-api",
    "configuration/pos-texas",
]
STORES = "name,timezone,state,size\n" + "".join(
    f"tx-{i:03},America/Chicago,tx,{'large' if i % 2 else 'small'}\n" for i in range(20)
)
MANIFEST = """
apiVersion: v1
kind: ConfigMap
metadata: {name: pos}
data: {store: "${edge.store.name}", level: "${edge.config.logLevel}"}
"""


class Shop:
    """The command at the edge, with a home of its own."""

    def __init__(self, home: Path, services: SeparateServices) -> None:
        self.home = home
        self.services = services

    def run(self, *arguments: str, stdin: str = "") -> Ran:
        """Run the command in this process."""
        out, err = io.StringIO(), io.StringIO()
        environment = clean_environment(str(self.home))
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            for key in set(os.environ) - set(environment):
                patch.delenv(key)
            patch.setenv("HOME", str(self.home))
            patch.setenv("RESEDGE_SERVER", self.services.url)
            patch.setenv("RESEDGE_TOKEN", self.services.token)
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
            code = main(arguments)
        return Ran(code, out.getvalue(), err.getvalue())

    def ok(self, *arguments: str, stdin: str = "") -> str:
        """Run the command, which must succeed."""
        ran = self.run(*arguments, stdin=stdin)
        assert ran.code == 0, ran.err
        return ran.out

    def head(self) -> Any:
        """Return the log's last position, once rendering has nothing to add to it."""
        self.ok("wait", "--for=rendered")
        return json.loads(self.ok("log", "--tail", "1", "-o", "jsonl"))["position"]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Separate services that have gone the first journey up to a rendered fleet."""
    folder = tmp_path_factory.mktemp("separate")
    (folder / "stores.csv").write_text(STORES)
    (folder / "pos").mkdir()
    (folder / "pos" / "pos.yaml").write_text(MANIFEST)
    with separate_services(folder / "data", f"sqlite:///{folder / 'log.db'}") as services:
        shop = Shop(folder, services)
        imported = shop.ok("import", "stores", str(folder / "stores.csv"))
        assert imported.startswith("stores: 20 created"), imported
        before = shop.head()
        tried = shop.ok("apply", "-f", "-", "--dry-run", stdin=FLEET).splitlines()
        assert tried == [f"{name} created (dry run)" for name in NAMES]
        assert shop.head() == before
        assert shop.ok("apply", "-f", "-", stdin=FLEET).splitlines() == [f"{name} created" for name in NAMES]
        assert shop.ok("publish", "pos-api", "1.0.0", str(folder / "pos")) == "release/pos-api/1.0.0 created\n"
        shop.ok("set-release", "pos-api", "1.0.0")
        assert shop.ok("wait", "--for=rendered").startswith("rendered at position ")
        yield shop


def test_every_service_had_its_part(shop: Shop) -> None:
    asked = {service for service, _, _ in shop.services.edge.passed}

    assert asked == {"inventory", "grouping", "catalog", "rendering", "audit", "relay"}
    decided = {service for service, _, path in shop.services.edge.passed if path == "/v1/documents:decide"}
    assert decided == {"inventory", "grouping", "catalog"}


def test_what_was_declared_is_admitted_and_explained(shop: Shop) -> None:
    assert len(shop.ok("get", "clusters", "-l", "size = large", "-o", "name").split()) == 10
    page = shop.ok("why", "tx-001", "pos-api")
    assert "admitted  1.0.0" in page
    assert "closed" not in page
    assert "selected" in shop.run("explain", "tx-001", "size = large and /g/geo").err
    assert "pos-texas" in shop.ok("get", "configuration", "--cluster", "tx-001", "--application", "pos-api")
    assert json.loads(shop.ok("get", "refusals", "-o", "json")) == {"items": []}


def test_the_same_again_changes_nothing(shop: Shop) -> None:
    assert {line.split()[1] for line in shop.ok("apply", "-f", "-", stdin=FLEET).splitlines()} == {"unchanged"}
    assert shop.ok("diff", "-f", "-", stdin=FLEET) == ""
    changed = shop.run("diff", "-f", "-", stdin=FLEET.replace("debug", "info"))
    assert changed.code == 1
    assert "-    logLevel: debug\n+    logLevel: info\n" in changed.out


def test_another_services_write_is_read_at_once(shop: Shop) -> None:
    """The catalog selects by a label, rendering explains by it, right after inventory has taken it."""
    for size in ("xl", "xxl"):
        assert shop.ok("label", "stores", "-l", "/c/tx-003", f"size={size}") == "1 stores changed\n"
        assert shop.ok("get", "clusters", "-l", f"size = {size}", "-o", "name") == "cluster/tx-003\n"
        spec = f"{{expression: size = {size}, allow_empty: true}}"
        group = f"kind: Group\nmetadata: {{path: /sizes/{size}}}\nspec: {spec}\n"
        assert shop.ok("apply", "-f", "-", stdin=group) == f"group/sizes/{size} created\n"
        assert "open" in shop.ok("why", "tx-003", "pos-api")


def test_the_second_document_of_a_refused_chain_is_named_and_nothing_is_declared(shop: Shop) -> None:
    before = shop.head()
    documents = """
kind: Group
metadata: {path: /new/one}
spec: {expression: state = tx}
---
kind: Namespace
metadata: {name: other}
spec: {expression: /g/new/one and /g/geo/uss}
"""
    ran = shop.run("apply", "-f", "-", stdin=documents)

    assert (ran.code, ran.out) == (3, "")
    assert "<stdin>, document 2 (Namespace other)" in ran.err
    assert shop.head() == before


def test_two_stores_of_one_file_cannot_both_take_a_cluster(shop: Shop) -> None:
    documents = "".join(
        f"---\nkind: Store\nmetadata: {{name: twin-{i}}}\n"
        f"spec: {{timezone: America/Chicago, clusters: [{{name: shared}}]}}\n"
        for i in (1, 2)
    )
    ran = shop.run("apply", "-f", "-", stdin=documents)

    assert (ran.code, ran.out) == (3, "")
    assert "document 2 (Store twin-2)" in ran.err
    assert "cluster-name-taken" in ran.err


@pytest.mark.parametrize(
    ("arguments", "stdin", "code"),
    [
        (["apply", "-f", "-"], "kind: Group\nmetadata: {path: /geo/x}\nspec: {expresion: none}\n", 2),
        (["apply", "-f", "-"], "kind: Store\nmetadata: {name: ../../x}\nspec: {timezone: UTC}\n", 2),
        (["apply", "-f", "-"], "kind: Application\nmetadata: {name: a/b}\nspec: {namespace: pos}\n", 2),
        (["import", "stores", "-"], "name,timezone\nok-1,UTC\nbad-1,Mars\n", 2),
        (["get", "store", "tx-999"], "", 5),
        (["delete", "group", "/geo/us/tx", "--yes"], "", 3),
        (["set-release", "pos-api", "9.9.9"], "", 3),
        (["confirm", "no-such-plan"], "", 3),
    ],
)
def test_what_is_refused_has_its_code_and_changes_nothing(
    shop: Shop, arguments: list[str], stdin: str, code: int
) -> None:
    before = shop.head()
    ran = shop.run(*arguments, stdin=stdin)

    assert (ran.code, ran.out) == (code, ""), ran.err
    assert ran.err.startswith("error: ")
    assert shop.head() == before


def test_verify_finds_all_as_written(shop: Shop) -> None:
    assert "no" not in shop.ok("verify", "--all").split()


def test_an_export_makes_the_same_fleet_elsewhere(shop: Shop, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    shop.ok("export", "--with-releases", "--dir", str(folder))
    with separate_services(tmp_path / "data", f"sqlite:///{tmp_path / 'log.db'}") as services:
        other = Shop(tmp_path, services)
        declared = other.ok("import", "fleet", str(folder))
        assert declared.splitlines()[-2:] == ["release/pos-api/1.0.0 created", "release-choices/pos-api created"]
        other.ok("wait", "--for=rendered")

        assert other.ok("export") == shop.ok("export")
        assert "admitted  1.0.0" in other.ok("why", "tx-001", "pos-api")


def test_the_demo_goes_its_whole_way(tmp_path: Path) -> None:
    steps: list[Step] = []
    with separate_services(tmp_path / "data", f"sqlite:///{tmp_path / 'log.db'}") as services:
        connection = Connection(services.url, services.token, "dev")
        client = Client(connection, KeptPositions(tmp_path / "positions.json", connection))
        try:
            Journey(client, 12, lambda _name: None, steps.append).run()
        finally:
            client.close()

    assert len(steps) == 9
    assert all(step.commit for step in steps if step.name.startswith(("choose", "open", "relabel")))
