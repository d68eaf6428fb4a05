"""Logs that earlier versions wrote are what they were: verified, folded and shown as then.

What rendering makes of them is in tests/rendering/test_rendering_recorded.py.
"""

from __future__ import annotations

import asyncio
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cli.verify_offline import verify_data_dir
from libs.contracts import event_types
from libs.eventlog import EventLog
from libs.fleet import FleetModel
from libs.runtime.clock import utc_now
from libs.runtime.snapshots import Snapshots
from tests.support.recorded import EVENTS_MAX, RECORDED, answers, expected_of, restore, snapshots_of
from tests.support.shop import opened

Restored = tuple[Path, dict[str, Any], datetime]

LATER = timedelta(minutes=1)
"""A later version may want removals to have been wanted for a while before it holds them; nothing else is due then."""
FIRST_HAS = 27
"""The event types of the first log, which does not list them."""
WORDED = {
    "approvals": {"ended_because"},
    "audit": {"sentence"},
    "blocked": {"reason"},
    "refusals": {"detail"},
    "why": {"reason", "why", "what"},
}
"""Where a view says something in its own words, which later versions may improve; all else is kept as it was."""


def holds(now: Any, then: Any, words: frozenset[str] = frozenset()) -> bool:
    """Whether all that was said then is said now; more may be said, and `words` may be others of the same things."""
    match then:
        case dict():
            return isinstance(now, dict) and all(
                key in now and (alike(now[key], each) if key in words else holds(now[key], each, words))
                for key, each in then.items()
            )
        case list():
            return (
                isinstance(now, list)
                and len(now) == len(then)
                and all(holds(*each, words) for each in zip(now, then, strict=True))
            )
        case _:
            return bool(now == then)


def alike(now: Any, then: Any) -> bool:
    """Whether a sentence still tells every name and number that it told."""
    return isinstance(now, str) and (not then or bool(now)) and told(then) <= told(now)


def told(sentence: str) -> set[str]:
    return set(re.findall(r"[\w-]*\d[\w-]*", sentence))


@pytest.fixture(params=RECORDED, ids=lambda path: path.name)
def recorded(request: pytest.FixtureRequest, tmp_path: Path) -> Restored:
    ends = restore(request.param, tmp_path / "data")
    return tmp_path / "data", expected_of(request.param), ends + LATER


def test_what_was_said_then_has_to_be_said_now() -> None:
    then = {"a": [{"sentence": "removed 3 stores of b-06", "by": "x"}]}
    worded = frozenset({"sentence"})
    assert holds({"a": [{"sentence": "3 stores of b-06 removed", "by": "x", "new": 1}], "b": 1}, then, worded)
    others: tuple[dict[str, Any], ...] = (
        {"a": [{"sentence": "3 stores of b-06 removed", "by": "y"}]},
        {"a": [{"sentence": "4 stores of b-06 removed", "by": "x"}]},
        {"a": [{"sentence": "", "by": "x"}]},
        {"a": []},
        {},
    )
    for now in others:
        assert not holds(now, then, worded), now


def test_every_event_type_is_in_a_recorded_log(recorded: Restored) -> None:
    data_dir, expected, _ = recorded
    log = EventLog.read_only(f"sqlite:///{data_dir / 'log.db'}", clock=utc_now)
    try:
        types = {each.type for each in log.read_recorded(0, EVENTS_MAX)}
        verified = log.verify()
        assert (verified.ok, verified.position) == (True, expected["position"])
        assert log.head().hash.hex() == expected["hash"]
    finally:
        log.close()
    assert types <= set(event_types())
    assert sorted(types) == expected["types"] if "types" in expected else len(types) >= FIRST_HAS


async def test_a_recorded_log_folds_into_the_fleet_that_it_told_of(recorded: Restored) -> None:
    data_dir, expected, _ = recorded
    log = EventLog.read_only(f"sqlite:///{data_dir / 'log.db'}", clock=utc_now)
    try:
        model = FleetModel(log)
        await model.handle(log.read_recorded(0, EVENTS_MAX))
    finally:
        log.close()

    lists = expected["lists"]
    fleet = model.fleet
    assert sorted(fleet.stores) == [each["metadata"]["name"] for each in lists["stores"]]
    assert sorted(fleet.sources) == [each["metadata"]["name"] for each in lists["sources"]]
    assert sorted(fleet.applications) == [each["metadata"]["name"] for each in lists["applications"]]
    assert sorted(map(fleet.selection.name, fleet.selection.everything)) == [each["name"] for each in lists["clusters"]]


def by_gate(why: dict[str, Any]) -> dict[str, Any]:
    """Return an explanation with its gates by name: a later version may have one more."""
    gates = {each["gate"]: each for each in why["gates"]}
    assert len(gates) == len(why["gates"])
    return {**why, "gates": gates}


async def same(data_dir: Path, expected: dict[str, Any], at: datetime) -> None:
    """Start the server soon after the log's end, and hold what it says against what was said then."""
    explained = list(dict.fromkeys(each.partition("/")[0] for each in expected.get("why", ())))
    async with opened(data_dir, at) as server:
        found = await answers(server, explained)
    for name in ("commit", "position", "hash"):
        assert found[name] == expected[name], name
    for name, then in expected["lists"].items():
        assert holds(found["lists"][name], then, frozenset(WORDED.get(name, ()))), name
    for placement, then in expected.get("why", {}).items():
        assert holds(by_gate(found["why"][placement]), by_gate(then), frozenset(WORDED["why"])), placement


async def test_a_recorded_log_is_shown_and_rendered_as_it_was(recorded: Restored) -> None:
    data_dir, expected, now = recorded
    await same(data_dir, expected, now)  # from the log alone
    assert sorted(each.name for each in (data_dir / "snapshots").iterdir()) == ["fleet.snapshot", "rendering.snapshot"]
    await same(data_dir, expected, now)  # from the snapshots of that
    checks = await asyncio.to_thread(verify_data_dir, data_dir, all_commits=True)
    assert [each for each in checks if not each["ok"]] == []


@pytest.mark.parametrize("share_percent", [20, 60])
async def test_a_server_goes_on_from_snapshots_of_an_earlier_position(recorded: Restored, share_percent: int) -> None:
    data_dir, expected, now = recorded
    log = EventLog.read_only(f"sqlite:///{data_dir / 'log.db'}", clock=utc_now)
    try:
        for model in await snapshots_of(log, expected["position"] * share_percent // 100):
            Snapshots(data_dir / "snapshots").save(model)
    finally:
        log.close()

    await same(data_dir, expected, now)
