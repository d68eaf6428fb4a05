"""`get` reads every kind, page by page, in every format."""

from __future__ import annotations

import io
import json
import sys
from typing import Any

import pytest
import yaml

from tests.cli.cli_server import Answer, Asked, FakeServer
from tests.cli.conftest import Resedge

SCALE = 250


def store(number: int) -> dict[str, Any]:
    return {
        "apiVersion": "resedge.dev/v1",
        "kind": "Store",
        "metadata": {"name": f"tx-{number:03}", "labels": {"size": "large", "lanes": "2"}},
        "spec": {"timezone": "America/Chicago", "clusters": [{"name": f"tx-{number:03}"}]},
    }


def paged(asked: Asked) -> Answer:
    """Pages of at most 100, as a server may choose."""
    start, limit = int(asked.query.get("cursor", "0")), min(int(asked.query["limit"]), 100)
    items = [store(number) for number in range(start, min(start + limit, SCALE))]
    following = start + limit
    return Answer(200, {"items": items, "next": str(following) if following < SCALE else None})


@pytest.fixture(autouse=True)
def stores(server: FakeServer) -> None:
    server.on("GET", "/v1/stores", paged)
    server.on("GET", "/v1/stores/tx-001", Answer(200, store(1)))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_pipe_gets_every_page(resedge: Resedge) -> None:
    ran = resedge("get", "stores")

    head, first, *rest = ran.out.splitlines()
    assert (head.split(), first.split()) == (["NAME", "TIMEZONE", "CLUSTERS"], ["tx-000", "America/Chicago", "tx-000"])
    assert (len(rest), ran.err) == (SCALE - 1, "")


def test_a_terminal_gets_the_first_hundred_and_is_told(resedge: Resedge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdout", shown := Terminal())
    ran = resedge("get", "stores")

    assert len(shown.getvalue().splitlines()) == 101
    assert "--all" in ran.err
    monkeypatch.setattr(sys, "stdout", shown := Terminal())
    assert resedge("get", "stores", "--all").err == ""
    assert len(shown.getvalue().splitlines()) == SCALE + 1


def test_every_format_holds_every_item(resedge: Resedge) -> None:
    everything = [store(number) for number in range(SCALE)]

    assert json.loads(resedge("get", "stores", "-o", "json").out) == {"items": everything}
    assert [json.loads(line) for line in resedge("get", "stores", "-o", "jsonl").out.splitlines()] == everything
    assert list(yaml.safe_load_all(resedge("get", "stores", "-o", "yaml").out)) == everything
    assert resedge("get", "stores", "-o", "name").out.split() == [f"store/tx-{n:03}" for n in range(SCALE)]
    assert "lanes=2" in resedge("get", "stores", "-o", "wide").out


def test_one_by_name_is_itself(resedge: Resedge) -> None:
    assert json.loads(resedge("get", "store", "tx-001", "-o", "json").out) == store(1)
    assert resedge("get", "store/tx-001", "-o", "name").out == "store/tx-001\n"
    assert resedge("get", "store", "tx-999").code == 5


def test_limit_where_and_sort(resedge: Resedge, server: FakeServer) -> None:
    assert len(resedge("get", "stores", "--limit", "3", "-o", "name").out.split()) == 3
    assert server.asked[-1].query["limit"] == "3"
    resedge("get", "stores", "-l", "size = large and /g/geo", "--limit", "1")
    assert server.asked[-1].query["where"] == "size = large and /g/geo"
    assert resedge("get", "stores", "--sort", "-name", "--limit", "1", "-o", "name").out == f"store/tx-{SCALE - 1}\n"


def test_nothing_is_said_on_stderr_and_is_no_error(resedge: Resedge, server: FakeServer) -> None:
    server.on("GET", "/v1/refusals", Answer(200, {"items": [], "next": None}))
    ran = resedge("get", "refusals")

    assert (ran.code, ran.out, ran.err) == (0, "", "no refusals\n")


def test_groups_are_named_by_path(resedge: Resedge, server: FakeServer) -> None:
    group = {"kind": "Group", "metadata": {"path": "/geo/us/tx"}, "spec": {"clusters": ["a", "b"]}}
    server.on("GET", "/v1/groups", Answer(200, {"items": [group], "next": None}))
    server.on("GET", "/v1/groups/geo/us/tx", Answer(200, group))

    assert resedge("get", "groups", "-o", "name").out == "group/geo/us/tx\n"
    for name in (["group", "/geo/us/tx"], ["groups", "geo/us/tx"], ["group/geo/us/tx"]):
        assert resedge("get", *name).out.splitlines()[1].split()[:2] == ["/geo/us/tx", "2"]


def test_releases_and_choices_belong_to_an_application(resedge: Resedge, server: FakeServer) -> None:
    release = {"version": "1.4.0", "digest": "sha256:aa"}
    choices = {"choices": [{"expression": "/c/*", "version": "1.4.0"}, {"expression": "size = xl", "version": "1.5.0"}]}
    server.on("GET", "/v1/applications/pos-api/releases", Answer(200, {"items": [release], "next": None}))
    server.on("GET", "/v1/applications/pos-api/releases/1.4.0", Answer(200, release))
    server.on("GET", "/v1/applications/pos-api/release-choices", Answer(200, choices))

    for words in (["releases", "pos-api"], ["releases", "--application", "pos-api"], ["release", "pos-api/1.4.0"]):
        assert resedge("get", *words).out.splitlines()[1].split()[:3] == ["pos-api", "1.4.0", "sha256:aa"]
    rows = [line.split(maxsplit=2) for line in resedge("get", "release-choices", "pos-api").out.splitlines()]
    assert rows == [["ORDER", "VERSION", "EXPRESSION"], ["1", "1.4.0", "/c/*"], ["2", "1.5.0", "size = xl"]]


def test_holds_tell_plan_count_share_cause_and_examples(resedge: Resedge, server: FakeServer) -> None:
    hold = {
        "id": "ab12",
        "count": 700,
        "share_percent": 1.25,
        "cause": "store/tx-1 deleted",
        "examples": ["tx-1", "tx-2"],
    }
    server.on("GET", "/v1/holds", Answer(200, {"items": [hold], "next": None}))

    for cell in ("ab12", "700", "1.25%", "store/tx-1 deleted", "tx-1"):
        assert cell in resedge("get", "holds").out
    assert resedge("get", "hold", "ab12", "-o", "name").out == "hold/ab12\n"
    assert resedge("get", "hold", "ab13").code == 5


def test_a_resolved_configuration_names_the_layer_of_each_key(resedge: Resedge, server: FakeServer) -> None:
    body = {
        "values": {"logLevel": "debug", "tax": {"rate": 0.0825, "a/b": [1, 2]}, "off": {}},
        "origins": {"/logLevel": "pos-texas", "/tax/rate": "pos-texas", "/tax": "release defaults", "/off": "lab"},
        "layers": [],
    }
    server.on("GET", "/v1/configurations:resolve", Answer(200, body))
    ran = resedge("get", "configuration", "--cluster", "tx-1", "--application", "pos-api")

    assert [line.split() for line in ran.out.splitlines()] == [
        ["KEY", "VALUE", "LAYER"],
        ["/logLevel", "debug", "pos-texas"],
        ["/tax/rate", "0.0825", "pos-texas"],
        ["/tax/a~1b", "1,2", "release", "defaults"],
        ["/off", "-", "lab"],
    ]
    assert server.asked[-1].query == {"cluster": "tx-1", "application": "pos-api"}
    assert json.loads(resedge("get", "config", "--cluster", "c", "--application", "a", "-o", "json").out) == body
    assert resedge("get", "configuration", "--cluster", "tx-1").code == 2
