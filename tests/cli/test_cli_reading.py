"""`why`, `explain`, `wait`, `log` and `verify`."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from cli.durations import duration_seconds
from tests.cli.cli_server import Answer, Asked, FakeServer, problem

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Resedge

MISSING = {"slot": "edge.labels.size", "in": "Deployment/pos"}
WHY = {
    "cluster": "tx-1",
    "application": "pos-api",
    "gates": [
        {"gate": "registered", "open": True, "reason": "in store tx-1", "since": "2026-11-24T10:00:00Z"},
        {"gate": "values", "open": False, "reason": "no value for ${edge.labels.size}", "evidence": [MISSING]},
        {"gate": "fuse", "open": False, "reason": "held", "evidence": [{"what": "plan ab12", "position": 7}]},
    ],
    "admitted": {"release": "1.3.0", "values": {"a": 1}},
    "target": None,
}


def test_why_marks_the_first_closed_gate_and_indents_its_evidence(resedge: Resedge, server: FakeServer) -> None:
    server.on("GET", "/v1/clusters/tx-1/why", Answer(200, WHY))

    assert resedge("why", "tx-1", "pos-api").out.splitlines() == [
        "pos-api on tx-1",
        "  admitted  release=1.3.0",
        "  target    nothing",
        "",
        "  registered  open    in store tx-1  (since 2026-11-24T10:00:00Z)",
        "> values      closed  no value for ${edge.labels.size}",
        "      slot: edge.labels.size, in: Deployment/pos",
        "  fuse        closed  held",
        "      plan ab12, position: 7",
        "",
        "The first closed gate is values: no value for ${edge.labels.size}",
    ]
    assert server.asked[0].query == {"application": "pos-api"}
    assert json.loads(resedge("why", "tx-1", "pos-api", "-o", "json").out) == WHY


def test_explain_tells_each_term(resedge: Resedge, server: FakeServer) -> None:
    terms = [["size = large", True, "size is large"], {"text": "lanes >= 2", "holds": False, "why": "lanes is 1"}]
    server.on("GET", "/v1/clusters/tx-1/explain", Answer(200, {"holds": False, "terms": terms}))
    ran = resedge("explain", "tx-1", "size = large and lanes >= 2")

    assert [line.split()[0] for line in ran.out.splitlines()] == ["HOLDS", "yes", "no"]
    assert ran.err == "tx-1 is not selected\n"
    assert server.asked[0].query == {"expression": "size = large and lanes >= 2"}


def test_wait_waits_for_the_head_as_of_the_call(resedge: Resedge, server: FakeServer) -> None:
    server.on("GET", "/v1/events", Answer(200, {"items": []}, {"Resedge-Position": "9"}))
    late = problem(504, "timeout", "Not yet.")
    server.on("GET", "/v1/rendering:settled", late, late, Answer(200, {"position": 12, "commit": "abc"}))
    ran = resedge("wait", "--for=rendered", "--timeout", "1m")

    assert (ran.code, ran.out) == (0, "rendered at position 12: abc\n")
    assert [asked.query.get("position") for asked in server.asked] == [None, "9", "9", "9"]


def test_wait_ends_with_7_when_its_time_is_over(resedge: Resedge, server: FakeServer) -> None:
    server.on("GET", "/v1/events", Answer(200, {"items": []}))
    server.on("GET", "/v1/rendering:settled", problem(504, "timeout", "Not yet.", detail="12 clusters differ"))
    ran = resedge("wait", "--for", "rendered", "--timeout", "50ms")

    assert ran.code == 7
    assert "not rendered within 50ms" in ran.err
    assert "12 clusters differ" in ran.err


@pytest.mark.parametrize(("text", "seconds"), [("500ms", 0.5), ("60s", 60), ("1m30s", 90), ("2h", 7200), ("7", 7)])
def test_durations(text: str, seconds: float) -> None:
    assert duration_seconds(text) == seconds


def test_a_duration_that_is_none_and_a_condition_that_is_none_are_usage(resedge: Resedge) -> None:
    assert resedge("wait", "--for=rendered", "--timeout", "soon").code == 2
    assert resedge("wait", "--for=sunrise").code == 2


HEAD = 2_500


def event(position: int) -> dict[str, Any]:
    return {
        "position": position,
        "stream": f"store-tx-{position}",
        "version": 1,
        "type": "dev.resedge.inventory.StoreDeclared.v1",
        "time": "2026-11-24T10:00:00Z",
        "actor": "admin",
        "data": {},
    }


def log(asked: Asked) -> Answer:
    after, limit = int(asked.query["after"]), int(asked.query.get("limit", 0))
    if asked.query.get("follow") == "true":
        lines = [f"id: {n}\ndata: {json.dumps(event(n))}\n\n" for n in range(after, min(after + 3, HEAD + 6)) if n]
        return Answer(200, "".join([": keep-alive\n\n", *lines]), content_type="text/event-stream")
    items = [event(n) for n in range(after + 1, min(after + limit, HEAD) + 1)]
    return Answer(200, {"items": items}, {"Resedge-Position": str(HEAD)})


def positions(out: str) -> list[int]:
    return [json.loads(line)["position"] for line in out.splitlines()]


def test_the_log_is_read_whole_from_anywhere_or_from_its_end(resedge: Resedge, server: FakeServer) -> None:
    server.on("GET", "/v1/events", log)

    assert positions(resedge("log", "-o", "jsonl").out) == list(range(1, HEAD + 1))
    assert positions(resedge("log", "--after", "2490", "-o", "jsonl").out) == list(range(2491, HEAD + 1))
    assert positions(resedge("log", "--after", "5", "--limit", "2", "-o", "jsonl").out) == [6, 7]
    assert positions(resedge("log", "--tail", "3", "-o", "jsonl").out) == [2498, 2499, 2500]
    assert "inventory.StoreDeclared.v1" in resedge("log", "--tail", "1").out


def test_a_followed_log_goes_on_where_the_connection_ended(resedge: Resedge, server: FakeServer) -> None:
    server.on("GET", "/v1/events", log)
    ran = resedge("log", "--follow", "--tail", "2", "--limit", "7", "-o", "jsonl")

    assert ran.code == 0
    assert positions(ran.out) == [2499, 2500, 2501, 2502, 2503, 2504, 2505]


CHECKS = {"ok": True, "checks": [{"check": "chain", "ok": True, "detail": "2500 events"}]}


def test_verify_is_0_when_all_is_as_written(resedge: Resedge, server: FakeServer) -> None:
    server.on("POST", "/v1/log:verify", Answer(200, CHECKS))
    server.on("POST", "/v1/rendering:verify", Answer(200, CHECKS))
    ran = resedge("verify", "--all")

    assert ran.code == 0
    assert ran.out.splitlines()[1].split() == ["yes", "chain", "2500", "events"]
    assert server.asked[-1].query == {"all": "true"}


@pytest.mark.parametrize(
    "found", [{"ok": False, "checks": []}, {"ok": False, "checks": [{"check": "chain", "ok": False, "detail": "at 7"}]}]
)
def test_verify_is_1_when_something_is_not(resedge: Resedge, server: FakeServer, found: dict[str, Any]) -> None:
    server.on("POST", "/v1/log:verify", Answer(200, found))
    server.on("POST", "/v1/rendering:verify", Answer(200, CHECKS))
    ran = resedge("verify", "-o", "json")

    assert ran.code == 1
    assert json.loads(ran.out)["ok"] is False


BROKEN = {
    "code": "verification-broken",
    "title": "The verification could not be finished.",
    "detail": "step fold at position 12: IndexError: index 5 is out of bounds",
    "fix": "read the reason",
    "step": "fold",
    "position": 12,
}


def test_verify_is_1_and_says_where_when_it_cannot_be_finished(resedge: Resedge, server: FakeServer) -> None:
    server.on("POST", "/v1/log:verify", Answer(200, CHECKS))
    server.on("POST", "/v1/rendering:verify", Answer(500, BROKEN))
    ran = resedge("verify")

    assert ran.code == 1
    assert "The verification could not be finished." in ran.err
    assert f"why: {BROKEN['detail']}" in ran.err


def test_verify_offline_needs_no_server(
    resedge: Resedge, server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Offline:
        @staticmethod
        def verify_data_dir(data_dir: Path, every_commit: bool) -> list[dict[str, Any]]:
            return [{"check": "tree", "ok": data_dir == tmp_path and every_commit, "detail": ""}]

    monkeypatch.setitem(sys.modules, "cli.verify_offline", Offline)

    assert resedge("verify", "--data-dir", str(tmp_path), "--all").code == 0
    assert resedge("verify", "--data-dir", str(tmp_path)).code == 1
    assert resedge("verify", "--data-dir", str(tmp_path / "none")).code == 2
    assert server.asked == []
