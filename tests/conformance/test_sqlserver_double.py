"""The dialect for SQL Server, driven by the real log against a stand-in: what this side sends, and how it fails."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
from sqlalchemy import make_url

from libs.eventlog import (
    Appended,
    Clock,
    DatabaseNotReady,
    DriverMissing,
    EventLog,
    InvalidSubmission,
    LogUnavailable,
    UnknownLogFormat,
)
from libs.eventlog.dialects import SQLServer, dialect_for
from libs.eventlog.dialects.sqlserver import DURABLE, LOCK_HEAD, SESSION, SNAPSHOT_ON, loaded_time, stored_time
from libs.eventlog.envelope import from_microseconds, to_microseconds
from tests.conformance.sqlserver_double import (
    Double,
    Error,
    IntegrityError,
    OperationalError,
    ProgrammingError,
    datetime2_of,
    deadlock,
    failure,
    lost,
)
from tests.support.feeds import ticking_clock
from tests.support.submissions import submission, taken

URL = "mssql+pyodbc://resedge:secret@sql.example:1433/resedge"


def opened(double: Double, *, create: bool = True, clock: Clock | None = None) -> EventLog:
    dialect = SQLServer(make_url(URL), double)
    return EventLog._opened(
        dialect, URL, clock or ticking_clock(), (f"e{n}" for n in itertools.count(1)).__next__, create=create
    )


@pytest.fixture
def double(tmp_path: Path) -> Double:
    return Double(tmp_path / "sqlserver.db")


@pytest.fixture
def log(double: Double) -> Iterator[EventLog]:
    log = opened(double)
    yield log
    log.close()


def failing(double: Double, part: str, error: Callable[[], Error], *, after: bool = False) -> None:
    """Let the next statement that begins with `part` fail, or do its work and then fail."""
    left = [error]

    def hook(statement: str) -> None:
        if statement.startswith(part) and left:
            double.cut()
            make = left.pop()
            raise make()

    if after:
        double.after = hook
    else:
        double.before = hook


def test_an_append_locks_the_head_and_reads_it_back_before_anything_else(log: EventLog, double: Double) -> None:
    taken(log, "store-a")
    double.journal.clear()

    taken(log, "store-a", "store-b", key="k")

    said = [statement.split(" (")[0].split(" VALUES")[0] for statement in double.statements()]
    assert said[0] == LOCK_HEAD
    assert said[1].startswith("SELECT epoch, position, hash, CONVERT(varchar(27), recorded_at, 121) FROM head")
    assert said[-4].startswith("INSERT INTO events")
    assert said[-2].startswith("UPDATE head SET epoch")
    assert said[-1] == "COMMIT"


def test_every_session_is_set_up_before_it_is_used(log: EventLog, double: Double) -> None:
    taken(log, "store-a")
    double.cut()
    taken(log, "store-a")

    ours = double.statements()
    assert ours.index(SESSION) < ours.index(LOCK_HEAD)
    assert ours.count(SESSION) == len(double.connected)
    assert {connection.timeout for connection in double.connections} <= {0, 60}


def test_statements_stay_under_the_limit_of_parameters(log: EventLog, double: Double) -> None:
    taken(log, *(f"store-{number}" for number in range(2_500)))

    assert 1_900 < max(len(values) for _, values in double.journal) <= 2_000
    assert log.head().position == 2_500


def test_any_time_survives_the_way_to_datetime2_and_back() -> None:
    random = Random(7)
    times = [random.randrange(to_microseconds(datetime(9999, 1, 1, tzinfo=UTC))) for _ in range(2_000)]

    assert [loaded_time(datetime2_of(stored_time(time))) for time in times] == times
    assert stored_time(1) == "1970-01-01T00:00:00.000001"
    assert loaded_time("1970-01-01 00:00:00.0000010") == loaded_time("1970-01-01 00:00:00.000001") == 1
    assert from_microseconds(loaded_time("2026-02-28 23:59:59")) == datetime(2026, 2, 28, 23, 59, 59, tzinfo=UTC)


def test_a_tenth_of_a_microsecond_that_somebody_adds_is_found(log: EventLog, double: Double) -> None:
    taken(log, "store-a")
    session = double.connect(URL, timeout=10)
    session.sqlite.execute("UPDATE events SET recorded_at = substr(recorded_at, 1, 26) || '1'")

    problem = log.verify().problem

    assert problem is not None
    assert (problem.position, problem.what) == (1, "the index columns differ from the envelope")


@pytest.mark.parametrize("error", [deadlock, lost])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    "part", [LOCK_HEAD, "SELECT epoch", "SELECT wanted", "INSERT INTO events", "UPDATE head SET e"]
)
def test_a_deadlock_or_a_lost_connection_is_retried(
    log: EventLog, double: Double, part: str, error: Callable[[], Error], *, after: bool
) -> None:
    taken(log, "store-a")
    failing(double, part, error, after=after)

    assert isinstance(log.append(submission("store-a")), Appended)
    assert [event.version for event in log.read(0)] == [1, 2]
    assert log.verify().ok


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("key", [None, "k"])
def test_a_connection_lost_around_commit_gives_exactly_one_event(
    log: EventLog, double: Double, key: str | None, *, after: bool
) -> None:
    taken(log, "store-a")
    failing(double, "COMMIT", lambda: lost("SQLEndTran"), after=after)

    assert isinstance(log.append(submission("store-a", key=key)), Appended)
    assert [event.version for event in log.read(0)] == [1, 2]
    assert log.verify().ok


def test_a_violated_constraint_is_told_at_once(log: EventLog, double: Double) -> None:
    failing(double, "INSERT INTO events", lambda: failure(IntegrityError, "23000", "Violation of UNIQUE KEY", 2627))

    with pytest.raises(IntegrityError):
        log.append(submission("store-a"))

    assert [statement for statement in double.statements() if statement == LOCK_HEAD] == [LOCK_HEAD]
    assert taken(log, "store-a").first == 1


def test_a_database_that_stays_away_is_unavailable_to_readers_and_writers(log: EventLog, double: Double) -> None:
    log._appender._waits_seconds = (0.0,)

    def away(_statement: str) -> None:
        raise failure(ProgrammingError, "42000", "Cannot open database", 4060)

    double.before = away

    with pytest.raises(LogUnavailable):
        log.append(submission("store-a"))
    with pytest.raises(LogUnavailable):
        log.head()
    with pytest.raises(LogUnavailable):
        log.acquire_lease("writer", "a")


@pytest.mark.parametrize(
    ("error", "refused"),
    [
        (failure(IntegrityError, "23000", "Violation of PRIMARY KEY. The duplicate key value is (5).", 2627), True),
        (failure(IntegrityError, "23000", "duplicate key (x (1205) (SQLExecute), 1).", 2601), True),
        (IntegrityError("23000", "[23000] another engine (33557097) (SQLExecDirectW)"), True),
        (failure(ProgrammingError, "42S02", "Invalid object name 'head'.", 208), True),
        (failure(Error, "22001", "String or binary data would be truncated", 2628), True),
        (Error("07002", "[07002] COUNT field incorrect (0) (SQLExecDirectW)"), True),
        (Error("HY004", "Invalid parameter type. param-index=0"), True),
        (deadlock(), False),
        (failure(Error, "40001", "another engine was deadlocked", 40001), False),
        (failure(ProgrammingError, "42000", "Lock request time out period exceeded.", 1222), False),
        (failure(ProgrammingError, "42000", "Cannot continue the execution: session in the kill state.", 596), False),
        (lost(), False),
        (OperationalError("08001", "[08001] TCP Provider: Error code 0x2749 (10061) (SQLDriverConnect)"), False),
        (OperationalError("HYT00", "[HYT00] Login timeout expired (0) (SQLDriverConnect)"), False),
        (failure(Error, "42000", "The transaction log is full", 9002), False),
        (OSError("network is unreachable"), False),
        (Error(), False),
    ],
)
def test_the_number_decides_then_the_sqlstate(tmp_path: Path, error: Exception, *, refused: bool) -> None:
    dialect = SQLServer(make_url(URL), Double(tmp_path / "x.db"))

    assert dialect.refuses(error) is refused
    assert isinstance(error, dialect.failures)


def test_a_later_record_of_the_message_decides_nothing(tmp_path: Path) -> None:
    text = (
        "[23000] [Microsoft][SQL Server]Violation of UNIQUE KEY. The duplicate key value is (1205). (2627)"
        " (SQLExecDirectW); [23000] [Microsoft][SQL Server]The statement has been terminated. (3621)"
    )

    assert SQLServer(make_url(URL), Double(tmp_path / "x.db")).refuses(IntegrityError("23000", text))


def test_a_database_without_row_versions_is_refused_with_what_to_do(double: Double) -> None:
    double.snapshot, double.durability = False, 2
    double.collations.append(("events", "stream", "Latin1_General_CI_AS"))

    with pytest.raises(DatabaseNotReady) as refusal:
        opened(double)

    said = str(refusal.value)
    assert [each.statement for each in refusal.value.shortcomings] == [SNAPSHOT_ON, DURABLE, None]
    assert "READ_COMMITTED_SNAPSHOT is off" in said
    assert "events.stream has the collation Latin1_General_CI_AS, not Latin1_General_BIN2" in said
    assert "resedge admin init-log --database-options" in said


def test_a_database_without_a_log_is_not_taken_for_one(double: Double) -> None:
    with pytest.raises(UnknownLogFormat):
        opened(double, create=False)


@pytest.mark.parametrize("names", [{"stream": "store-a "}, {"key": "k "}, {"stream": "store -a"}])
def test_a_name_that_sql_server_takes_for_another_is_refused(log: EventLog, names: dict[str, str]) -> None:
    """SQL Server compares `'k '` and `'k'` as equal, whatever the collation."""
    with pytest.raises(InvalidSubmission, match="must not end in a space"):
        log.append(submission(names.get("stream", "store-a"), key=names.get("key")))


def test_the_driver_is_microsofts_unless_the_url_says_otherwise(double: Double) -> None:
    opened(double).close()
    text = double.connected[0]
    other = SQLServer(make_url(f"{URL}?driver=FreeTDS&TDS_Version=7.4"), double)
    other.writer().connect().close()

    assert text.startswith(
        "DRIVER={ODBC Driver 18 for SQL Server};Server=sql.example,1433;Database=resedge;UID=resedge"
    )
    assert double.connected[-1].startswith("DRIVER={FreeTDS};")


def test_a_missing_driver_is_named_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    dialect = dialect_for(URL)
    other = dialect_for(f"{URL}?driver=No such driver")
    assert isinstance(dialect, SQLServer)

    monkeypatch.setitem(sys.modules, "pyodbc", None)
    with pytest.raises(DriverMissing, match="install `unixodbc` and Microsoft's `msodbcsql18`"):
        dialect.writer()
    monkeypatch.setitem(sys.modules, "pyodbc", Installed())
    with pytest.raises(DriverMissing, match=r"'No such driver' is not installed \(found: SQLite3\)"):
        other.reader()


class Installed:
    """A pyodbc on a machine with one ODBC driver, which is not Microsoft's."""

    pooling = True

    @staticmethod
    def drivers() -> list[str]:
        return ["SQLite3"]
