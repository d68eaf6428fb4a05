"""Every type of the log's columns comes back as it went in, on every dialect: times, names, bytes and numbers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from libs.eventlog import AlreadyAppended, EventLog, NewEvent, Submission
from tests.conformance.conftest import Database
from tests.support.submissions import TYPE, taken

EVERY_BYTE = bytes(range(256)) * 64


@pytest.mark.parametrize("microsecond", [0, 1, 9, 10, 100_000, 999_999])
def test_a_recorded_time_comes_back_to_the_microsecond(database: Database, microsecond: int) -> None:
    times = [datetime(2026, 3, 29, 1, 59, 59, microsecond, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)]
    clock = iter(times)
    log = EventLog.open(database.url, clock=lambda: next(clock))
    for number in range(2):
        taken(log, "store-a", key=f"k{number}", content_digest="d")

    assert [event.recorded_at for event in log.read(0)] == times
    assert log.outcome_of("k0") == AlreadyAppended(1, 1, times[0], {"store-a": 1}, b"", "d")
    assert (log.position_at(times[0]), log.position_at(times[0] - timedelta(microseconds=1))) == (1, 0)
    assert log.head().recorded_at == times[1]
    assert log.verify().ok
    log.close()


def test_names_and_bytes_come_back_exactly(log: EventLog) -> None:
    names = ["store-it's", "store-日本", "store-\U0001f3ea", "store-?", "store-%s", "store-A", "store-a"]
    names.append("store-" + "x" * 506)
    taken(log, *names, key="clé;--", answer=EVERY_BYTE)
    log.append(Submission([NewEvent("store-a", TYPE, EVERY_BYTE), NewEvent("store-a", TYPE, b"")], "test"))

    assert [event.stream for event in log.read(0, len(names))] == names
    assert [event.data for event in log.read(len(names))] == [EVERY_BYTE, b""]
    outcome = log.outcome_of("clé;--")
    assert outcome is not None
    assert (outcome.answer, outcome.versions) == (EVERY_BYTE, dict.fromkeys(names, 1))
    assert log.outcome_of("CLÉ;--") is None
    assert [event.version for event in log.read_stream("store-a")] == [1, 2, 3]
    assert log.verify().ok


def test_a_lease_lasts_beyond_what_32_bits_hold(log: EventLog) -> None:
    days_100 = 100 * 86_400.0
    lease = log.acquire_lease("writer-é", "holder's", days_100)
    assert lease is not None

    assert log.renew_lease(lease, days_100)
    assert log.acquire_lease("writer-é", "other", days_100) is None
    assert log.acquire_lease("writer-É", "other", days_100) is not None
