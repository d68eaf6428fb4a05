"""What every dialect of the event log shows to those that carry its events on and to those that watch it."""

from __future__ import annotations

from libs.eventlog import EventLog
from libs.eventlog.envelope import chain
from tests.support.submissions import submission, taken


def test_the_stored_bytes_can_be_read_as_they_are(log: EventLog) -> None:
    taken(log, "store-a", "store-b", "store-c")

    raw = log.read_raw(0)

    assert [type(part) for row in raw for part in row] == [bytes] * 9
    assert [(data, hash_) for _, data, hash_ in raw] == [(event.data, event.hash) for event in log.read(0)]
    assert [chain(log.hash_at(at), *row[:2]) for at, row in enumerate(raw)] == [hash_ for *_, hash_ in raw]
    assert log.read_raw(1, 1) == raw[1:2]


def test_each_commit_is_measured_until_nobody_asks(log: EventLog) -> None:
    seen: list[tuple[int, int, bool]] = []

    def fail(_events: int, _submissions: int, _seconds: float) -> None:
        raise ValueError("a meter's fault")

    log.on_batch(fail)
    leave = log.on_batch(lambda events, submissions, seconds: seen.append((events, submissions, seconds > 0)))
    taken(log, "store-a", "store-b", key="k")
    log.append(submission("store-a", "store-b", key="k"))
    log.append(submission("store-a", expected={"store-a": 9}))
    taken(log, "store-a")
    leave()
    taken(log, "store-a")

    assert seen == [(2, 1, True), (1, 1, True)]
