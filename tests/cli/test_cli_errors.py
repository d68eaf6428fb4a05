"""Every error says what, why and what to do on stderr, and ends with the code that CONVENTIONS §3 gives it."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest

from tests.cli.cli_server import Answer, FakeServer, changed, problem

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Resedge


@pytest.mark.parametrize(
    ("status", "code", "exit_code"),
    [
        (400, "invalid-request", 2),
        (401, "unauthenticated", 4),
        (403, "forbidden", 4),
        (404, "not-found", 5),
        (409, "unknown-reference", 3),
        (409, "idempotency-conflict", 6),
        (412, "precondition-failed", 6),
        (413, "body-too-large", 2),
        (422, "invalid-request", 2),
        (500, "internal", 1),
        (503, "unavailable", 8),
        (504, "timeout", 7),
    ],
)
def test_a_status_has_its_exit_code(
    resedge: Resedge, server: FakeServer, status: int, code: str, exit_code: int
) -> None:
    server.on("GET", "/v1/stores", problem(status, code, "No."))
    ran = resedge("get", "stores")

    assert (ran.code, ran.out) == (exit_code, "")
    assert code in ran.err


REFUSAL = problem(
    409,
    "unknown-reference",
    "The document refers to something that does not exist.",
    detail="there is no group /geo/uss",
    pointer="/spec/expression",
    nearest="/geo/us",
    fix="declare the group first",
)


def test_a_refusal_says_what_why_where_and_what_to_do(resedge: Resedge, server: FakeServer) -> None:
    server.on("GET", "/v1/stores", REFUSAL)

    assert resedge("get", "stores").err.splitlines() == [
        "error: The document refers to something that does not exist.",
        "  at: /spec/expression",
        "  why: there is no group /geo/uss",
        "  did you mean: /geo/us",
        "  fix: declare the group first",
        "  code: unknown-reference · request_id: r-1",
    ]


def test_an_expression_is_shown_with_a_caret_where_it_is_wrong(
    resedge: Resedge, server: FakeServer, tmp_path: Path
) -> None:
    wrong = {"position": 17, "nearest": "size", "detail": "there is no label key 'sise'"}
    server.on("GET", "/v1/stores", problem(422, "unknown-reference", "No.", pointer="?where", **wrong))
    server.on(
        "POST",
        "/v1/documents",
        problem(409, "unknown-reference", "No.", pointer="/spec/expression", document=0, **wrong),
    )
    file = tmp_path / "group.yaml"
    file.write_text("kind: Group\nmetadata: {path: /a}\nspec: {expression: 'size = large and sise = 1'}\n")
    shown = ["    size = large and sise = 1", "                     ^"]

    assert resedge("get", "stores", "-l", "size = large and sise = 1").err.splitlines()[2:4] == shown
    ran = resedge("apply", "-f", str(file))
    assert ran.err.splitlines()[2:4] == shown
    assert "document 1 (Group /a)" in ran.err


def test_for_a_script_it_is_the_servers_document(resedge: Resedge, server: FakeServer) -> None:
    server.on("GET", "/v1/stores", REFUSAL)

    assert json.loads(resedge("get", "stores", "-o", "json").err) == {"status": 409, **REFUSAL.body}
    assert json.loads(resedge("get", "storse", "-ojson").err)["nearest"][:2] == ["store", "stores"]
    assert json.loads(resedge("get", "stores", "--limt", "3", "--output=json").err)["code"] == "usage"


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["aply", "-f", "x"], "apply"),
        (["get", "aplications"], "applications"),
        (["get", "stores", "--limt", "3"], "--limit"),
        (["get", "stores", "--servr", "x"], "--server"),
        (["import", "store-list", "x.csv"], "stores"),
        (["delete", "stor", "x"], "store"),
        (["get", "stores", "-o", "jsonn"], "json"),
    ],
)
def test_a_typo_is_answered_with_what_was_meant(resedge: Resedge, arguments: list[str], meant: str) -> None:
    ran = resedge(*arguments)

    assert (ran.code, ran.out) == (2, "")
    assert meant in ran.err.split("did you mean: ")[1].splitlines()[0].split(", ")


def test_what_is_missing_is_told(resedge: Resedge) -> None:
    for arguments in (["get"], ["apply"], ["delete", "store"], ["gitops", "restore"], ["wait"], ["get", "releases"]):
        ran = resedge(*arguments)
        assert (ran.code, ran.out) == (2, "")
        assert ran.err.startswith("error: ")
        assert "fix: " in ran.err


def test_nobody_there_is_unreachable(resedge: Resedge) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        ran = resedge("get", "stores", "--server", f"http://127.0.0.1:{free.getsockname()[1]}")

    assert ran.code == 8
    assert "resedge up" in ran.err


def test_an_answer_that_is_no_problem_document_is_still_told(resedge: Resedge, server: FakeServer) -> None:
    server.on("GET", "/v1/stores", Answer(502, "<html>Bad gateway</html>", content_type="text/html"))
    assert resedge("get", "stores").code == 8

    server.on("GET", "/v1/stores", Answer(200, "{", content_type="application/json"))
    ran = resedge("get", "stores")
    assert (ran.code, "did not answer with JSON" in ran.err) == (1, True)


def test_a_change_goes_again_with_the_same_key_when_the_connection_drops(resedge: Resedge, server: FakeServer) -> None:
    server.on("DELETE", "/v1/stores/tx-1", Answer(drop=True), changed("deleted", 9))
    ran = resedge("delete", "store", "tx-1", "--yes")

    assert (ran.code, ran.out) == (0, "store/tx-1 deleted\n")
    first, second = server.asked_for("DELETE")
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert len(first.headers["idempotency-key"]) >= 32


def test_a_second_drop_is_unreachable_and_a_new_command_has_a_new_key(resedge: Resedge, server: FakeServer) -> None:
    server.on("DELETE", "/v1/stores/tx-1", Answer(drop=True))

    assert [resedge("delete", "store", "tx-1", "--yes").code for _ in range(2)] == [8, 8]
    assert len({asked.headers["idempotency-key"] for asked in server.asked}) == 2
    assert len(server.asked) == 4


def test_reads_wait_for_what_this_context_wrote(resedge: Resedge, server: FakeServer) -> None:
    server.on("GET", "/v1/stores", Answer(200, {"items": [], "next": None}))
    server.on("DELETE", "/v1/stores/tx-1", changed("deleted", 42))
    resedge("get", "stores")
    resedge("delete", "store", "tx-1", "--yes")
    resedge("get", "stores")
    resedge("get", "stores", "--token", "somebody-else")

    positions = [asked.headers.get("resedge-position") for asked in server.asked_for("GET")]
    assert positions == [None, "42", None]


def test_a_log_that_never_gets_there_is_not_waited_for_again(resedge: Resedge, server: FakeServer) -> None:
    server.on("DELETE", "/v1/stores/tx-1", changed("deleted", 42))
    resedge("delete", "store", "tx-1", "--yes")
    late = [problem(504, "position-timeout", "Not yet.", position=n) for n in (40, 41, 42)]
    server.on("GET", "/v1/stores", late[0], late[1], Answer(200, {"items": [], "next": None}))
    assert resedge("get", "stores").code == 0

    server.on("GET", "/v1/stores", late[0])
    assert resedge("get", "stores").code == 7
    server.on("GET", "/v1/stores", Answer(200, {"items": [], "next": None}))
    assert resedge("get", "stores").code == 0
    assert "resedge-position" not in server.asked[-1].headers


def test_a_service_that_is_late_is_waited_for_again(resedge: Resedge, server: FakeServer) -> None:
    server.on("DELETE", "/v1/stores/tx-1", changed("deleted", 42))
    resedge("delete", "store", "tx-1", "--yes")
    server.on("GET", "/v1/stores", problem(504, "position-timeout", "Not yet.", position=40))
    server.on("GET", "/v1/events", Answer(200, {"items": [], "next": None}, {"Resedge-Position": "42"}))

    assert resedge("get", "stores").code == 7
    assert resedge("get", "stores").code == 7
    assert server.asked_for("GET")[-2].headers["resedge-position"] == "42"


def test_the_token_and_who_asks_go_with_every_request(resedge: Resedge, server: FakeServer) -> None:
    resedge("get", "stores")

    assert server.asked[0].headers["authorization"] == "Bearer s3cret-token"
    assert server.asked[0].headers["user-agent"].startswith("resedge/")


def test_a_name_cannot_leave_its_kind(resedge: Resedge, server: FakeServer) -> None:
    for name in ("..", "../groups", "a/../b", "."):
        assert resedge("get", "store", name).code == 2
    resedge("get", "store", "a b?c#d%2e")

    assert [asked.path for asked in server.asked] == ["/v1/stores/a b?c#d%2e"]


def test_bytes_that_are_no_text_are_usage(resedge: Resedge, server: FakeServer) -> None:
    assert resedge("get", "store", "tx-\udcff").code == 2
    assert resedge("get", "stores", "-l", "a = \udcff").code == 2
    for address in ("http://", "http://[", "http://a:99999", "http://a b"):
        assert resedge("get", "stores", "--server", address).code == 2
    assert server.asked == []
