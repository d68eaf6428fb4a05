"""The tables and every statement for SQL Server, as files that can be read and reviewed without a server.

After a change that was meant: RESEDGE_GOLDEN=write .venv/bin/pytest tests/conformance/test_sqlserver_golden.py
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sqlalchemy import make_url

from libs.eventlog import EventLog, Guard
from libs.eventlog.creation import options_sql, schema_sql
from libs.eventlog.dialects import SQLServer
from tests.conformance.sqlserver_double import Double, lost
from tests.support.feeds import ticking_clock
from tests.support.submissions import blob_of, submission, taken

GOLDEN = Path(__file__).parent / "golden" / "sqlserver"
URL = "mssql+pyodbc://resedge@sql.example/resedge"


@pytest.fixture
def double(tmp_path: Path) -> Double:
    return Double(tmp_path / "sqlserver.db")


def opened(double: Double) -> EventLog:
    return EventLog._opened(SQLServer(make_url(URL), double), URL, ticking_clock(), lambda: "e1", create=True)


def same_as_golden(name: str, statements: list[str]) -> None:
    """Compare statements, each once, in their order, with the file of that name."""
    assert statements
    text = "".join(f"{statement.strip().removesuffix(';')};\n\n" for statement in dict.fromkeys(statements))
    text = "\n".join(line.rstrip() for line in text.splitlines()).rstrip() + "\n"
    file = GOLDEN / f"{name}.sql"
    if os.environ.get("RESEDGE_GOLDEN") == "write":
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert file.read_text() == text, f"{file} is not what the dialect sends"


def test_the_tables() -> None:
    same_as_golden("schema", [schema_sql(URL)])


def test_opening_and_creating(double: Double) -> None:
    opened(double).close()

    said = double.statements()
    same_as_golden("open", [statement for statement in said if not statement.lstrip().startswith("CREATE")])
    made = [statement for statement in said if statement.lstrip().startswith("CREATE")]
    assert len(made) == schema_sql(URL).count("CREATE")


def test_the_database_options() -> None:
    same_as_golden("database-options", [options_sql(URL)])


def test_an_append(double: Double) -> None:
    log = opened(double)
    lease = log.acquire_lease("writer", "a")
    assert lease is not None
    double.journal.clear()

    taken(log, "store-a", "store-b", key="k", blobs=blob_of(b"x"), guard=Guard(("group",), 0))
    taken(log, "store-a", lease=("writer", lease.epoch))
    log.append(submission("store-a", "store-b", key="k"))
    log.close()

    same_as_golden("append", double.statements())


def test_an_unknown_commit_is_looked_for(double: Double) -> None:
    log = opened(double)
    left = ["cut"]

    def cut(statement: str) -> None:
        if statement == "COMMIT" and left:
            left.pop()
            double.cut()
            raise lost("SQLEndTran")

    double.after = cut
    double.journal.clear()
    taken(log, "store-a")
    log.close()

    said = double.statements()
    same_as_golden("append-again", said[said.index("COMMIT") + 1 :])


def test_leases(double: Double) -> None:
    log = opened(double)
    double.journal.clear()
    lease = log.acquire_lease("writer", "a")
    assert lease is not None
    log.renew_lease(lease)
    log.release_lease(lease)
    log.close()

    same_as_golden("leases", double.statements())


def test_reading(double: Double) -> None:
    log = opened(double)
    taken(log, "store-a", key="k", blobs=blob_of(b"x"))
    double.journal.clear()
    head = log.head()
    log.read(0)
    log.read_stream("store-a")
    log.hash_at(1)
    log.category_head("store")
    log.position_at(head.recorded_at)
    log.outcome_of("k")
    log.blob(next(iter(blob_of(b"x"))))
    log.verify()
    log.close()

    same_as_golden("read", double.statements())
