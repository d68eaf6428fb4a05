"""`resedge admin`: the log's database is set up and looked after without a server."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.__main__ import main
from libs.eventlog import EventLog
from libs.eventlog.dialects.sqlserver import DURABLE, SNAPSHOT_ON
from tests.conformance.sqlserver_double import Double
from tests.support.feeds import ticking_clock
from tests.support.submissions import taken

SQL_SERVER = "mssql+pyodbc://resedge:s3cret-password@sql.example/resedge"
PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "log-on-sql-server.md"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    for name in [name for name in os.environ if name.startswith("RESEDGE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["admin", *arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def double(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Double:
    """A SQL Server behind every URL of one, as its administrator finds it: no row versions."""
    double = Double(tmp_path / "sqlserver.db", snapshot=False)
    monkeypatch.setitem(sys.modules, "pyodbc", double)
    return double


def test_a_log_is_created_once(run: Run, tmp_path: Path) -> None:
    assert run("init-log", "--data-dir", str(tmp_path)) == (0, "", "event log created\n")
    assert run("init-log", "--data-dir", str(tmp_path)) == (0, "", "event log already exists\n")
    assert EventLog.open(f"sqlite:///{tmp_path / 'log.db'}", clock=ticking_clock(), create=False).head().position == 0


def test_the_database_options_are_a_step_of_their_own(
    run: Run, double: Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESEDGE_LOG_URL", SQL_SERVER)

    code, out, err = run("init-log")

    assert (code, out) == (1, "")
    assert "READ_COMMITTED_SNAPSHOT is off" in err
    assert SNAPSHOT_ON in err
    assert "s3cret" not in err
    assert not [statement for statement in double.statements() if statement.startswith("ALTER")]
    code, _, err = run("init-log", "--database-options")
    assert (code, err) == (0, f"changed: {SNAPSHOT_ON}\nevent log already exists\n")
    assert [statement for statement in double.statements() if statement.startswith("ALTER")] == [SNAPSHOT_ON]
    assert run("init-log") == (0, "", "event log already exists\n")


def test_a_new_database_is_made_ready_in_one_step(run: Run, double: Double) -> None:
    double.durability = 2

    code, _, err = run("init-log", "--database-options", "--url", SQL_SERVER)

    assert (code, err) == (0, f"changed: {SNAPSHOT_ON}\nchanged: {DURABLE}\nevent log created\n")


def test_the_log_is_used_where_the_setting_says(
    run: Run, double: Double, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "log-url"
    secret.write_text(f"{SQL_SERVER}\n")
    monkeypatch.setenv("RESEDGE_LOG_URL_FILE", str(secret))
    double.snapshot = True
    assert run("init-log")[0] == 0
    log = EventLog.open(SQL_SERVER, clock=ticking_clock(), create=False)
    taken(log, "store-a")

    code, out, err = run("new-epoch", "--reason", "restored from Monday", "--actor", "anna")

    assert (code, err, out.strip()) == (0, "", log.head().epoch)
    assert [(event.stream, event.actor) for event in log.read(1)] == [("log-epochs", "anna")]
    log.close()


def test_the_statements_can_be_printed_for_whoever_may_run_them(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyodbc", None)

    code, out, err = run("init-log", "--print", "--url", SQL_SERVER)

    assert (code, err) == (0, "")
    assert out.startswith(f"-- The database's options, by an administrator:\n{SNAPSHOT_ON};\n")
    assert "PRIMARY KEY NONCLUSTERED (idempotency_key)" in out
    assert "ALTER DATABASE" not in run("init-log", "--print", "--url", "postgresql://h/d")[1]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["init-log"], 2, "which log?"),
        (["init-log", "--url", "x", "--data-dir", "y"], 2, "name two logs"),
        (["init-log", "--url", "no url"], 2, "cannot be understood"),
        (["init-log", "--url", "mysql://h/d"], 2, "no event log on 'mysql'"),
        (["new-epoch", "--data-dir", ".", "--reason", "r"], 1, "holds no event log"),
        (["new-epoch", "--data-dir", "."], 2, "--reason"),
        (["new-epoch", "--data-dir", ".", "--reason", " "], 2, "a new epoch needs a reason"),
    ],
)
def test_what_cannot_be_done_is_said(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, says: str
) -> None:
    monkeypatch.chdir(tmp_path)

    got, out, err = run(*arguments)

    assert (got, out) == (code, "")
    assert says in err


def test_a_missing_driver_is_said(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyodbc", None)

    code, _, err = run("init-log", "--url", SQL_SERVER)

    assert code == 1
    assert "install `unixodbc` and Microsoft's `msodbcsql18`" in err
    assert "s3cret" not in err


def test_the_commands_of_the_page_do_what_it_says(run: Run, double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"```console\n(.*?)```", PAGE.read_text(), re.DOTALL)
    lines = iter("".join(blocks).splitlines())
    told, ran = "", 0
    for line in lines:
        if (found := re.match(r"\$ export (RESEDGE_LOG_URL)='(.*)'", line)) is not None:
            monkeypatch.setenv(*found.groups())
        elif line.startswith("$ .venv/bin/resedge admin "):
            code, out, err = run(*shlex.split(line.removeprefix("$ .venv/bin/resedge admin ")))
            assert code == 0, err
            told, ran = out + err, ran + 1
        elif not line.startswith(("$ ", "    ")):
            assert line in told.splitlines()

    assert ran == 3
    assert double.snapshot


def test_a_service_that_cannot_have_its_log_says_why_and_ends(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RESEDGE_")}
    environment |= {
        "RESEDGE_DATA_DIR": str(tmp_path),
        "RESEDGE_LOG_URL": f"{SQL_SERVER}?driver=No such driver",
        "PYTHONPATH": str(PAGE.parents[2]),
    }
    ended = subprocess.run(
        [sys.executable, "-m", "services.inventory"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("error: ")
    assert ended.stderr.rstrip().endswith("Microsoft's `msodbcsql18`")
    assert "Traceback" not in ended.stderr
