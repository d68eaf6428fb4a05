"""A renderer that stands by answers nothing and writes nothing; it goes on once the other one lets go."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from libs.bus import LogFeed
from libs.commands.positions import Positions
from libs.contracts import ClusterSpec, StoreDeclared, WritingRestored
from libs.contracts.problems import Problem
from libs.eventlog import EventLog, LogUnavailable
from services.rendering.consumer import Rendering
from services.rendering.settings import RenderingSettings
from tests.support.feeds import append
from tests.support.submissions import taken
from tests.support.waiting import eventually

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HANDOVER_SECONDS_MAX = 60.0


def renderer(log: EventLog, directory: Path, holder: str, lease_seconds: float = 15.0) -> Rendering:
    settings = RenderingSettings(repository=directory / "gitops.git", lease_seconds=lease_seconds)
    return Rendering(log, directory / holder, settings, lambda: NOW, lambda: 0.0, holder)


async def test_a_renderer_that_stood_by_goes_on_where_the_other_one_ended(tmp_path: Path) -> None:
    log = EventLog.open(f"sqlite:///{tmp_path / 'log.db'}", clock=lambda: NOW)
    taken(log, "store-tx-1")
    first, second = renderer(log, tmp_path, "first"), renderer(log, tmp_path, "second")
    feeds = [LogFeed(log, [each]) for each in (first, second)]
    for each, feed in zip((first, second), feeds, strict=True):
        await feed.start()
        await each.begin()
    positions = Positions()
    positions.attach(feeds[1], floor=log.head().position)
    await asyncio.sleep(0.1)  # it stands by: nothing happens meanwhile

    assert second.reconciler.stopped == ""
    with pytest.raises(Problem) as refused:
        await positions.seen(0, second, seconds=0.1)
    assert refused.value.status == 503

    await feeds[0].stop()
    await first.end()
    async with asyncio.timeout(HANDOVER_SECONDS_MAX):
        await positions.seen(0, second, seconds=HANDOVER_SECONDS_MAX)
    assert second.reconciler.stopped == ""
    assert second.reconciler.lease is not None
    await feeds[1].stop()
    await second.end()
    log.close()


async def test_a_renderer_that_lost_its_lease_stands_by_and_goes_on_where_the_other_one_ended(tmp_path: Path) -> None:
    log = EventLog.open(f"sqlite:///{tmp_path / 'log.db'}", clock=lambda: NOW)
    append(log, ("store-tx-1", StoreDeclared("tx-1", "UTC", clusters=[ClusterSpec("tx-1")])))
    first = renderer(log, tmp_path, "first", lease_seconds=0.3)
    feed = LogFeed(log, [first])
    await feed.start()
    await first.begin()
    assert await feed.reached(first, log.head().position, 10)
    await eventually(lambda: first.reconciler.settled_position >= log.head().position)
    before = first.reconciler.lease
    assert before is not None

    log.release_lease(before)
    other = log.acquire_lease("branch-main", "second", 30)
    assert other is not None
    await eventually(lambda: "on standby" in first.reconciler.stopped)
    append(log, ("store-tx-2", StoreDeclared("tx-2", "UTC", clusters=[ClusterSpec("tx-2")])))
    append(log, ("branch-main", WritingRestored("main", first.model.parent, "a test")))
    assert await feed.reached(first, log.head().position, 10)
    assert "on standby" in first.reconciler.stopped  # what another renderer was told lets this one write nothing
    log.release_lease(other)

    await eventually(lambda: not first.reconciler.stopped)
    append(log, ("store-tx-3", StoreDeclared("tx-3", "UTC", clusters=[ClusterSpec("tx-3")])))
    assert await feed.reached(first, log.head().position, 10)
    await eventually(lambda: first.reconciler.settled_position >= log.head().position)
    assert first.reconciler.lease is not None
    assert first.reconciler.lease.epoch > other.epoch
    assert [first.model.fleet.selection.name(each) for each in first.model.fleet.selection.everything] == [
        "tx-1",
        "tx-2",
        "tx-3",
    ]
    await feed.stop()
    await first.end()
    log.close()


async def test_a_renderer_that_takes_over_a_silent_log_begins_by_itself(tmp_path: Path) -> None:
    log = EventLog.open(f"sqlite:///{tmp_path / 'log.db'}", clock=lambda: NOW)
    append(log, ("store-tx-1", StoreDeclared("tx-1", "UTC", clusters=[ClusterSpec("tx-1")])))
    first = renderer(log, tmp_path, "first", lease_seconds=0.3)
    feed = LogFeed(log, [first])
    await feed.start()
    await first.begin()
    assert await feed.reached(first, log.head().position, 10)
    assert first.reconciler.lease is not None

    log.release_lease(first.reconciler.lease)
    await eventually(lambda: bool(first.reconciler.stopped))
    await eventually(lambda: not first.reconciler.stopped)
    await eventually(lambda: first.position >= log.head().position)
    await feed.stop()
    await first.end()
    log.close()


async def test_a_take_over_that_fails_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = EventLog.open(f"sqlite:///{tmp_path / 'log.db'}", clock=lambda: NOW)
    append(log, ("store-tx-1", StoreDeclared("tx-1", "UTC", clusters=[ClusterSpec("tx-1")])))
    first = renderer(log, tmp_path, "first", lease_seconds=0.3)
    feed = LogFeed(log, [first])
    await feed.start()
    await first.begin()
    assert await feed.reached(first, log.head().position, 10)
    assert first.reconciler.lease is not None
    usual, failures = log.category_head, 0

    def away(category: str) -> int:
        nonlocal failures
        if failures == 0 and category == "branch":
            failures += 1
            raise LogUnavailable("the event log's database does not answer")
        return usual(category)

    monkeypatch.setattr(log, "category_head", away)
    log.release_lease(first.reconciler.lease)
    await eventually(lambda: failures == 1 and not first.reconciler.stopped)
    await feed.stop()
    await first.end()
    log.close()
