import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from libs.contracts import StoreDeclared, encode, type_name
from libs.eventlog import ChainProblem, EventLog, NewEvent, Submission, Verification
from services.audit.domain import event_as_json, verdict
from services.audit.reading import Tail


async def never() -> bool:
    return False


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[EventLog]:
    opened = EventLog.open(f"sqlite:///{tmp_path / 'log.db'}", clock=lambda: datetime(2026, 11, 24, tzinfo=UTC))
    yield opened
    await asyncio.to_thread(opened.close)


async def append(log: EventLog, *names: str) -> None:
    events = [StoreDeclared(name, "UTC") for name in names]
    await log.append_async(
        Submission([NewEvent(f"store-{each.name}", type_name(each), encode(each)) for each in events], "ada")
    )


async def test_an_event_is_shown_whole(log: EventLog) -> None:
    await append(log, "a")
    found = event_as_json(log.read(0)[0])
    assert (found["position"], found["stream"], found["version"], found["actor"]) == (1, "store-a", 1, "ada")
    assert (found["time"], found["data"]["timezone"]) == ("2026-11-24T00:00:00Z", "UTC")
    assert found["hash"] == log.hash_at(1).hex()


async def test_a_follower_gets_what_was_and_what_comes(log: EventLog) -> None:
    tail = Tail(log)
    await tail.start()
    await append(log, "a", "b")
    following = tail.follow(1, never)
    assert (await anext(following)).position == 2
    coming = asyncio.ensure_future(anext(following))
    await asyncio.sleep(0.05)  # nothing comes while nothing is appended
    assert not coming.done()
    await append(log, "c")
    assert (await asyncio.wait_for(coming, 1)).stream == "store-c"
    await tail.stop()
    with pytest.raises(StopAsyncIteration):
        await asyncio.wait_for(anext(following), 2)


async def test_a_follower_that_went_away_is_forgotten(log: EventLog) -> None:
    tail = Tail(log)
    await tail.start()

    async def gone() -> bool:
        return True

    assert [event async for event in tail.follow(0, gone)] == []
    assert not tail._waiting
    await tail.stop()


async def test_a_verification_says_where_the_problem_is() -> None:
    assert verdict(Verification(ok=True, events=3, position=3, problem=None))["ok"]
    broken = verdict(Verification(ok=False, events=1, position=1, problem=ChainProblem(2, "the hash differs")))
    assert (broken["ok"], broken["checks"][0]["detail"]) == (False, "position 2: the hash differs")
