"""`resedge up --at`: a clock that begins where it is told to, runs as fast as it is told to, and never hides it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2
import pytest

from libs.access.principals import Principal
from libs.access.tokens import BadToken
from libs.contracts import StoreDeclared, encode, type_name
from libs.eventlog import EventLog, NewEvent, Submission
from libs.runtime.clock import ClockRefused, VirtualClock, utc_now
from libs.web.application import web_application
from tests.cli.cli_machine import ROOT, Machine
from tests.cli.cli_server import Answer, FakeServer
from tests.cli.conftest import Resedge

PAGE = (ROOT / "docs/how-to/virtual-clock.md").read_text("utf-8")
FRIDAY = datetime(2030, 11, 29, 5, tzinfo=UTC)
AT = "2030-11-28T23:00:00-06:00"
STORE = "kind: Store\nmetadata: {name: tx-1}\nspec: {timezone: America/Chicago}\n"


class NobodyIsKnown:
    async def verify(self, token: str) -> Principal:
        raise BadToken(f"unknown {len(token)}")


class Seconds:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_virtual_clock_runs_as_fast_as_it_is_told() -> None:
    real = Seconds()
    clock = VirtualClock(FRIDAY, 60, real)

    assert clock() == FRIDAY
    real.now += 90
    assert clock() == FRIDAY + timedelta(minutes=90)
    assert clock.told() == "virtual 2030-11-29T06:30:00Z x60"


def test_a_log_that_others_write_or_that_ends_later_is_refused(tmp_path: Path) -> None:
    log = EventLog.open(f"sqlite:///{tmp_path / 'log.db'}", clock=utc_now)
    try:
        VirtualClock(FRIDAY).check(log)
        with pytest.raises(ClockRefused, match="Kafka"):
            VirtualClock(FRIDAY).check(log, "broker:9092")
    finally:
        log.close()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--at", "2030-11-29T05:00:00"], "has no offset"),
        (["--at", "9999-12-31T23:59:59Z"], "not an instant between 1900 and 2199"),
        (["--at", "soon"], "not an instant"),
        (["--at", AT, "--speed", "0"], "above 0 and at most 100,000"),
        (["--at", AT, "--speed", "100001"], "above 0 and at most 100,000"),
        (["--at", AT, "--speed", "-1"], "takes a number"),
        (["--at", AT, "--speed", "fast"], "takes a number"),
        (["--speed", "60"], "give its start with --at"),
    ],
)
def test_a_clock_that_cannot_be_meant_starts_nothing(
    resedge: Resedge, tmp_path: Path, options: list[str], said: str
) -> None:
    ran = resedge("up", "--data-dir", str(tmp_path / "data"), "--port", "0", *options)

    assert (ran.code, ran.out) == (2, "")
    assert said in ran.err
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("variable", "value"), [("RESEDGE_RENDERING_REMOTE", "git@example.com:fleet.git"), ("RESEDGE_KAFKA_SERVERS", "k:1")]
)
def test_a_virtual_clock_reaches_no_store_and_no_broker(tmp_path: Path, variable: str, value: str) -> None:
    machine = Machine(tmp_path)
    ran = machine.process("up", "--data-dir", str(tmp_path / "data"), "--port", "0", "--at", AT, **{variable: value})

    assert ran.code == 1
    assert variable in ran.err
    assert "--at" in ran.err


async def test_every_answer_tells_a_virtual_clock_even_a_failure() -> None:
    clock = VirtualClock(FRIDAY, 1.0, lambda: 0.0)
    app = web_application(title="t", tokens=NobodyIsKnown(), new_id=lambda: "r-1", checks=(), clock_told=clock.told)

    async def fail() -> None:
        raise ZeroDivisionError

    app.add_api_route("/fail", fail)
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://resedge.test") as client:
        for path, status in (("/livez", 200), ("/v1/whoami", 401), ("/nothing", 404), ("/fail", 500)):
            response = await client.get(path)
            assert response.status_code == status
            assert response.headers.get_list("Resedge-Clock") == ["virtual 2030-11-29T05:00:00Z x1"]
            assert response.headers.get_list("X-Request-ID") == ["r-1"]


def test_a_person_is_told_once_a_command(resedge: Resedge, server: FakeServer) -> None:
    told = {"Resedge-Clock": "virtual 2030-11-29T05:00:00Z x60"}
    server.on("GET", "/v1/stores", Answer(200, {"items": [{"metadata": {"name": "tx-1"}}], "next": "1"}, told))
    server.on("GET", "/v1/clusters", Answer(200, {"items": []}))
    ran = resedge("get", "stores", "--limit", "3", "-o", "name")

    assert ran.out == "store/tx-1\n" * 3
    assert ran.err == "notice: the server's clock is virtual 2030-11-29T05:00:00Z x60\n"
    assert "clock" not in resedge("get", "clusters").err


def test_a_fleet_lives_by_the_virtual_clock_and_the_next_start_says_so(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    begun = next(line for line in PAGE.splitlines() if line.startswith("$ .venv/bin/resedge up")).split()[3:]
    assert begun[0] == "--ephemeral"
    with machine.up(*begun[1:]):
        assert "clock virtual 2026-11-27T1" in (tmp_path / "up.log").read_text()
        machine.ok("apply", "-f", "-", stdin=STORE)
        assert machine.resedge("get", "stores").err.startswith("notice: the server's clock is virtual 2026-11-27T1")
        assert "virtual 2026-11-27T1" in json.loads(machine.ok("auth", "whoami", "-o", "json"))["clock"]
        event = json.loads(machine.ok("log", "-o", "jsonl").splitlines()[0])
        assert datetime.fromisoformat(event["time"]) > datetime(2026, 11, 27, 10, 58, tzinfo=UTC)
    up = ("up", "--data-dir", str(tmp_path / "data"), "--port", "0")
    early = machine.process(*up, "--at", "2026-11-01T00:00:00Z")
    assert early.code == 1
    assert "2026-11-27T1" in early.err
    assert "2026-11-01T00:00:00Z" in early.err


def test_a_start_on_a_log_that_ends_in_the_future_says_so(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    (tmp_path / "data").mkdir()
    log = EventLog.open(f"sqlite:///{tmp_path / 'data' / 'log.db'}", clock=lambda: FRIDAY)
    told = StoreDeclared("tx-1", "UTC")
    log.append(Submission([NewEvent("store-tx-1", type_name(told), encode(told))], "ana"))
    log.close()
    with machine.up():
        assert "warning: the log ends at 2030-11-29T05:00:00Z" in (tmp_path / "up.log").read_text()
        assert machine.resedge("get", "stores").err == ""
