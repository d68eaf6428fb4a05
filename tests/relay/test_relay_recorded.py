"""Logs that earlier versions wrote are what they were: verified, folded, shown and rendered as then."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cli.embedded import SERVICES
from cli.verify_offline import verify_data_dir
from libs.contracts import event_types
from libs.eventlog import EventLog
from libs.fleet import FleetModel
from libs.runtime.clock import utc_now
from tests.flow.conftest import running
from tests.support.recorded import answers, restore

RECORDED = sorted((Path(__file__).parents[1] / "data").glob("recorded-log-*"))


def holds(now: Any, then: Any) -> bool:
    """Whether all that was said then is said now; more may be said."""
    match then:
        case dict():
            return isinstance(now, dict) and all(key in now and holds(now[key], each) for key, each in then.items())
        case list():
            return isinstance(now, list) and len(now) == len(then) and all(map(holds, now, then))
        case _:
            return bool(now == then)


@pytest.fixture(params=RECORDED, ids=lambda path: path.name)
def recorded(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Any]:
    restore(request.param, tmp_path / "data")
    return tmp_path / "data", json.loads((request.param / "expected.json").read_text("utf-8"))


def test_every_event_type_is_in_a_recorded_log(recorded: tuple[Path, Any]) -> None:
    log = EventLog.open(f"sqlite:///{recorded[0] / 'log.db'}", clock=utc_now, create=False)
    try:
        events = log.read_recorded(0, 10_000)
        verified = log.verify()
        assert (verified.ok, verified.position) == (True, recorded[1]["position"])
        assert log.head().hash.hex() == recorded[1]["hash"]
        assert {each.type for each in events} <= set(event_types())
        assert len(Counter(each.type for each in events)) >= 27
    finally:
        log.close()


async def test_a_recorded_log_folds_into_the_fleet_that_it_told_of(recorded: tuple[Path, Any]) -> None:
    data_dir, expected = recorded
    log = EventLog.open(f"sqlite:///{data_dir / 'log.db'}", clock=utc_now, create=False)
    try:
        model = FleetModel(log)
        await model.handle(log.read_recorded(0, 10_000))
    finally:
        log.close()

    lists = expected["lists"]
    fleet = model.fleet
    assert sorted(fleet.stores) == [each["metadata"]["name"] for each in lists["stores"]]
    assert sorted(fleet.sources) == [each["metadata"]["name"] for each in lists["sources"]]
    assert sorted(fleet.applications) == [each["metadata"]["name"] for each in lists["applications"]]
    assert sorted(map(fleet.selection.name, fleet.selection.everything)) == [each["name"] for each in lists["clusters"]]


async def test_a_recorded_log_is_shown_and_rendered_as_it_was(recorded: tuple[Path, Any]) -> None:
    data_dir, expected = recorded
    async with running(data_dir, SERVICES) as server:
        found = await answers(server)

    assert (found["commit"], found["position"], found["hash"]) == tuple(
        expected[name] for name in ("commit", "position", "hash")
    )
    for name, then in expected["lists"].items():
        assert holds(found["lists"][name], then), name
    checks = await asyncio.to_thread(verify_data_dir, data_dir, all_commits=True)
    assert [each for each in checks if not each["ok"]] == []
