"""How far the topic is, in the relay's own database: made once, whoever asks first."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from libs.bus import START, Checkpoint, view_engine
from services.relay.outbox import PublishedRecords
from tests.support.postgres import Cluster, cluster

ASKING = 6
ROUNDS = 5


@pytest.fixture(scope="module")
def postgres() -> Iterator[Cluster]:
    with cluster() as running:
        yield running


async def test_who_asks_at_the_same_time_for_the_first_time_is_answered(postgres: Cluster) -> None:
    """The outbox and its figures ask as a relay starts, and two relays may start at once."""
    for _ in range(ROUNDS):
        url = postgres.new_views()
        engines = [view_engine(url) for _ in range(2)]
        try:
            records = [PublishedRecords(engine) for engine in engines]
            kept = await asyncio.gather(*(records[number % 2].kept() for number in range(ASKING)))
            assert kept == [START] * ASKING

            at = Checkpoint("epoch", 7, bytes(range(32)))
            assert await records[0].record(at, 2)
            assert not await records[1].record(Checkpoint("epoch", 5, bytes(32)), 1), "an older fencing epoch"
            assert await records[1].kept() == at
        finally:
            for engine in engines:
                await engine.dispose()
