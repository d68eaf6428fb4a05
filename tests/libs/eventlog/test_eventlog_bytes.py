"""The log's exact bytes and its portable SQL: what must not change by accident."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

import libs.eventlog
from libs.contracts import StoreDeclared
from libs.contracts.crash import at_crash_point, crash_point
from libs.eventlog import GENESIS, EventLog, UnknownLogFormat
from libs.eventlog.dialects import PARAMETERS_MAX, SQLite, dialect_for
from libs.eventlog.envelope import Envelope, chain, decode_envelope, encode_envelope
from libs.eventlog.schema import FORMAT
from tests.support.feeds import append, log_of, ticking_clock
from tests.support.submissions import submission, taken

NOW = datetime(2026, 12, 24, 18, 30, 0, 250_000, tzinfo=UTC)


def test_an_envelope_has_these_bytes() -> None:
    full = Envelope(7, "e1", "store-a", 2, "T.v1", NOW, "anna", "k", None, "c1", "c2", "00-1", ("ab",))

    assert encode_envelope(full) == (
        b'{"position":7,"epoch":"e1","stream":"store-a","version":2,"type":"T.v1","time":"2026-12-24T18:30:00.250000Z",'
        b'"actor":"anna","key":"k","correlation":"c1","causation":"c2","traceparent":"00-1","blobs":["ab"]}'
    )
    assert decode_envelope(encode_envelope(full)) == full
    assert b"correlation" not in encode_envelope(Envelope(7, "e1", "store-a", 2, "T.v1", NOW, "anna"))


def test_the_chain_is_sha256_over_previous_hash_and_length_prefixed_bytes() -> None:
    expected = hashlib.sha256(GENESIS + b"\0\0\0\0\0\0\0\x02{}" + b"\0\0\0\0\0\0\0\x03abc").digest()

    assert chain(GENESIS, b"{}", b"abc") == expected
    assert chain(GENESIS, b"{}a", b"bc") != expected


def test_the_stored_bytes_alone_give_the_chain() -> None:
    log = log_of(("store-a", StoreDeclared("a", "UTC")), ("store-b", StoreDeclared("b", "UTC")))
    previous = GENESIS
    for *_, envelope, data, _hash in log._reader.rows(0, 2):
        previous = hashlib.sha256(
            previous + len(envelope).to_bytes(8, "big") + envelope + len(data).to_bytes(8, "big") + data
        ).digest()

    assert log.head().hash == previous
    log.close()


def test_temporary_logs_share_nothing_and_leave_nothing() -> None:
    one, other = log_of(), log_of()
    taken(one, "store-a")
    assert isinstance(one._dialect, SQLite)
    directory = one._dialect._temporary
    assert directory is not None

    assert (one.head().position, other.head().position) == (1, 0)

    one.close()
    other.close()
    assert not directory.exists()


def test_a_log_of_another_format_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'log.db'}"
    EventLog.open(url, clock=ticking_clock()).close()
    with dialect_for(url).writer().connect() as connection:
        connection.exec_driver_sql(f"UPDATE head SET format = {FORMAT + 1}")  # noqa: S608 - a number of ours

    with pytest.raises(UnknownLogFormat, match=f"format {FORMAT + 1}"):
        EventLog.open(url, clock=ticking_clock())


def test_other_databases_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no event log on 'mysql'"):
        dialect_for("mysql://host/db")


def test_statements_are_such_that_sql_server_takes_them() -> None:
    folder = Path(libs.eventlog.__file__).parent
    for path in folder.glob("*.py"):
        source = path.read_text()
        found = re.findall(r"\b(RETURNING|MERGE|ON CONFLICT|LIMIT \?|FOR UPDATE|INSERT OR)\b", source)
        assert not found, (path.name, found)
    assert PARAMETERS_MAX <= 2_100


def test_a_crash_point_kills_the_process_at_the_count_that_the_environment_names() -> None:
    script = (
        "from libs.contracts.crash import crash_point as c\nfor n in range(3): print(n, flush=True); c('x'); c('y')"
    )

    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "RESEDGE_CRASH_AT": "x:2", "PYTHONPATH": "."},
        capture_output=True,
        check=False,
        text=True,
    )

    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "0\n1\n")


def test_a_crash_point_calls_what_a_test_put_there_and_only_as_long() -> None:
    passed: list[str] = []
    with at_crash_point("x", lambda: passed.append("outer")):
        with at_crash_point("x", lambda: passed.append("inner")):
            crash_point("x")
        crash_point("x")
    crash_point("x")

    assert passed == ["inner", "outer"]


def test_the_same_history_has_the_same_bytes_whatever_process_wrote_it() -> None:
    def heads() -> bytes:
        log = EventLog.open("sqlite://", clock=ticking_clock(), ids=lambda: "fixed")
        append(log, ("store-a", StoreDeclared("a", "UTC")))
        log.append(submission("store-b", key="k"))
        head = log.head().hash
        log.close()
        return head

    assert heads() == heads()
