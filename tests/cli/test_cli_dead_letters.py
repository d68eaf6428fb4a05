"""`dead-letters`, `inbox`, sources and issued tokens on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from libs.web.auth import Principal, TokenStore
from tests.cli.cli_server import Answer, FakeServer, problem
from tests.cli.conftest import Resedge

REFUSED: dict[str, Any] = {
    "letter": "ab12",
    "kind": "inbox",
    "state": "open",
    "source": "urn:registry",
    "id": "e-1",
    "type": "dev.resedge.inbox.StoreOpened.v1",
    "code": "invalid-data",
    "reason": "there is no field 'timezon'",
    "position": 7,
    "attempts": 0,
}
HALTED = REFUSED | {"letter": "fleet@9", "kind": "consumer", "consumer": "fleet", "stopped_at": 9}
HALTED = {key: value for key, value in HALTED.items() if key not in {"source", "id", "code"}}
SOURCE = {
    "apiVersion": "resedge.dev/v1",
    "kind": "Source",
    "metadata": {"name": "registry"},
    "spec": {"source": "urn:registry", "serviceAccount": "registry", "types": ["dev.resedge.inbox.StoreOpened.v1"]},
}


def test_open_letters_are_listed_with_what_they_are_about(server: FakeServer, resedge: Resedge) -> None:
    server.on("GET", "/v1/dead-letters", Answer(200, {"items": [HALTED, REFUSED], "next": None}))

    ran = resedge("dead-letters", "list")

    assert ran.code == 0
    assert "urn:registry e-1" in ran.out
    assert "fleet at 9" in ran.out
    assert server.asked[-1].query["state"] == "open"
    assert resedge("dead-letters", "list", "--state", "all", "--kind", "inbox", "-o", "name").out == "fleet@9\nab12\n"
    assert server.asked[-1].query == {"limit": "1000", "kind": "inbox"}


def test_a_state_or_name_that_there_is_not_is_usage(server: FakeServer, resedge: Resedge) -> None:
    ran = resedge("dead-letters", "list", "--state", "skiped")
    assert ran.code == 2
    assert "skipped" in ran.err
    assert "all" in ran.err
    assert resedge("dead-letters", "show", "ab/12").code == 2
    assert resedge("dead-letters", "retry", "ab/12", "--reason", "again").code == 2
    assert server.asked == []


def test_what_names_neither_source_nor_id_is_about_nothing(server: FakeServer, resedge: Resedge) -> None:
    letter = REFUSED | {"source": "", "id": "", "reason": "no-json"}
    server.on("GET", "/v1/dead-letters", Answer(200, {"items": [letter], "next": None}))

    assert resedge("dead-letters", "list").out.splitlines()[1].split()[-2:] == ["-", "no-json"]


@pytest.mark.parametrize("output", ["json", "yaml"])
def test_a_letter_is_shown_with_what_came(server: FakeServer, resedge: Resedge, output: str) -> None:
    whole = REFUSED | {"body": '{"id":"e-1"}', "headers": {}}
    server.on("GET", "/v1/dead-letters/ab12", Answer(200, whole))

    assert yaml.safe_load(resedge("dead-letters", "show", "ab12", "-o", output).out) == whole
    assert '"id": "e-1"' in resedge("dead-letters", "show", "ab12").out


def test_a_body_cannot_command_the_terminal(server: FakeServer, resedge: Resedge) -> None:
    server.on("GET", "/v1/dead-letters/ab12", Answer(200, REFUSED | {"body": "\x1b[2Jgone"}))

    assert "\x1b" not in resedge("dead-letters", "show", "ab12").out


@pytest.mark.parametrize("verb", ["retry", "skip"])
def test_a_decision_needs_a_reason_and_carries_it(server: FakeServer, resedge: Resedge, verb: str) -> None:
    server.on("POST", f"/v1/dead-letters/fleet@9:{verb}", Answer(200, {"result": "done", "position": 12}))

    assert resedge("dead-letters", verb, "fleet@9").code == 2
    assert resedge("dead-letters", verb, "fleet@9", "--reason", " ").code == 2
    assert server.asked == []
    ran = resedge("dead-letters", verb, "fleet@9", "--reason", "known", "-o", "json")

    assert json.loads(ran.out)["result"] == "done"
    assert server.asked[-1].json == {"reason": "known"}
    assert server.asked[-1].headers["idempotency-key"]


def test_what_is_refused_again_ends_with_the_refusals_code(server: FakeServer, resedge: Resedge) -> None:
    server.on("POST", "/v1/dead-letters/ab12:retry", problem(409, "type-not-allowed", "Not allowed."))
    assert resedge("dead-letters", "retry", "ab12", "--reason", "again").code == 3
    assert resedge("dead-letters", "retry", "gone", "--reason", "again").code == 5


def test_the_inbox_is_listed_by_source(server: FakeServer, resedge: Resedge) -> None:
    row = {"source": "urn:registry", "id": "e-1", "type": "dev.resedge.inbox.StoreOpened.v1", "outcome": "accepted"}
    server.on("GET", "/v1/inbox", Answer(200, {"items": [row], "next": None}))

    assert "StoreOpened.v1" in resedge("inbox", "list", "--source", "urn:registry", "--outcome", "accepted").out
    assert server.asked[-1].query == {"limit": "1000", "source": "urn:registry", "outcome": "accepted"}


def test_sources_are_a_kind_like_every_other(server: FakeServer, resedge: Resedge, tmp_path: Path) -> None:
    server.on("GET", "/v1/sources", Answer(200, {"items": [SOURCE], "next": None}))
    server.on("POST", "/v1/documents", Answer(200, {"results": [{"result": "created"}], "position": 3}))
    file = tmp_path / "source.yaml"
    file.write_text(yaml.safe_dump(SOURCE))

    assert "urn:registry" in resedge("get", "sources").out
    assert resedge("apply", "-f", str(file)).out == "source/registry created\n"
    assert server.asked[-1].json == {"documents": [SOURCE]}


def test_a_token_is_issued_once_on_the_servers_machine(resedge: Resedge, tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"

    ran = resedge("auth", "issue", "registry", "--role", "source", "--tokens", str(file))

    assert TokenStore(file).principal(ran.out.strip()) == Principal("registry", frozenset({"source"}))
    assert resedge("auth", "issue", "registry", "--role", "emperor", "--tokens", str(file)).code == 2
    assert resedge("auth", "issue", "No Name", "--role", "source", "--tokens", str(file)).code == 2
    assert resedge("auth", "issue", "a", "--role", "source", "--tokens", str(tmp_path / "no" / "t.json")).code == 2
