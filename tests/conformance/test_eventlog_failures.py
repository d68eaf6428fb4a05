"""What every dialect of the event log survives: cut connections, killed processes, many writers, tampering."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from sqlalchemy import create_engine, make_url, text

from libs.contracts.crash import arm, at_crash_point
from libs.eventlog import AlreadyAppended, Appended, EventLog, LogUnavailable, VersionConflict
from tests.conformance.conftest import Database
from tests.support.feeds import ticking_clock
from tests.support.submissions import blob_of, submission, taken

_fork = multiprocessing.get_context("fork")

DIGESTS = [next(iter(blob_of(b"manifest %d" % number))) for number in range(5)]
COPY_THE_LAST = (
    "INSERT INTO events SELECT 6, 'store-7', version, type, category, recorded_at, envelope, data, hash"
    " FROM events WHERE position = 5"
)
POINTS = ["before-lock", "after-lock", "after-insert", "before-commit", "after-commit", "before-answer"]


def once(action: Callable[[], None]) -> Callable[[], None]:
    """Return a hook that acts the first time only."""
    left = [action]
    return lambda: left.pop()() if left else None


def break_off() -> None:
    raise ConnectionResetError("cut by the test")


@pytest.mark.parametrize("key", [None, "k"])
@pytest.mark.parametrize("point", POINTS[:-1])
def test_a_connection_that_breaks_anywhere_gives_exactly_one_event(log: EventLog, point: str, key: str | None) -> None:
    taken(log, "store-a")

    with at_crash_point(f"eventlog.{point}", once(break_off)):
        outcome = log.append(submission("store-a", key=key))

    assert isinstance(outcome, Appended)
    assert (outcome.last, log.head().position) == (2, 2)
    assert [event.version for event in log.read(0)] == [1, 2]
    assert log.verify().ok


@pytest.mark.parametrize("point", [point for point in POINTS[:-1] if point != "after-insert"])
def test_a_connection_that_breaks_anywhere_remembers_an_answer_once(log: EventLog, point: str) -> None:
    taken(log, "store-a")

    with at_crash_point(f"eventlog.{point}", once(break_off)):
        outcome = log.append(submission(key="k", content_digest="d", answer=b"unchanged"))

    assert isinstance(outcome, AlreadyAppended if point == "after-commit" else Appended)
    kept = log.outcome_of("k")
    assert kept is not None
    assert (kept.first, kept.last, kept.answer, log.head().position) == (2, 1, b"unchanged", 1)
    taken(log, "store-a")
    assert log.verify().ok


@pytest.mark.parametrize("point", POINTS[:-1])
def test_a_server_that_ends_the_session_gives_exactly_one_event(log: EventLog, database: Database, point: str) -> None:
    taken(log, "store-a")

    with at_crash_point(f"eventlog.{point}", once(database.cut)):
        taken(log, "store-a")
        taken(log, "store-a")

    assert [event.version for event in log.read(0)] == [1, 2, 3]
    assert log.verify().ok


def test_two_submissions_that_are_alike_are_not_taken_for_each_other(database: Database) -> None:
    """A cut-off transaction is recognised by its chain hash: equal content at an equal time must not share one."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    one, other = (EventLog.open(database.url, clock=lambda: now) for _ in range(2))

    def cut_and_overtake() -> None:
        one._appender._writer.forget()  # the transaction is rolled back, as a server does
        taken(other, "store-a")
        break_off()

    with at_crash_point("eventlog.before-commit", once(cut_and_overtake)):
        taken(one, "store-a")

    assert [event.version for event in one.read(0)] == [1, 2]
    one.close()
    other.close()


@pytest.mark.parametrize("point", POINTS[:-1])
def test_an_interrupted_caller_leaves_the_log_to_the_others(log: EventLog, point: str) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with at_crash_point(f"eventlog.{point}", once(interrupt)), pytest.raises(KeyboardInterrupt):
        log.append(submission("store-a", "store-a"))
    before = log.head().position

    assert taken(log, "store-b").first == before + 1
    assert before == (2 if point == "after-commit" else 0)
    assert log.verify().ok


@pytest.mark.parametrize("committed", [False, True])
def test_an_unknown_outcome_is_told_and_a_retry_with_the_key_settles_it(log: EventLog, *, committed: bool) -> None:
    log._appender._waits_seconds = (0.0, 0.0)
    point = "eventlog.after-commit" if committed else "eventlog.before-commit"
    cut: list[bool] = []

    def cut_off() -> None:
        cut.append(True)
        break_off()

    with (
        at_crash_point(point, cut_off),
        at_crash_point("eventlog.before-lock", lambda: break_off() if cut else None),
        pytest.raises(LogUnavailable, match="unknown"),
    ):
        log.append(submission("store-a", key="k"))

    again = log.append(submission("store-a", key="k"))

    assert isinstance(again, AlreadyAppended if committed else Appended)
    assert log.head().position == 1
    assert log.verify().ok


def _append_three(url: str, setting: str | None) -> None:
    if setting is not None:
        arm(setting)
    log = EventLog.open(url, clock=ticking_clock())
    for number in range(3):
        log.append(submission("store-a", key=f"k{number}"))
    log.close()


@pytest.mark.parametrize("point", POINTS)
def test_a_process_killed_anywhere_leaves_whole_submissions(database: Database, point: str) -> None:
    EventLog.open(database.url, clock=ticking_clock()).close()
    victim = _fork.Process(target=_append_three, args=(database.url, f"eventlog.{point}:2"))
    victim.start()
    victim.join(20)
    assert victim.exitcode == -signal.SIGKILL

    log = EventLog.open(database.url, clock=ticking_clock(), create=False)
    if database.dialect != "sqlite":
        log.acquire_lease("any", "test")  # waits for the head lock, so for the server to end the victim's session
    assert log.head().position == (2 if point in {"after-commit", "before-answer"} else 1)
    assert log.verify().ok
    log.close()
    _append_three(database.url, None)

    log = EventLog.open(database.url, clock=ticking_clock(), create=False)
    assert [event.key for event in log.read(0)] == ["k0", "k1", "k2"]
    assert log.verify().ok
    log.close()


def _write(url: str, writer: int, count: int) -> None:
    """Append to a stream of one's own, and to a shared one with an expected version, until each has `count`."""
    log = EventLog.open(url, clock=lambda: datetime.now(UTC), create=False)
    version = 0
    for number in range(count):
        taken(log, f"own-{writer}", expected={f"own-{writer}": number})
        outcome = None
        while not isinstance(outcome, Appended):
            outcome = log.append(submission("shared-1", f"own-{writer}x", expected={"shared-1": version}))
            version = outcome.actual if isinstance(outcome, VersionConflict) else version + 1
    log.close()


def test_concurrent_writers_leave_no_gap_no_duplicate_and_no_reader_that_skips(
    log: EventLog, database: Database
) -> None:
    count, read, done = 12, [0], threading.Event()
    seen: list[int] = []

    def follow() -> None:
        while not done.is_set() or read[0] < log.head().position:
            for event in log.read(read[0], 50):
                seen.append(event.position)
                read[0] = event.position

    reader = threading.Thread(target=follow)
    processes = [_fork.Process(target=_write, args=(database.url, writer, count)) for writer in range(3)]
    for process in processes:
        process.start()
    reader.start()
    threads = [threading.Thread(target=_write, args=(database.url, writer, count)) for writer in (10, 11)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    for process in processes:
        process.join(30)
    done.set()
    reader.join(30)

    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert seen == list(range(1, 5 * count * 3 + 1))
    assert len(log.read_stream("shared-1")) == 5 * count
    assert log.verify().ok


def _open_and_append(url: str) -> None:
    log = EventLog.open(url, clock=lambda: datetime.now(UTC))
    taken(log, "store-a")
    log.close()


def test_processes_that_create_the_log_together_make_one(database: Database) -> None:
    processes = [_fork.Process(target=_open_and_append, args=(database.url,)) for _ in range(6)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)

    log = EventLog.open(database.url, clock=ticking_clock(), create=False)
    assert [process.exitcode for process in processes] == [0] * 6
    assert [event.version for event in log.read(0)] == [1, 2, 3, 4, 5, 6]
    assert {event.epoch for event in log.read(0)} == {log.head().epoch}
    log.close()


def tampered(log: EventLog, database: Database, *statements: str) -> tuple[int, str]:
    """Run statements behind the log's back and return the problem that `verify` finds."""
    engine = create_engine(make_url(database.url).difference_update_query(["sslmode"]))
    with engine.begin() as connection:
        for said in statements:
            statement = said
            if database.dialect == "sqlserver":  # a datetime2: by the least that it can hold
                statement = said.replace("recorded_at + 1", "DATEADD(nanosecond, 100, recorded_at)")
            changed = connection.execute(text(statement)).rowcount
            assert changed == 1, statement
    engine.dispose()
    verification = log.verify()
    assert not verification.ok
    assert verification.problem is not None
    return verification.problem.position, verification.problem.what


def flip(log: EventLog, database: Database, column: str, find: bytes) -> tuple[int, str]:
    """Flip one bit of the third event, in the byte where `find` begins, and return the problem."""
    engine = create_engine(make_url(database.url).difference_update_query(["sslmode"]))
    with engine.begin() as connection:
        stored = bytes(connection.execute(text(f"SELECT {column} FROM events WHERE position = 3")).scalar_one())  # noqa: S608 - a name of ours
        at = stored.index(find)
        bad = stored[:at] + bytes([stored[at] ^ 1]) + stored[at + 1 :]
        connection.execute(text(f"UPDATE events SET {column} = :bad WHERE position = 3"), {"bad": bad})  # noqa: S608 - a name of ours
    engine.dispose()
    verification = log.verify()
    assert verification.problem is not None
    return verification.problem.position, verification.problem.what


@pytest.fixture
def five(log: EventLog) -> EventLog:
    for number in range(5):
        taken(log, f"store-{number % 2}", actor="anna", blobs=blob_of(b"manifest %d" % number))
    assert log.verify() == log.verify(0, 5)
    return log


@pytest.mark.parametrize(("column", "find"), [("data", b"store"), ("envelope", b"anna"), ("envelope", b'"version"')])
def test_one_flipped_bit_is_found(five: EventLog, database: Database, column: str, find: bytes) -> None:
    assert flip(five, database, column, find) == (
        3,
        "the chain hash does not follow from the previous hash, the envelope and the data",
    )


@pytest.mark.parametrize(
    ("statements", "position", "what"),
    [
        (["DELETE FROM events WHERE position = 5"], 5, "missing"),
        (["DELETE FROM events WHERE position = 3"], 3, "missing"),
        (["DELETE FROM events WHERE position = 1"], 1, "missing"),
        (["UPDATE events SET stream = 'store-9' WHERE position = 3"], 3, "index columns"),
        (["UPDATE events SET type = 'x' WHERE position = 3"], 3, "index columns"),
        (["UPDATE events SET category = 'group' WHERE position = 3"], 3, "index columns"),
        (["UPDATE events SET version = 9 WHERE position = 3"], 3, "index columns"),
        (["UPDATE events SET recorded_at = recorded_at + 1 WHERE position = 3"], 3, "index columns"),
        (["UPDATE events SET hash = (SELECT hash FROM head) WHERE position = 3"], 3, "chain hash"),
        (["UPDATE head SET position = 4"], 5, "past the head"),
        (["UPDATE head SET position = 6"], 6, "missing"),
        (["UPDATE head SET epoch = 'other'"], 5, "epoch"),
        (["UPDATE head SET hash = (SELECT hash FROM events WHERE position = 4)"], 5, "head's hash"),
        (["UPDATE category_heads SET position = 4"], 5, "category"),
        (["DELETE FROM category_heads"], 5, "category"),
        (["INSERT INTO category_heads (category, position) VALUES ('ghost', 2)"], 2, "category 'ghost'"),
        (
            [
                COPY_THE_LAST,
            ],
            6,
            "past the head",
        ),
        (
            [
                COPY_THE_LAST,
                "UPDATE head SET position = 6",
            ],
            6,
            "chain hash",
        ),
        (
            [
                f"UPDATE blobs SET bytes = (SELECT data FROM events WHERE position = 1) WHERE digest = '{DIGESTS[2]}'",  # noqa: S608 - a digest of ours
            ],
            3,
            "has other bytes than its name",
        ),
        ([f"DELETE FROM blobs WHERE digest = '{DIGESTS[4]}'"], 5, "is missing"),  # noqa: S608 - a digest of ours
    ],
)
def test_tampering_is_found(
    five: EventLog, database: Database, statements: list[str], position: int, what: str
) -> None:
    at, says = tampered(five, database, *statements)

    assert (at, what in says) == (position, True), says


def test_a_part_of_the_log_can_be_verified(five: EventLog, database: Database) -> None:
    tampered(five, database, "UPDATE events SET type = 'x' WHERE position = 2")

    assert five.verify(2).ok
    assert five.verify(2, 4) == five.verify(2, 4)
    assert (five.verify(2, 4).events, five.verify(2, 4).position) == (2, 4)
    assert not five.verify(1).ok
