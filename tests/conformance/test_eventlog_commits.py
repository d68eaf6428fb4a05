"""A commit that fails, on every dialect: nothing of it is announced, and the next one is as if it had not been."""

from __future__ import annotations

import random

import pytest

from libs.bus import LogFeed, ModelConsumer
from libs.contracts.crash import at_crash_point
from libs.eventlog import Appended, EventLog, LogUnavailable, trouble_of
from libs.eventlog.appender import WAITS_SECONDS
from tests.support.feeds import ticking_clock
from tests.support.postgres import Cluster
from tests.support.refusing import DISK_FULL, READ_ONLY, Refusal
from tests.support.submissions import submission, taken

POINTS = ("before-lock", "after-lock", "after-insert", "before-commit")
AT_ONCE = tuple(0.0 for _ in WAITS_SECONDS)


def break_off() -> None:
    raise ConnectionResetError("cut by the test")


@pytest.mark.parametrize("point", POINTS)
def test_a_commit_that_fails_announces_nothing(log: EventLog, point: str) -> None:
    heard: list[int] = []
    log.on_append(heard.append)
    log._appender._waits_seconds = AT_ONCE
    taken(log, "store-a")

    for _ in range(2):
        with at_crash_point(f"eventlog.{point}", break_off), pytest.raises(LogUnavailable):
            log.append(submission("store-a", "group-b", key="k"))
        assert (heard, log.head().position, log.category_head("group")) == ([1], 1, 0)

    assert taken(log, "store-a", "group-b", key="k").last == 3
    assert heard == [1, 3]
    assert (log.category_head("store"), log.category_head("group")) == (2, 3)
    assert log.verify().ok


@pytest.mark.parametrize("seed", range(4))
def test_whatever_fails_and_how_often_nothing_is_announced_before_the_log_has_it(log: EventLog, seed: int) -> None:
    dice = random.Random(seed)
    heard: list[tuple[int, int]] = []
    log.on_append(lambda position: heard.append((position, log.head().position)))
    log._appender._waits_seconds = (0.0, 0.0)
    for number in range(12):
        left = dice.choice((0, 1, 2, 3, 4))

        def fail() -> None:
            nonlocal left
            left -= 1
            if left >= 0:
                break_off()

        with at_crash_point(f"eventlog.{dice.choice((*POINTS, 'after-commit'))}", fail):
            try:
                log.append(submission(f"store-{dice.randint(0, 2)}", key=f"k{number}"))
            except LogUnavailable:
                continue

    assert all(position <= durable for position, durable in heard), heard
    assert [position for position, _ in heard] == sorted({position for position, _ in heard})
    assert log.verify().ok


@pytest.mark.parametrize(("state", "says"), [(DISK_FULL, "its disk is full"), (READ_ONLY, "its disk is read-only")])
async def test_a_commit_that_postgresql_refuses_through_all_retries_stops_nobody(
    postgres: Cluster, state: str, says: str
) -> None:
    url = postgres.new_database()
    log = EventLog.open(url, clock=ticking_clock())
    refusal = Refusal(postgres, url, state)
    log._appender._waits_seconds = AT_ONCE
    heard: list[int] = []
    log.on_append(heard.append)
    seen: list[int] = []
    feed = LogFeed(log, [ModelConsumer("model", log, lambda recorded: seen.append(recorded.position))])
    await feed.start()
    await log.append_async(submission("store-a"))
    tries: list[str] = []
    count = at_crash_point("eventlog.before-commit", lambda: tries.append("commit"))
    with refusal.refusing(), count, pytest.raises(LogUnavailable) as away:
        await log.append_async(submission("store-b", key="k"))
    trouble = trouble_of(away.value)
    assert trouble is not None
    assert (trouble.what, len(tries)) == (says, len(WAITS_SECONDS) + 1)
    assert not await feed.reached("model", 2, 0.5)
    assert (heard, feed.states()[0].stopped, feed.states()[0].failing) == ([1], None, None)

    outcome = await log.append_async(submission("store-b", key="k"))

    assert isinstance(outcome, Appended)
    assert await feed.reached("model", 2, 10)
    await feed.stop()
    assert (heard, seen, log.verify().ok) == ([1, 2], [1, 2], True)
    log.close()
