"""What every dialect of the event log must do: order, outcomes, idempotency, leases, limits and reading."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from random import Random
from time import sleep

import pytest

from libs.contracts.crash import at_crash_point
from libs.eventlog import (
    BLOB_BYTES_MAX,
    EVENT_BYTES_MAX,
    GENESIS,
    AlreadyAppended,
    Appended,
    EventLog,
    FencedOut,
    Guard,
    GuardConflict,
    IdempotencyConflict,
    InvalidSubmission,
    LogClosed,
    NewEvent,
    Outcome,
    Submission,
    UnknownLogFormat,
    VersionConflict,
)
from tests.conformance.conftest import Database
from tests.support.feeds import BEGIN, ticking_clock
from tests.support.submissions import TYPE, blob_of, new, submission, taken


def test_an_empty_log_has_a_head_and_is_whole(log: EventLog) -> None:
    head = log.head()

    assert (head.position, head.hash, log.hash_at(0)) == (0, GENESIS, GENESIS)
    assert log.read(0) == []
    assert log.verify().ok


def test_what_was_appended_is_read_back_exactly(log: EventLog) -> None:
    data = '{"name":"ünïcode \u2028"}'.encode()
    outcome = log.append(
        Submission(
            [NewEvent("store-a", TYPE, data), NewEvent("store-b", TYPE, b"\x00\xff")],
            "anna",
            correlation_id="c1",
            causation_id="c2",
            traceparent="00-1-2-03",
            key="k",
        )
    )

    assert outcome == Appended(1, 2, BEGIN, {"store-a": 1, "store-b": 1})
    first, second = log.read(0)
    assert (first.data, second.data) == (data, b"\x00\xff")
    assert (first.actor, first.correlation_id, first.causation_id, first.traceparent) == (
        "anna",
        "c1",
        "c2",
        "00-1-2-03",
    )
    assert (first.recorded_at, first.type, first.stream, first.key) == (BEGIN, TYPE, "store-a", "k")
    assert log.head().hash == second.hash == log.hash_at(2)
    assert first.epoch == log.head().epoch


def test_versions_count_through_a_stream(log: EventLog) -> None:
    taken(log, "store-a", "store-b", "store-a")

    assert taken(log, "store-a", expected={"store-a": 2, "store-b": 1, "store-c": 0}).versions == {"store-a": 3}
    assert log.append(submission("store-a", expected={"store-a": 2})) == VersionConflict("store-a", 2, 3)
    assert log.append(submission("store-b", expected={"store-c": 1})) == VersionConflict("store-c", 1, 0)
    assert [(event.position, event.version) for event in log.read_stream("store-a", 1)] == [(3, 2), (4, 3)]


def test_pages_are_ranges_of_positions(log: EventLog) -> None:
    for start in range(0, 25, 5):
        taken(log, *(f"store-{number}" for number in range(start, start + 5)))

    assert [event.position for event in log.read(7, 5)] == [8, 9, 10, 11, 12]
    assert [event.position for event in log.read(22, 5)] == [23, 24, 25]
    assert [event.position for event in log.read_recorded(23)] == [24, 25]
    assert log.read(25) == []
    with pytest.raises(LookupError):
        log.hash_at(26)


def test_a_guard_refuses_what_rests_on_older_facts(log: EventLog) -> None:
    taken(log, "store-a")
    taken(log, "group-/geo")

    assert log.append(submission("branch-main", guard=Guard(("store", "group"), 1))) == GuardConflict("group", 2)
    assert isinstance(log.append(submission("branch-main", guard=Guard(("store", "freeze"), 1))), Appended)
    assert (log.category_head("store"), log.category_head("branch"), log.category_head("freeze")) == (1, 3, 0)


def test_a_key_answers_with_the_first_outcome(log: EventLog, database: Database) -> None:
    first = taken(log, "store-a", "store-b", "store-a", key="k", answer=b"created")
    again = AlreadyAppended(1, 3, first.recorded_at, {"store-a": 2, "store-b": 1}, b"created")

    def unsigned(outcome: Outcome | None) -> AlreadyAppended:
        assert isinstance(outcome, AlreadyAppended)
        return AlreadyAppended(outcome.first, outcome.last, outcome.recorded_at, outcome.versions, outcome.answer)

    assert unsigned(log.append(submission("store-a", "store-b", "store-a", key="k", answer=b"other"))) == again
    assert log.append(submission("store-c", key="k")) == IdempotencyConflict("k")
    assert unsigned(log.outcome_of("k")) == again
    assert log.outcome_of("other") is None
    reopened = EventLog.open(database.url, clock=ticking_clock(), create=False)
    assert unsigned(reopened.append(submission("store-a", "store-b", "store-a", key="k"))) == again
    reopened.close()
    assert log.head().position == 3


def test_a_content_digest_decides_what_the_same_content_is(log: EventLog) -> None:
    taken(log, "store-a", key="k", content_digest="d1")

    outcome = log.append(submission("store-b", key="k", content_digest="d1", expected={"store-b": 7}))

    assert isinstance(outcome, AlreadyAppended)
    assert outcome.content_digest == "d1"
    assert log.append(submission("store-a", key="k", content_digest="d2")) == IdempotencyConflict("k")


def test_an_answer_without_events_is_remembered_too(log: EventLog, database: Database) -> None:
    first = log.append(submission(key="k0", content_digest="d", answer=b"unchanged"))
    assert first == Appended(1, 0, datetime.fromtimestamp(0, UTC), {})
    appended = taken(log, "store-a")
    second = log.append(submission(key="k1", content_digest="d", answer=b"unchanged", expected={"store-a": 1}))
    assert second == Appended(2, 1, appended.recorded_at, {})
    taken(log, "store-a", "store-b")

    reopened = EventLog.open(database.url, clock=ticking_clock(), create=False)
    for each in (log, reopened):
        for key, last, at in (("k0", 0, first.recorded_at), ("k1", 1, appended.recorded_at)):
            again = AlreadyAppended(last + 1, last, at, {}, b"unchanged", "d")
            assert each.outcome_of(key) == again
            assert each.append(submission(key=key, content_digest="d", answer=b"other")) == again
            assert each.append(submission("store-a", key=key, content_digest="d")) == again
            assert each.append(submission("store-a", key=key)) == IdempotencyConflict(key)
    reopened.close()
    assert log.head().position == 3
    assert log.verify().ok


def test_what_is_remembered_without_events_rests_on_the_same_checks(log: EventLog) -> None:
    taken(log, "store-a", "store-a")

    stale = submission(key="k", content_digest="d", expected={"store-a": 1})
    assert log.append(stale) == VersionConflict("store-a", 1, 2)
    assert log.append(submission(key="k", content_digest="d", guard=Guard(("store",), 1))) == GuardConflict("store", 2)
    assert log.outcome_of("k") is None
    for options in ({}, {"key": "k"}, {"content_digest": "d"}):
        with pytest.raises(InvalidSubmission):
            log.append(submission(**options))


async def test_remembered_answers_and_events_share_a_transaction(log: EventLog) -> None:
    both = [
        submission(f"store-{number}", key=f"k{number}")
        if number % 2
        else submission(key=f"k{number}", content_digest="d")
        for number in range(40)
    ]
    outcomes = [each for each in await asyncio.gather(*map(log.append_async, both)) if isinstance(each, Appended)]

    assert len(outcomes) == 40
    times = {event.position: event.recorded_at for event in log.read(0)}
    for each in outcomes:
        assert each.recorded_at == times.get(each.last, datetime.fromtimestamp(0, UTC))
        assert each.last == each.first - (0 if each.versions else 1)
    assert [log.outcome_of(f"k{number}") is not None for number in range(40)] == [True] * 40
    assert (log.head().position, log.verify().ok) == (20, True)


def test_one_conflict_never_fails_its_neighbours(log: EventLog) -> None:
    outcomes: dict[int, Outcome] = {}

    def call(number: int) -> None:
        stream = f"store-{number // 2}"
        key = f"k{number // 4}" if number % 4 == 3 else None
        outcomes[number] = log.append(submission(stream, expected={stream: 0}, key=key))

    threads = [threading.Thread(target=call, args=(number,)) for number in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for pair in range(32):
        kinds = {type(outcomes[2 * pair]), type(outcomes[2 * pair + 1])}
        assert kinds == {Appended, VersionConflict}
    assert log.head().position == 32
    assert log.verify().ok


def test_the_same_key_from_many_threads_appends_once(log: EventLog) -> None:
    outcomes: list[Outcome] = []
    threads = [
        threading.Thread(target=lambda: outcomes.append(log.append(submission("store-a", key="k")))) for _ in range(24)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["AlreadyAppended"] * 23 + ["Appended"]
    assert log.head().position == 1


def test_a_submission_that_the_database_chokes_on_fails_alone(log: EventLog) -> None:
    chokes = NewEvent("store-bad", TYPE, "not bytes")  # type: ignore[arg-type]  # the mistake is the test
    answers: dict[str, object] = {}
    held = threading.Event()

    def wait() -> None:
        held.wait(5)

    def call(name: str, event: NewEvent) -> None:
        try:
            answers[name] = log.append(Submission([event], "test"))
        except Exception as error:  # noqa: BLE001 the test looks at it
            answers[name] = error

    with at_crash_point("eventlog.after-lock", wait):
        threads = [threading.Thread(target=call, args=("first", new("store-0")))]
        threads += [threading.Thread(target=call, args=(f"good{number}", new(f"store-{number}"))) for number in (1, 2)]
        threads.insert(2, threading.Thread(target=call, args=("bad", chokes)))
        for thread in threads:
            thread.start()
            sleep(0.02)  # each waits for the lock before the next one comes; in another order it proves the same
        held.set()
        for thread in threads:
            thread.join()

    assert isinstance(answers.pop("bad"), Exception)
    assert {type(answer) for answer in answers.values()} == {Appended}
    assert [event.stream for event in log.read(0)] == ["store-0", "store-1", "store-2"]


def test_recorded_time_never_decreases(database: Database) -> None:
    times = iter([BEGIN, BEGIN - timedelta(hours=1), BEGIN + timedelta(microseconds=1)])
    log = EventLog.open(database.url, clock=lambda: next(times))
    for _ in range(3):
        taken(log, "store-a")

    assert [event.recorded_at for event in log.read(0)] == [BEGIN, BEGIN, BEGIN + timedelta(microseconds=1)]
    assert log.verify().ok
    log.close()


def test_a_time_leads_to_the_position_that_stood_then(log: EventLog) -> None:
    for _ in range(10):
        taken(log, "store-a")

    assert log.position_at(BEGIN - timedelta(seconds=1)) == 0
    assert log.position_at(BEGIN) == 1
    assert log.position_at(BEGIN + timedelta(seconds=4.5)) == 5
    assert log.position_at(datetime(2100, 1, 1, tzinfo=UTC)) == 10


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (Submission([], "test"), "at least one event"),
        (Submission([new("store-a", bytes(EVENT_BYTES_MAX + 1))], "test"), "262,145 bytes, over 262,144"),
        (submission("store-a", blobs=blob_of(bytes(BLOB_BYTES_MAX + 1))), "over 4,194,304"),
        (submission("store-a", blobs={"0" * 64: b"x"}), "not named by its SHA-256"),
        (submission("store-" + "x" * 600), "1 to 512 bytes"),
        (submission("store-\0"), "no NUL"),
        (submission("store-\ud800"), "not valid Unicode"),
        (submission("store-a", key="k" * 600), "key"),
        (submission("store-a", answer=bytes(300_000), key="k"), "answer"),
    ],
)
def test_what_is_out_of_bounds_is_refused_before_anything_is_appended(
    log: EventLog, broken: Submission, says: str
) -> None:
    with pytest.raises(InvalidSubmission, match=says):
        log.append(broken)

    assert log.head().position == 0


def test_the_largest_event_and_blob_are_taken(log: EventLog) -> None:
    blobs = blob_of(bytes(BLOB_BYTES_MAX))
    (digest,) = blobs
    event = new("store-a", b"x" * EVENT_BYTES_MAX)

    log.append(Submission([event, event], "test", blobs=blobs))
    log.append(Submission([event], "test", blobs=blobs))

    assert len(log.blob(digest)) == BLOB_BYTES_MAX
    assert [event.blobs for event in log.read(0)] == [(digest,), (), (digest,)]
    assert log.verify().ok
    with pytest.raises(LookupError):
        log.blob("f" * 64)


def test_a_refused_submission_leaves_no_blob(log: EventLog) -> None:
    blobs = blob_of(b"template")
    log.append(submission("store-a", expected={"store-a": 4}, blobs=blobs))

    with pytest.raises(LookupError):
        log.blob(next(iter(blobs)))


def test_an_import_is_one_transaction(log: EventLog, database: Database) -> None:
    count = 60_000 if database.dialect == "sqlite" else 6_000
    streams = [f"store-{number}" for number in range(count)]
    seen: list[int] = []
    log.on_append(seen.append)

    outcome = taken(log, *streams, expected=dict.fromkeys(streams, 0), key="import")

    assert (outcome.first, outcome.last, len(outcome.versions), seen) == (1, count, count, [count])
    again = log.outcome_of("import")
    assert again is not None
    assert again.versions == outcome.versions
    assert log.append(submission(*streams, expected=dict.fromkeys(streams, 0))) == VersionConflict("store-0", 0, 1)
    assert log.verify().ok


def test_a_lease_has_one_holder_and_fences_the_former(log: EventLog) -> None:
    lease = log.acquire_lease("writer", "a", 30)
    assert lease is not None
    assert log.acquire_lease("writer", "b", 30) is None
    assert log.renew_lease(lease, 0.01)
    sleep(0.05)  # it ends by the database's clock, which no test can set
    taken(log, "branch-main", lease=("writer", lease.epoch))

    taken_over = log.acquire_lease("writer", "b", 30)

    assert taken_over is not None
    assert taken_over.epoch > lease.epoch
    assert not log.renew_lease(lease, 30)
    assert not log.release_lease(lease)
    refused = log.append(submission("branch-main", lease=("writer", lease.epoch)))
    assert refused == FencedOut("writer", taken_over.epoch)
    assert log.release_lease(taken_over)
    assert isinstance(log.append(submission("branch-main", lease=("writer", taken_over.epoch))), FencedOut)
    third = log.acquire_lease("writer", "a", 30)
    assert third is not None
    assert third.epoch > taken_over.epoch
    assert log.append(submission("branch-main", lease=("other", 1))) == FencedOut("other", 0)


def test_a_holder_that_starts_again_fences_its_former_self(log: EventLog) -> None:
    before = log.acquire_lease("writer", "a", 30)
    after = log.acquire_lease("writer", "a", 30)

    assert before is not None
    assert after is not None
    assert isinstance(log.append(submission("branch-main", lease=("writer", before.epoch))), FencedOut)
    assert isinstance(log.append(submission("branch-main", lease=("writer", after.epoch))), Appended)


def test_a_new_epoch_is_a_fact_in_the_log(log: EventLog) -> None:
    taken(log, "store-a")
    before = log.head().epoch

    epoch = log.new_epoch("admin", "restored from the backup of Monday")
    taken(log, "store-a")

    assert [event.epoch for event in log.read(0)] == [before, epoch, epoch]
    assert log.read_recorded(1)[0].event.previous == before
    assert log.head().epoch == epoch != before
    assert log.verify().ok


def test_listeners_hear_of_each_commit_until_they_leave(log: EventLog) -> None:
    seen: list[int] = []

    def fail(_position: int) -> None:
        raise ValueError("a listener's fault")

    log.on_append(fail)
    leave = log.on_append(seen.append)
    taken(log, "store-a")
    taken(log, "store-a", "store-b")
    log.append(submission("store-a", expected={"store-a": 9}))
    leave()
    taken(log, "store-a")
    log.close()

    assert seen == [1, 3]
    with pytest.raises(LogClosed):
        log.append(submission("store-a"))


async def test_many_callers_of_one_event_loop(log: EventLog) -> None:
    outcomes = await asyncio.gather(*(log.append_async(submission(f"store-{number}")) for number in range(50)))

    assert sorted(outcome.first for outcome in outcomes if isinstance(outcome, Appended)) == list(range(1, 51))
    with pytest.raises(InvalidSubmission):
        await log.append_async(Submission([], "test"))


def test_reading_never_waits_for_an_append(log: EventLog) -> None:
    taken(log, "store-a")
    seen: list[tuple[int, int]] = []

    with at_crash_point("eventlog.before-commit", lambda: seen.append((log.head().position, len(log.read(0))))):
        taken(log, "store-a")

    assert seen == [(1, 1)]


def test_a_database_without_a_log_is_not_opened_by_accident(database: Database) -> None:
    with pytest.raises(UnknownLogFormat):
        EventLog.open(database.url, clock=ticking_clock(), create=False)


class Naive:
    """The log as a list: what any history of submissions must be answered."""

    def __init__(self) -> None:
        self.streams: list[str] = []
        self.keys: dict[str, tuple[str, ...]] = {}

    def answer(self, streams: tuple[str, ...], asked: Submission) -> str:
        if asked.key in self.keys:
            return "AlreadyAppended" if self.keys[asked.key] == streams else "IdempotencyConflict"
        guard = asked.guard
        if guard and any(each.partition("-")[0] in guard.categories for each in self.streams[guard.position :]):
            return "GuardConflict"
        if any(self.streams.count(stream) != version for stream, version in asked.expected.items()):
            return "VersionConflict"
        self.streams.extend(streams)
        if asked.key:
            self.keys[asked.key] = streams
        return "Appended"


@pytest.mark.parametrize("seed", range(4))
def test_any_history_is_answered_as_a_list_would(log: EventLog, seed: int) -> None:
    random, naive = Random(seed), Naive()
    names = [f"{category}-{number}" for category in ("store", "group") for number in range(3)]
    for _ in range(60):
        streams = tuple(random.choices(names, k=random.randint(1, 4)))
        stream = random.choice(names)
        asked = submission(
            *streams,
            expected={stream: max(0, naive.streams.count(stream) - random.choice((0, 0, 0, 1)))},
            guard=random.choice((None, None, Guard(("group",), max(0, len(naive.streams) - random.randint(0, 3))))),
            key=random.choice((None, None, f"k{random.randint(0, 9)}")),
        )
        assert type(log.append(asked)).__name__ == naive.answer(streams, asked)

    assert [event.stream for event in log.read(0)] == naive.streams
    assert log.verify().ok
