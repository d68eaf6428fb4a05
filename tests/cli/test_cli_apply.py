"""`apply` and `diff`: all documents in one request; what is said of one names its file and line."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from libs.contracts.documents import DOCUMENTS_MAX
from tests.cli.cli_server import Answer, Asked, FakeServer, problem

if TYPE_CHECKING:
    from collections.abc import Callable

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


def applied(*results: str, **more: object) -> Callable[[Asked], Answer]:
    """Answer as the server does: results in the order of the request, decided in another order."""

    def answer(asked: Asked) -> Answer:
        kinds = [document["kind"] for document in asked.json["documents"]]
        told = [
            {"kind": kind, "name": "x", "result": result, "warnings": [f"{kind} is new"] if kind == "Group" else []}
            for kind, result in zip(kinds, results or ["created"] * len(kinds), strict=True)
        ]
        order = sorted(range(len(kinds)), key=lambda index: ["Store", "Group", "Namespace"].index(kinds[index]))
        return Answer(200, {"results": told, "order": order, "position": 12, **more}, {"Resedge-Position": "12"})

    return answer


@pytest.fixture
def fleet(tmp_path: Path, server: FakeServer) -> str:
    server.on("POST", "/v1/documents", applied())
    path = tmp_path / "fleet.yaml"
    path.write_text(FLEET)
    return str(path)


def test_all_documents_are_one_request_told_in_the_order_in_which_they_were_decided(
    resedge: Resedge, server: FakeServer, fleet: str
) -> None:
    server.on("POST", "/v1/documents", applied("unchanged", "configured", "created", warnings=["more is withheld"]))
    ran = resedge("apply", "-f", fleet)

    assert ran.code == 0
    assert ran.out.splitlines() == ["store/tx-1 created", "group/geo/us/tx configured", "namespace/pos unchanged"]
    assert ran.err.splitlines() == ["warning: Group is new", "warning: more is withheld"]
    assert [(asked.method, asked.path, asked.query) for asked in server.asked] == [
        ("POST", "/v1/documents", {"reach": "true"})
    ]
    assert server.asked[0].json["documents"][2] == STORE
    assert resedge("apply", "-f", fleet).code == 0
    assert [asked.headers.get("resedge-position") for asked in server.asked] == [None, "12"]


def test_a_dry_run_declares_nothing(resedge: Resedge, server: FakeServer, fleet: str) -> None:
    ran = resedge("apply", "--dry-run", "-f", fleet)

    assert ran.out.splitlines() == [f"{name} created (dry run)" for name in ORDER]
    assert [asked.query for asked in server.asked] == [{"dry_run": "true", "reach": "true"}]


def refused(index: int, **more: object) -> dict[str, object]:
    return {"document": index, "status": 409, "code": "unknown-reference", "title": "Unknown.", **more}


def test_each_refused_document_is_named_with_its_line(resedge: Resedge, server: FakeServer, fleet: str) -> None:
    both = [
        refused(0, detail="no group", pointer="/documents/0/spec/expression"),
        refused(1, detail="no store", pointer="/documents/1/spec/stores/0", nearest="tx-1"),
    ]
    server.on("POST", "/v1/documents", problem(409, "unknown-reference", "Unknown.", refused=both, refused_count=7))
    ran = resedge("apply", "-f", fleet)

    assert (ran.code, ran.out) == (3, "")
    assert ran.err.startswith(f"error: {fleet}, document 1 (Namespace pos): Unknown.\n")
    assert f"  at: /spec/expression in {fleet}:4\n" in ran.err
    assert f"{fleet}, document 2 (Group /geo/us/tx): Unknown.\n  at: /spec/stores/0 in {fleet}:8\n" in ran.err
    assert "did you mean: tx-1" in ran.err
    assert "5 more are refused" in ran.err
    assert ran.err.endswith("nothing was declared\n")


def test_for_a_script_each_refused_document_has_its_place(resedge: Resedge, server: FakeServer, fleet: str) -> None:
    server.on("POST", "/v1/documents", problem(409, "x", "No.", refused=[refused(2)], refused_count=1))
    told = json.loads(resedge("apply", "-f", fleet, "-o", "json").err)

    assert (told["status"], [each["place"] for each in told["refused"]]) == (409, [f"{fleet}:10"])


def test_what_the_server_finds_declared_twice_is_told_with_both_lines(
    resedge: Resedge, server: FakeServer, fleet: str
) -> None:
    twice = {"document": 2, "status": 422, "code": "declared-twice", "title": "Twice.", "first": 1}
    server.on("POST", "/v1/documents", problem(422, "declared-twice", "Twice.", refused=[twice]))
    ran = resedge("apply", "-f", fleet)

    assert ran.code == 2
    assert f"{fleet}:10" in ran.err
    assert f"it is declared at {fleet}:6 already" in ran.err


@pytest.mark.parametrize("status", [404, 405])
def test_a_server_without_the_route_is_named(resedge: Resedge, server: FakeServer, fleet: str, status: int) -> None:
    server.on("POST", "/v1/documents", Answer(status, "<html>", content_type="text/html"))
    ran = resedge("apply", "-f", fleet)

    assert ran.code == 1
    assert "does not accept several documents as one change" in ran.err
    assert server.asked_for("PUT") == []


def test_more_than_one_apply_takes_is_refused_with_a_sentence(
    resedge: Resedge, server: FakeServer, fleet: str, tmp_path: Path
) -> None:
    server.on("POST", "/v1/documents", problem(413, "body-too-large", "Too large."))
    assert "larger than one apply allows (64 MiB)" in resedge("apply", "-f", fleet).err
    many = [{**STORE, "metadata": {"name": f"s-{number}"}} for number in range(DOCUMENTS_MAX + 1)]
    (tmp_path / "many.json").write_text(json.dumps({"items": many}))
    before = len(server.asked)
    ran = resedge("apply", "-f", str(tmp_path / "many.json"))

    assert ran.code == 2
    assert "100,001 documents are more than one apply allows (100,000)" in ran.err
    assert len(server.asked) == before


TWICE = "kind: Store\nmetadata: {name: tx-1}\nspec: {timezone: UTC}\n"


@pytest.mark.parametrize("verb", [("apply",), ("apply", "--dry-run"), ("diff",)])
def test_one_thing_declared_twice_is_refused_with_both_files_and_lines(
    resedge: Resedge, server: FakeServer, fleet: str, tmp_path: Path, verb: tuple[str, ...]
) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(f"# a comment\n---\n{TWICE.replace('tx-1', 'tx-2')}---\n\n# and more\n{TWICE}")
    ran = resedge(*verb, "-f", fleet, "-f", str(other))

    assert (ran.code, ran.out, server.asked) == (2, "", [])
    assert f"store/tx-1 is declared twice: {fleet}:10 and {other}:9" in ran.err


@pytest.mark.parametrize(
    ("name", "text", "lines"),
    [
        ("a.json", json.dumps({"items": [STORE, STORE]}, indent=1), (3, 12)),
        ("a.json", json.dumps({"items": [STORE, STORE]}, indent="\t"), (3, 12)),
        ("a.yaml", "items:\n" + "- kind: Store\n  metadata: {name: tx-1}\n  spec: {}\n" * 2, (2, 5)),
        ("a.yaml", "kind: Group\nmetadata: {path: /a}\n---\nkind: Group\nmetadata: {path: a/}\n", (1, 4)),
        ("a.yaml", "---\n---\n\nkind: Store\nmetadata: {name: a}\n--- {kind: Store, metadata: {name: a}}\n", (4, 6)),
    ],
)
def test_lines_are_told_however_the_documents_stand_in_the_file(
    resedge: Resedge, server: FakeServer, tmp_path: Path, name: str, text: str, lines: tuple[int, int]
) -> None:
    file = tmp_path / name
    file.write_text(text)
    ran = resedge("apply", "-f", str(file))

    assert (ran.code, server.asked) == (2, [])
    assert f"declared twice: {file}:{lines[0]} and {file}:{lines[1]}" in ran.err


def test_the_same_file_twice_declares_all_of_it_twice(resedge: Resedge, server: FakeServer, fleet: str) -> None:
    ran = resedge("apply", "-f", fleet, "-f", fleet)

    assert (ran.code, server.asked) == (2, [])
    assert f"namespace/pos is declared twice: {fleet}:2 and {fleet}:2" in ran.err


@pytest.mark.parametrize("text", ["", "\n \n", "# nothing\n# here\n", "---\n# nothing\n---\n", "{items: []}\n"])
def test_an_input_without_a_document_is_said_and_an_error(
    resedge: Resedge, server: FakeServer, fleet: str, tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = tmp_path / "empty.yaml"
    empty.write_text(text)
    ran = resedge("apply", "-f", str(empty))
    assert (ran.code, ran.out, server.asked) == (2, "", [])
    assert f"{empty} holds no document" in ran.err
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    ran = resedge("apply", "-f", "-")
    assert (ran.code, server.asked) == (2, [])
    assert "<stdin> holds no document" in ran.err

    among = resedge("apply", "-f", str(empty), "-f", fleet)
    assert among.code == 0
    assert f"{empty} holds no document" in among.err


def test_files_that_are_skipped_by_their_ending_are_said(resedge: Resedge, server: FakeServer, tmp_path: Path) -> None:
    server.on("POST", "/v1/documents", applied())
    folder = tmp_path / "fleet"
    folder.mkdir()
    (folder / "store.YAML").write_text(TWICE)
    for name in ("old.yml.bak", "notes.txt", ".hidden"):
        (folder / name).write_text(TWICE)
    ran = resedge("apply", "-f", str(folder))

    assert ran.code == 0
    assert ran.out == "store/tx-1 created\n"
    assert f"do not end in .yaml, .yml or .json: {folder}/notes.txt, {folder}/old.yml.bak\n" in ran.err
    (folder / "store.YAML").unlink()
    ran = resedge("apply", "-f", str(folder))
    assert ran.code == 2
    assert "old.yml.bak" in ran.err
    assert "holds no .yaml, .yml, .json file" in ran.err


def test_stdin_is_read(resedge: Resedge, fleet: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = Path(fleet).read_bytes()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text)))

    assert resedge("apply", "-f", "-").out.startswith("store/tx-1 created\n")


def test_a_file_that_cannot_be_read_sends_nothing(resedge: Resedge, server: FakeServer, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("kind: Store\nmetadata: {name: a}\n---\nkind: Shop\nmetadata: {name: b}\n")
    ran = resedge("apply", "-f", str(tmp_path / "bad.yaml"), "-f", str(tmp_path))

    # A newer server may have the kind: it is asked once which kinds it has.
    assert (ran.code, [(each.method, each.path) for each in server.asked]) == (2, [("GET", "/v1/kinds")])
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
