"""The command's kinds come from the server's registry; help, tables and completion follow from it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cli.cells import FORMS
from libs.kinds import KINDS, kind_as_json, version_of
from tests.cli.cli_server import Answer, FakeServer, clean_environment
from tests.cli.conftest import Resedge

ROOT = Path(__file__).parents[2]
RING: Mapping[str, Any] = {
    "singular": "ring",
    "plural": "rings",
    "service": "catalog",
    "right": "Ring",
    "document": "Ring",
    "aliases": ["rg"],
    "deletable": True,
    "columns": [{"heading": "NAME", "path": "metadata.name"}, {"heading": "SIZE", "path": "spec.size", "form": "new"}],
    "what_a_newer_server_says": 1,
}
ITEM = {"kind": "Ring", "metadata": {"name": "beta"}, "spec": {"size": 7}}
PUBLISHED = {"version": "newer", "items": [*(kind_as_json(kind) for kind in KINDS), RING]}


def words(text: str) -> set[str]:
    whole = re.sub(r"-\n +", "-", text)  # help breaks lines after a hyphen
    return {word.strip("`:,.()").lower() for word in whole.split()}


@pytest.fixture
def newer(server: FakeServer) -> FakeServer:
    """A server that has a kind which this version of the command has not."""
    headers = {"Resedge-Kinds": "newer"}
    server.on("GET", "/v1/kinds", Answer(200, PUBLISHED, headers))
    server.on("GET", "/v1/(stores|rings)", Answer(200, {"items": [ITEM], "next": None}, headers))
    server.on("GET", "/v1/rings/beta", Answer(200, ITEM, headers))
    return server


def asked_kinds(server: FakeServer) -> int:
    return sum(asked.path == "/v1/kinds" for asked in server.asked)


def test_get_and_delete_name_every_kind_that_they_take(resedge: Resedge, server: FakeServer) -> None:
    get, delete = words(resedge("get", "--help").out), words(resedge("delete", "--help").out)

    for kind in KINDS:
        assert kind.plural in get
        assert (kind.plural in delete) == kind.deletable
    assert server.asked == []


def test_every_option_that_narrows_a_kind_names_it(resedge: Resedge) -> None:
    """`--where` is most kinds'; what the others are for is said where they are listed."""
    text = resedge("get", "--help").out
    options = {
        name: words(text.partition(f"  --{name}")[2].partition("  -")[0]) for kind in KINDS for name in kind.filters
    }

    for kind in KINDS:
        assert all(kind.plural in options[name] for name in kind.filters if name != "where")


def test_every_form_of_a_column_is_one_that_the_command_writes() -> None:
    used = {column.form for kind in KINDS for column in kind.columns} - {""}

    assert used == FORMS.keys()


def test_an_unknown_word_is_looked_up_on_the_server_once_and_kept(resedge: Resedge, newer: FakeServer) -> None:
    assert resedge("get", "rings", "-o", "wide").out.split() == ["NAME", "SIZE", "beta", "7"]
    assert asked_kinds(newer) == 1
    assert resedge("get", "rg", "beta", "-o", "name").out == "ring/beta\n"
    assert asked_kinds(newer) == 1

    assert "rings" in words(resedge("get", "--help").out)
    assert "rings" in words(resedge("delete", "--help").out)
    assert asked_kinds(newer) == 1


def test_another_version_of_the_kinds_is_kept_for_the_next_run(resedge: Resedge, newer: FakeServer) -> None:
    resedge("get", "stores")
    resedge("get", "stores")
    resedge("get", "rings")

    assert asked_kinds(newer) == 1


def test_the_kinds_of_this_version_are_not_asked_for(resedge: Resedge, server: FakeServer) -> None:
    headers = {"Resedge-Kinds": version_of(KINDS)}
    server.on("GET", "/v1/stores", Answer(200, {"items": [], "next": None}, headers))
    resedge("get", "stores")

    assert [asked.path for asked in server.asked] == ["/v1/stores"]


def test_documents_of_a_kind_that_the_server_has_are_applied(
    resedge: Resedge, newer: FakeServer, tmp_path: Path
) -> None:
    newer.on("POST", "/v1/documents", Answer(200, {"results": [{"result": "created"}], "order": [0]}))
    (tmp_path / "ring.json").write_text(json.dumps(ITEM))

    assert resedge("apply", "-f", str(tmp_path / "ring.json")).out == "ring/beta created\n"


def test_an_export_holds_the_kinds_that_only_the_server_knows(resedge: Resedge, newer: FakeServer) -> None:
    newer.on("GET", "/v1/(?!kinds|rings).*", Answer(200, {"items": [], "next": None}))

    assert "kind: Ring" in resedge("export").out


def test_an_unknown_word_says_that_the_server_could_not_be_asked(
    resedge: Resedge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESEDGE_SERVER", "http://127.0.0.1:9")
    ran = resedge("get", "stors")

    assert ran.code == 2
    assert "no kind 'stors'" in ran.err
    assert "could not be asked which kinds it has" in ran.err
    assert "did you mean: stores" in ran.err


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"items": []},
        {"version": "x", "items": [{}]},
        {"version": "x", "items": [{**RING, "plural": 3}]},
        {"version": "x", "items": [{**RING, "aliases": [None]}]},
        {"version": "x", "items": [{**RING, "columns": [{"heading": 1}]}]},
        {"version": "x", "items": [{**RING, "columns": ["NAME"]}]},
    ],
)
def test_what_is_no_list_of_kinds_changes_nothing(resedge: Resedge, server: FakeServer, body: Any) -> None:
    server.on("GET", "/v1/kinds", Answer(200, body))
    server.on("GET", "/v1/stores", Answer(200, {"items": [], "next": None}))

    assert resedge("get", "rings").code == 2
    assert resedge("get", "stores").code == 0


def completed(home: Path, line: str, server: str) -> list[str]:
    environment = clean_environment(str(home)) | {
        "RESEDGE_SERVER": server,
        "_RESEDGE_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split(" ")) - 1),
    }
    code = "import sys; sys.argv = ['resedge']; from cli.__main__ import main; sys.exit(main([]))"
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert ran.stderr == ""
    return ran.stdout.split()


def test_completion_knows_every_kind_and_asks_nobody(resedge: Resedge, newer: FakeServer) -> None:
    home = Path(os.environ["HOME"])

    assert completed(home, "resedge get ", newer.url) == [kind.plural for kind in KINDS]
    assert completed(home, "resedge delete ", newer.url) == [kind.plural for kind in KINDS if kind.deletable]
    assert completed(home, "resedge get r", newer.url) == [
        kind.plural for kind in KINDS if any(word.startswith("r") for word in kind.words)
    ]
    assert completed(home, "resedge get stores ", newer.url) == []
    assert newer.asked == []
    resedge("get", "rings")
    assert "rings" in completed(home, "resedge get r", newer.url)
    assert "rings" not in completed(home, "resedge get r", "http://127.0.0.1:9")
    assert asked_kinds(newer) == 1
