"""Documents tried at separate services: chained dry runs, each on what the earlier ones would make of the fleet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.cli.cli_server import Answer, Asked, FakeServer, changed, problem

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Resedge

FLEET = """
kind: Store
metadata: {name: one}
spec: {timezone: UTC}
---
kind: Store
metadata: {name: two}
spec: {timezone: UTC, clusters: [{name: a}, {name: shared}]}
---
kind: Store
metadata: {name: two-b}
spec: {timezone: UTC, clusters: [{name: shared}]}
---
kind: Group
metadata: {path: /geo/x}
spec: {stores: [one]}
---
kind: Namespace
metadata: {name: pos}
spec: {expression: /g/geo/x}
"""


def event_of(asked: Asked) -> dict[str, Any]:
    return {"stream": asked.path, "type": "declared", "data": {}}


@pytest.fixture
def fleet(tmp_path: Path, server: FakeServer) -> str:
    """The server of an edge router: no `/v1/documents`; a dry run answers with one event."""

    def put(asked: Asked) -> Answer:
        if asked.query.get("dry_run") != "true":
            return changed("created", 7)
        return Answer(200, {"result": "created", "warnings": [], "events": [event_of(asked)]})

    server.on("POST", "/v1/documents", Answer(405, "<html>", content_type="text/html"))
    server.on("PUT", "/v1/.*", put)
    path = tmp_path / "fleet.yaml"
    path.write_text(FLEET)
    return str(path)


def assumed(server: FakeServer) -> dict[str, list[str]]:
    """Return for each dry run the streams that it took as given."""
    tried = [asked for asked in server.asked_for("PUT") if asked.query.get("dry_run") == "true"]
    return {asked.path: [event["stream"] for event in asked.json["assume"]] for asked in tried}


def test_each_document_is_tried_on_what_those_before_it_would_do(
    resedge: Resedge, server: FakeServer, fleet: str
) -> None:
    ran = resedge("apply", "-f", fleet, "--dry-run")

    assert ran.code == 0
    assert [line.split()[1] for line in ran.out.splitlines()] == ["created"] * 5
    stores = ["/v1/stores/one", "/v1/stores/two", "/v1/stores/two-b"]
    assert assumed(server) == {
        "/v1/stores/one": [],
        "/v1/stores/two": [],
        "/v1/stores/two-b": ["/v1/stores/two"],  # they share a cluster's name, which only one of them can have
        "/v1/groups/geo/x": stores,
        "/v1/namespaces/pos": [*stores, "/v1/groups/geo/x"],
    }


def test_all_are_tried_before_the_first_is_declared(resedge: Resedge, server: FakeServer, fleet: str) -> None:
    assert resedge("apply", "-f", fleet).code == 0

    assert [asked.query.get("dry_run", "") for asked in server.asked_for("PUT")] == ["true"] * 5 + [""] * 5
    assert len(server.asked_for("POST")) == 1


def test_a_refused_dry_run_names_its_document_and_declares_nothing(
    resedge: Resedge, server: FakeServer, fleet: str
) -> None:
    server.on("PUT", "/v1/groups/.*", problem(409, "unknown-reference", "Unknown.", pointer="/spec/stores/0"))
    ran = resedge("apply", "-f", fleet)

    assert (ran.code, ran.out) == (3, "")
    assert "document 4 (Group /geo/x): Unknown." in ran.err
    assert all(asked.query.get("dry_run") == "true" for asked in server.asked_for("PUT"))


def test_a_document_that_the_joint_try_does_not_find_is_no_missing_route(
    resedge: Resedge, server: FakeServer, fleet: str
) -> None:
    server.on("POST", "/v1/documents", problem(404, "not-found", "There is no such thing.", document=4))
    ran = resedge("apply", "-f", fleet)

    assert ran.code == 5
    assert "document 5 (Namespace pos)" in ran.err
    assert server.asked_for("PUT") == []


def test_what_a_chain_sends_is_bounded_by_declaring_in_parts(
    resedge: Resedge, server: FakeServer, fleet: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.trying.CHAIN_SENT_BYTES_MAX", 350)
    ran = resedge("apply", "-f", fleet)

    assert ran.code == 0
    assert len(ran.out.splitlines()) == 5
    assert "in parts" in ran.err
    assert max(map(len, assumed(server).values())) < 4
    assert len(server.asked_for("POST")) == 1


def test_more_than_can_be_tried_as_a_whole_says_so(
    resedge: Resedge, server: FakeServer, fleet: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.trying.ASSUMED_EVENTS_MAX", 3)
    ran = resedge("diff", "-f", fleet)

    assert ran.code == 2
    assert "document 5 (Namespace pos): too much comes before it" in ran.err
    assert not [asked for asked in server.asked_for("PUT") if asked.query.get("dry_run") != "true"]


@pytest.mark.parametrize("name", ["a/b", "..", "../x"])
def test_a_name_that_is_none_is_told_with_its_file(
    resedge: Resedge, server: FakeServer, fleet: str, tmp_path: Path, name: str
) -> None:
    (tmp_path / "bad.yaml").write_text(f"kind: Store\nmetadata: {{name: {name}}}\nspec: {{timezone: UTC}}\n")
    ran = resedge("apply", "-f", str(tmp_path / "bad.yaml"))

    assert ran.code == 2
    assert "bad.yaml, document 1" in ran.err
    assert "is not a name" in ran.err
    assert fleet
    assert server.asked_for("PUT") == []
