"""A renderer that stands by answers nothing and writes nothing; it goes on once the other one lets go."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from libs.bus import LogFeed
from libs.eventlog import EventLog
from libs.web.positions import Positions
from libs.web.problems import Problem
from services.rendering.consumer import Rendering
from services.rendering.settings import RenderingSettings
from tests.support.submissions import taken

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HANDOVER_SECONDS_MAX = 10.0


def renderer(log: EventLog, directory: Path, holder: str) -> Rendering:
    settings = RenderingSettings(repository=directory / "gitops.git")
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
    await asyncio.sleep(0.1)

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
