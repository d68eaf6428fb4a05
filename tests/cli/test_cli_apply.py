"""`apply` and `diff`: everything is validated before anything is declared."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli.cli_server import Answer, Asked, FakeServer, changed, problem

if TYPE_CHECKING:
    from tests.cli.conftest import Resedge

FLEET = """
kind: Namespace
metadata: {name: pos}
spec: {expression: /g/geo/us}
---
kind: Group
metadata: {path: /geo/us/tx}
spec: {stores: [tx-1]}
---
kind: Store
metadata: {name: tx-1}
spec: {timezone: America/Chicago}
"""
STORE = {"kind": "Store", "metadata": {"name": "tx-1"}, "spec": {"timezone": "America/Chicago"}}
ORDER = ["store/tx-1", "group/geo/us/tx", "namespace/pos"]


@pytest.fixture
def fleet(tmp_path: Path, server: FakeServer) -> str:
    def tried(asked: Asked) -> Answer:
        kinds = [document["kind"] for document in asked.json["documents"]]
        return Answer(200, {"results": [{"kind": kind, "result": "created", "warnings": []} for kind in kinds]})

    server.on("POST", "/v1/documents", tried)
    server.on("PUT", "/v1/.*", changed("created", 1), changed("configured", 2), changed("unchanged"))
    path = tmp_path / "fleet.yaml"
    path.write_text(FLEET)
    return str(path)


def test_what_is_referred_to_is_declared_first(resedge: Resedge, server: FakeServer, fleet: str) -> None:
    ran = resedge("apply", "-f", fleet)

    results = ["created", "configured", "unchanged"]
    assert ran.code == 0
    assert ran.out.splitlines() == [f"{name} {result}" for name, result in zip(ORDER, results, strict=True)]
    assert [asked.path for asked in server.asked] == [
        "/v1/documents",
        "/v1/stores/tx-1",
        "/v1/groups/geo/us/tx",
        "/v1/namespaces/pos",
    ]
    assert server.asked[0].query == {"dry_run": "true"}
    assert server.asked[1].json == STORE
    assert [asked.headers.get("resedge-position") for asked in server.asked] == [None, None, "1", "2"]


def test_a_dry_run_declares_nothing(resedge: Resedge, server: FakeServer, fleet: str) -> None:
    ran = resedge("apply", "--dry-run", "-f", fleet)

    assert ran.out.splitlines() == [f"{name} created (dry run)" for name in ORDER]
    assert server.asked_for("PUT") == []


def test_if_one_is_refused_none_is_declared_and_it_is_named(resedge: Resedge, server: FakeServer, fleet: str) -> None:
    server.on("POST", "/v1/documents", problem(409, "unknown-reference", "Unknown.", detail="no group", document=2))
    ran = resedge("apply", "-f", fleet)

    assert (ran.code, ran.out, server.asked_for("PUT")) == (3, "", [])
    assert f"error: {fleet}, document 1 (Namespace pos): Unknown." in ran.err


def test_a_late_refusal_says_how_far_it_came(resedge: Resedge, server: FakeServer, fleet: str) -> None:
    server.on("PUT", "/v1/namespaces/pos", problem(409, "capacity-exceeded", "Too much."))
    ran = resedge("apply", "-f", fleet)

    assert (ran.code, len(ran.out.splitlines())) == (3, 2)
    assert "document 1 (Namespace pos): Too much." in ran.err
    assert "2 of 3 documents were declared before" in ran.err


def test_more_than_a_request_takes_goes_in_parts(
    resedge: Resedge, server: FakeServer, fleet: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.trying.REQUEST_BYTES_MAX", 150)
    ran = resedge("apply", "-f", fleet)

    assert ran.code == 0
    assert "in parts" in ran.err
    assert [asked.method for asked in server.asked] == ["POST", "PUT", "POST", "PUT", "POST", "PUT"]


def test_stdin_is_read(resedge: Resedge, fleet: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = Path(fleet).read_bytes()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text)))

    assert resedge("apply", "-f", "-").out.startswith("store/tx-1 created\n")


def test_a_file_that_cannot_be_read_sends_nothing(resedge: Resedge, server: FakeServer, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("kind: Store\nmetadata: {name: a}\n---\nkind: Shop\nmetadata: {name: b}\n")
    ran = resedge("apply", "-f", str(tmp_path / "bad.yaml"), "-f", str(tmp_path))

    assert (ran.code, server.asked) == (2, [])
    assert "bad.yaml, document 2: unknown kind 'Shop'" in ran.err


def declared(server: FakeServer, result: str, **spec: object) -> None:
    server.on("POST", "/v1/documents", Answer(200, {"results": [{"kind": "Store", "result": result}]}))
    current = {**STORE, "metadata": {"name": "tx-1", "labels": {}}, "spec": spec}
    server.on("GET", "/v1/stores/tx-1", Answer(200, current))


@pytest.fixture
def store(tmp_path: Path) -> str:
    (tmp_path / "store.json").write_text(json.dumps(STORE))
    return str(tmp_path / "store.json")


def test_no_difference_is_0_and_silent(resedge: Resedge, server: FakeServer, store: str) -> None:
    declared(server, "unchanged", timezone="America/Chicago", hours=[])

    assert (resedge("diff", "-f", store).code, resedge("diff", "-f", store).out) == (0, "")


def test_a_difference_is_1_and_shown(resedge: Resedge, server: FakeServer, store: str) -> None:
    declared(server, "configured", timezone="America/Denver", hours=[], clusters=[{"name": "tx-1"}])
    ran = resedge("diff", "-f", store)

    assert (ran.code, ran.err) == (1, "")
    assert [line for line in ran.out.splitlines() if line[:1] in "+-"] == [
        "--- declared/store/tx-1",
        f"+++ {store}#1",
        "-  timezone: America/Denver",
        "+  timezone: America/Chicago",
    ]


def test_a_new_document_is_all_added(resedge: Resedge, server: FakeServer, store: str) -> None:
    server.on("POST", "/v1/documents", Answer(200, {"results": [{"kind": "Store", "result": "created"}]}))
    ran = resedge("diff", "-f", store)

    assert ran.code == 1
    assert ran.out.startswith("--- /dev/null\n")
    assert "+kind: Store" in ran.out


def test_a_difference_in_what_is_empty_is_shown_too(resedge: Resedge, server: FakeServer, store: str) -> None:
    declared(server, "configured", timezone="America/Chicago", clusters=[])

    assert "-  clusters: []" in resedge("diff", "-f", store).out


def test_an_error_of_diff_is_above_1(resedge: Resedge, server: FakeServer, store: str) -> None:
    server.on("POST", "/v1/documents", problem(500, "internal", "Failed."))

    assert resedge("diff", "-f", store).code == 2
