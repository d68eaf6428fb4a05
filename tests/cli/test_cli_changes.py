"""The verbs that change something: what they send, what they print, when they ask."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from libs.kinds import BY_DOCUMENT
from tests.cli.cli_server import Answer, FakeServer, changed, problem
from tests.cli.conftest import Resedge

APPLICATION = {
    "apiVersion": "resedge.dev/v1",
    "kind": "Application",
    "metadata": {"name": "pos-api"},
    "spec": {"namespace": "pos"},
}
CHOICES = "/v1/applications/pos-api/release-choices"
CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: menu\ndata:\n  store: ${edge.store.name}\n"


def test_delete_needs_a_yes_where_nobody_can_be_asked(resedge: Resedge, server: FakeServer) -> None:
    ran = resedge("delete", "store", "tx-1")

    assert (ran.code, server.asked) == (2, [])
    assert "--yes" in ran.err


def test_delete_of_many_says_how_far_it_came(resedge: Resedge, server: FakeServer) -> None:
    server.on("DELETE", "/v1/stores/.*", changed("deleted", 3), problem(409, "still-referenced", "Still needed."))
    ran = resedge("delete", "stores", "tx-1", "tx-2", "tx-3", "--yes")

    assert (ran.code, ran.out) == (3, "store/tx-1 deleted\n")
    assert "1 of 3 were deleted before" in ran.err
    assert len(server.asked) == 2


def test_delete_of_a_group_by_its_path(resedge: Resedge, server: FakeServer) -> None:
    server.on("DELETE", "/v1/groups/geo/us", changed("deleted", 3))

    assert resedge("delete", "group", "/geo/us", "--yes").out == "group/geo/us deleted\n"
    assert resedge("delete", "group/geo/us", "--dry-run").out == "group/geo/us deleted (dry run)\n"
    assert server.asked[-1].query == {"dry_run": "true", "reach": "true"}
    assert resedge("delete", "hold", "ab12", "--yes").code == 2


def test_outcomes_are_told_to_scripts_too(resedge: Resedge, server: FakeServer) -> None:
    server.on("DELETE", "/v1/clusters/tx-1", changed("deleted", 3))
    outcome = {"name": "cluster/tx-1", "result": "deleted", "dry_run": False, "position": 3, "warnings": []}

    assert json.loads(resedge("delete", "cluster", "tx-1", "--yes", "-o", "json").out) == outcome
    assert resedge("delete", "cluster", "tx-1", "--yes", "-o", "name").out == "cluster/tx-1\n"
    failed = resedge("delete", "cluster", "tx-2", "--yes", "-o", "json")
    assert (failed.code, failed.out, json.loads(failed.err)["code"]) == (5, "", "not-found")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("typed", "code"), [("y\n", 0), ("n\n", 2), ("", 2)])
def test_a_person_is_asked(
    resedge: Resedge, server: FakeServer, monkeypatch: pytest.MonkeyPatch, typed: str, code: int
) -> None:
    server.on("DELETE", "/v1/stores/tx-1", changed("deleted", 3))
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    monkeypatch.setattr("sys.stderr", asked := Terminal())

    assert resedge("delete", "store", "tx-1").code == code
    assert "delete store tx-1? [y/N]" in asked.getvalue()
    assert len(server.asked) == (code == 0)


def test_labels_are_set_and_removed_where_an_expression_selects(resedge: Resedge, server: FakeServer) -> None:
    server.on("POST", "/v1/stores:label", Answer(200, {"changed": 12, "position": 8}))
    ran = resedge("label", "stores", "-l", "size = xl", "grill=Acme3000|Acme3001", "note=a=b", "old-key-")

    assert ran.out == "12 stores changed\n"
    assert server.asked[0].json == {
        "where": "size = xl",
        "set": {"grill": ["Acme3000", "Acme3001"], "note": "a=b"},
        "remove": ["old-key"],
    }


@pytest.mark.parametrize("words", [["a=1", "a=2"], ["a=1", "a-"], ["a"], ["=x"], ["-"]])
def test_labels_that_cannot_be_meant_send_nothing(resedge: Resedge, server: FakeServer, words: list[str]) -> None:
    assert resedge("label", "stores", "-l", "/c/*", *words).code == 2
    assert server.asked == []


def test_an_import_is_uploaded_as_it_is(
    resedge: Resedge, server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = "name,timezone,size\n" + "".join(f"tx-{i},America/Chicago,large\n" for i in range(10_000))
    (tmp_path / "stores.csv").write_text(rows)
    server.on("POST", "/v1/stores:import", Answer(200, {"created": 10_000, "configured": 1, "unchanged": 2}))

    assert resedge("import", "stores", str(tmp_path / "stores.csv")).out == (
        "stores: 10000 created, 1 configured, 2 unchanged\n"
    )
    assert server.asked[0].body == rows.encode()
    assert server.asked[0].headers["content-type"] == "text/csv"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'{"name": "tx-1"}\n')))
    assert resedge("import", "stores", "-", "--dry-run").out.endswith("(dry run)\n")
    assert (server.asked[1].headers["content-type"], server.asked[1].query) == (
        "application/x-ndjson",
        {"dry_run": "true"},
    )
    (tmp_path / "stores.txt").write_text(rows)
    assert resedge("import", "stores", str(tmp_path / "stores.txt")).code == 2


def test_every_bad_row_of_an_import_is_listed(resedge: Resedge, server: FakeServer, tmp_path: Path) -> None:
    (tmp_path / "stores.csv").write_text("name\nx\n")
    errors = [{"row": 2, "column": "timezone", "detail": "missing"}, {"row": 3, "column": "name", "detail": "twice"}]
    server.on("POST", "/v1/stores:import", problem(422, "bad-rows", "Rows are wrong.", errors=errors))
    ran = resedge("import", "stores", str(tmp_path / "stores.csv"))

    assert ran.code == 2
    assert "  row 2 column timezone: missing\n  row 3 column name: twice\n" in ran.err


def test_a_folder_is_published_with_its_schema_and_defaults(
    resedge: Resedge, server: FakeServer, tmp_path: Path
) -> None:
    folder = tmp_path / "manifests"
    folder.mkdir()
    (folder / "menu.yaml").write_text(CONFIG_MAP)
    (tmp_path / "schema.json").write_text('{"type": "object"}')
    (tmp_path / "defaults.yaml").write_text("logLevel: no\n")
    server.on("GET", "/v1/applications/pos-api", Answer(200, APPLICATION))
    server.on("PUT", "/v1/applications/pos-api/releases/1.4.0", changed("created", 4), changed("unchanged"))
    sides = ["--schema", str(tmp_path / "schema.json"), "--defaults", str(tmp_path / "defaults.yaml")]

    assert resedge("publish", "pos-api", "1.4.0", str(folder), *sides).out == "release/pos-api/1.4.0 created\n"
    sent = server.asked[-1].json
    assert (sent["schema"], sent["defaults"]) == ({"type": "object"}, {"logLevel": "no"})
    assert [doc["kind"] for doc in yaml.safe_load_all(sent["manifests"]) if doc] == ["ConfigMap"]
    assert "${edge.store.name}" in sent["manifests"]
    assert resedge("publish", "pos-api", "1.4.0", str(folder)).out == "release/pos-api/1.4.0 unchanged\n"
    assert "strict" not in server.asked[-1].query


def test_what_is_doubtful_is_told_and_refused_with_strict(resedge: Resedge, server: FakeServer, tmp_path: Path) -> None:
    (tmp_path / "menu.yaml").write_text(CONFIG_MAP)
    server.on("GET", "/v1/applications/pos-api", Answer(200, APPLICATION))
    warned = Answer(201, {"result": "created", "position": 4, "warnings": ["ConfigMap/pos/menu /dat: no such field"]})
    refused = problem(409, "doubtful-manifests", "The release may not do what you intend.", detail="/dat")
    server.on("PUT", "/v1/applications/pos-api/releases/1.4.0", warned, refused)

    told = resedge("publish", "pos-api", "1.4.0", str(tmp_path))
    strict = resedge("publish", "pos-api", "1.4.0", str(tmp_path), "--strict")

    assert (told.code, strict.code) == (0, 3)
    assert "ConfigMap/pos/menu /dat: no such field" in told.err
    assert server.asked[-1].query == {"strict": "true"}


def test_what_cannot_be_published_uploads_nothing(resedge: Resedge, server: FakeServer, tmp_path: Path) -> None:
    assert resedge("publish", "nobody", "1", str(tmp_path)).code == 5
    server.on("GET", "/v1/applications/pos-api", Answer(200, APPLICATION))
    (tmp_path / "bad.yaml").write_text("a: [")
    (tmp_path / "list.yaml").write_text("- a")
    for words in (
        [str(tmp_path / "none")],
        [str(tmp_path)],
        [str(tmp_path), "--defaults", str(tmp_path / "list.yaml")],
    ):
        assert resedge("publish", "pos-api", "1", *words).code == 2
    assert server.asked_for("PUT") == []


def test_choices_confirmations_and_restores_are_sent(resedge: Resedge, server: FakeServer) -> None:
    server.on("POST", "/v1/.*", changed("configured", 7))
    sent: list[tuple[list[str], str, Any]] = [
        (
            ["set-release", "pos-api", "1.5.0"],
            f"{CHOICES}:set",
            {"version": "1.5.0", "expression": None},
        ),
        (
            ["set-release", "pos-api", "1.5.0", "-l", "/g/geo"],
            f"{CHOICES}:set",
            {"version": "1.5.0", "expression": "/g/geo"},
        ),
        (
            ["unset-release", "pos-api", "-l", "/g/geo"],
            f"{CHOICES}:unset",
            {"expression": "/g/geo"},
        ),
        (["confirm", "ab12", "--reason", "closed"], "/v1/holds/ab12/confirm", {"reason": "closed"}),
        (["gitops", "restore", "--reason", "foreign commit"], "/v1/gitops:restore", {"reason": "foreign commit"}),
    ]
    for words, path, body in sent:
        assert resedge(*words).code == 0
        assert (server.asked[-1].path, server.asked[-1].json) == (path, body)


def exported(server: FakeServer) -> None:
    for plural in (kind.plural for kind in BY_DOCUMENT.values()):
        server.on("GET", f"/v1/{plural}", Answer(200, {"items": [], "next": None}))
    server.on("GET", "/v1/applications", Answer(200, {"items": [APPLICATION], "next": None}))
    below = "/v1/applications/pos-api"
    server.on("GET", f"{below}/releases", Answer(200, {"items": [{"version": "1.4.0"}], "next": None}))
    server.on("GET", f"{below}/releases/1.4.0", Answer(200, {"version": "1.4.0", "schema": None, "defaults": {"a": 1}}))
    server.on("GET", f"{below}/releases/1.4.0/manifests", Answer(200, CONFIG_MAP, content_type="application/yaml"))
    server.on("GET", f"{below}/release-choices", Answer(200, {"choices": [{"expression": "/c/*", "version": "1.4.0"}]}))


def test_an_export_is_a_stream_that_apply_takes(resedge: Resedge, server: FakeServer, tmp_path: Path) -> None:
    exported(server)
    ran = resedge("export")
    (tmp_path / "all.yaml").write_text(ran.out)
    server.on("POST", "/v1/documents", Answer(200, {"results": [{"result": "unchanged"}], "order": [0]}))

    assert resedge("apply", "-f", str(tmp_path / "all.yaml")).out == "application/pos-api unchanged\n"
    assert server.asked[-1].json == {"documents": [APPLICATION]}
    assert resedge("export", "--with-releases").code == 2


def test_an_export_with_releases_is_imported_again(resedge: Resedge, server: FakeServer, tmp_path: Path) -> None:
    exported(server)
    folder = tmp_path / "export"
    assert resedge("export", "--with-releases", "--dir", str(folder)).code == 0
    assert resedge("export", "--dir", str(folder)).code == 2
    server.on("POST", "/v1/documents", Answer(200, {"results": [{"result": "created"}], "order": [0]}))
    server.on("PUT", "/v1/.*", changed("created", 3))
    ran = resedge("import", "fleet", str(folder))

    assert ran.out.splitlines() == [
        "application/pos-api created",
        "release/pos-api/1.4.0 created",
        "release-choices/pos-api created",
    ]
    release, choices = server.asked_for("PUT")
    assert (release.path, release.json) == (
        "/v1/applications/pos-api/releases/1.4.0",
        {"schema": None, "defaults": {"a": 1}, "manifests": CONFIG_MAP},
    )
    assert choices.json == {"choices": [{"expression": "/c/*", "version": "1.4.0"}]}


def test_a_server_cannot_choose_where_to_write(resedge: Resedge, server: FakeServer, tmp_path: Path) -> None:
    exported(server)
    server.on(
        "GET", "/v1/applications/pos-api/releases", Answer(200, {"items": [{"version": "../../x"}], "next": None})
    )

    assert resedge("export", "--with-releases", "--dir", str(tmp_path / "a")).code == 2
    assert not (tmp_path / "x").exists()


def test_warnings_go_to_stderr(resedge: Resedge, server: FakeServer) -> None:
    body = {"result": "configured", "position": 1, "warnings": ["selects 3 fewer clusters"]}
    server.on("POST", "/v1/.*", Answer(200, body))
    ran = resedge("set-release", "pos-api", "1.5.0")

    assert (ran.out, ran.err) == ("release-choices/pos-api configured\n", "warning: selects 3 fewer clusters\n")


REPORT = {
    "created": 0,
    "configured": 3,
    "unchanged": 0,
    "labels": {"tier": {"removed": 2, "changed": 1, "set": 0}},
    "fields": {"hours": 1},
    "placements": {"loyalty": {"removed": 3, "other_release": 0, "added": 1}},
    "zones": [{"row": 2, "store": "a", "timezone": "America/Chicago", "from": "state TX, zip 78701"}],
    "zones_count": 30,
    "needs_confirmation": True,
    "warnings": [],
}
LINES = [
    "label tier: removed from 2 stores, changed on 1 store",
    "hours of the week: changed on 1 store",
    "application loyalty: removed from 3 clusters, added to 1 cluster",
    "time zone of a: America/Chicago (state TX, zip 78701)",
    "time zones of 29 more stores: see -o json",
]


def test_an_import_tells_what_it_changes(resedge: Resedge, server: FakeServer, tmp_path: Path) -> None:
    (tmp_path / "stores.csv").write_text("name,tier\nx,\n")
    server.on("POST", "/v1/stores:import", Answer(200, REPORT))
    ran = resedge("import", "stores", str(tmp_path / "stores.csv"), "--dry-run", "--empty-removes")
    assert ran.out.splitlines() == ["stores: 0 created, 3 configured, 0 unchanged (dry run)", *LINES]
    assert "needs --yes" in ran.err
    assert server.asked[0].query == {"dry_run": "true", "empty_removes": "true"}
    told = json.loads(resedge("import", "stores", str(tmp_path / "stores.csv"), "-o", "json").out)
    assert told["placements"] == REPORT["placements"]


def test_an_import_that_removes_much_needs_a_confirmation(resedge: Resedge, server: FakeServer, tmp_path: Path) -> None:
    (tmp_path / "stores.csv").write_text("name,tier\nx,y\n")
    question = problem(
        409, "needs-confirmation", "It needs a confirmation.", detail="it would remove 3 of 4 placements", report=REPORT
    )
    server.on("POST", "/v1/stores:import", question)
    ran = resedge("import", "stores", str(tmp_path / "stores.csv"))
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.splitlines()[: len(LINES)] == LINES
    assert "it would remove 3 of 4 placements; import anyway? needs a confirmation" in ran.err
    assert "add --yes" in ran.err
    assert [each.query for each in server.asked] == [{}]

    server.on("POST", "/v1/stores:import", Answer(200, REPORT))
    assert resedge("import", "stores", str(tmp_path / "stores.csv"), "--yes").code == 0
    assert server.asked[-1].query == {"confirmed": "true"}


def test_on_a_terminal_an_import_that_removes_much_asks(
    resedge: Resedge, server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "stores.csv").write_text("name,tier\nx,y\n")
    question = problem(409, "needs-confirmation", "It needs a confirmation.", detail="3 of 4", report=REPORT)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    for answer, code, sent in (("n\n", 2, 1), ("y\n", 0, 2)):
        stdin = io.StringIO(answer)
        stdin.isatty = lambda: True  # type: ignore[method-assign]  # a terminal stands in
        monkeypatch.setattr("sys.stdin", stdin)
        server.asked.clear()
        server.on("POST", "/v1/stores:import", question, Answer(200, REPORT))
        assert resedge("import", "stores", str(tmp_path / "stores.csv")).code == code
        assert len(server.asked) == sent
    keys = {each.headers["idempotency-key"] for each in server.asked}
    assert len(keys) == 2


@pytest.mark.parametrize(
    ("name", "kind"),
    [("S.CSV", "text/csv"), ("s.tsv", "text/csv"), ("s.NDJSON", "application/x-ndjson"), ("s.xlsx", ""), ("s.txt", "")],
)
def test_what_a_list_is_is_told_by_its_name(
    resedge: Resedge, server: FakeServer, tmp_path: Path, name: str, kind: str
) -> None:
    (tmp_path / name).write_text("name\nx\n")
    server.on("POST", "/v1/stores:import", Answer(200, {"created": 1}))
    ran = resedge("import", "stores", str(tmp_path / name))
    assert ran.code == (0 if kind else 2)
    assert [each.headers["content-type"] for each in server.asked] == ([kind] if kind else [])
    assert ("save it as CSV UTF-8" in ran.err) is name.endswith("xlsx")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(("text", "kind"), [('{"name": "x"}\n', "application/x-ndjson"), ("name\nx\n", "text/csv")])
def test_what_comes_from_stdin_is_told_by_its_first_character(
    resedge: Resedge, server: FakeServer, monkeypatch: pytest.MonkeyPatch, encoding: str, text: str, kind: str
) -> None:
    server.on("POST", "/v1/stores:import", Answer(200, {"created": 1}))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode(encoding))))
    assert resedge("import", "stores", "-").code == 0
    assert server.asked[0].headers["content-type"] == kind
