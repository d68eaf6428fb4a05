"""`resedge admin`: an administrator's work on the databases of the log and of the views.

These verbs need no server: they work before there is one, and while none may run.
"""

from __future__ import annotations

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from cli.errors import CliError, ExitCode, UsageProblem
from cli.options import Reason, verb_app
from cli.session import session_of
from cli.verbs.admin_views import init_views

app = verb_app()
app.command()(init_views)

Url = Annotated[
    str,
    typer.Option("--url", help="The log's database; better in RESEDGE_LOG_URL or RESEDGE_LOG_URL_FILE.", metavar="URL"),
]
DataDir = Annotated[
    Path | None,
    typer.Option("--data-dir", help="The log in this data directory.", metavar="DIR", show_default=False),
]


@app.callback()
def admin() -> None:
    """Set up the databases of the event log and of the views."""


@app.command()
def init_log(
    ctx: typer.Context,
    url: Url = "",
    data_dir: DataDir = None,
    database_options: Annotated[
        bool,
        typer.Option(
            "--database-options", help="First set the database's options; nobody else may be connected to it."
        ),
    ] = False,
    print_only: Annotated[
        bool, typer.Option("--print", help="Only print the statements, for an administrator to run.")
    ] = False,
) -> None:
    """Create missing tables of the event log, and check the settings of the database.

    On SQL Server the database needs READ_COMMITTED_SNAPSHOT, which is set by --database-options or by hand, once.
    """
    from libs.eventlog.creation import init_log as create  # noqa: PLC0415 - loaded only when it is needed: start-up time
    from libs.eventlog.creation import options_sql, schema_sql  # noqa: PLC0415 - start-up time

    place = _place(url, data_dir)
    with _told():
        if print_only:
            options = options_sql(place)
            print(f"-- The database's options, by an administrator:\n{options}\n" if options else "", end="")
            print(schema_sql(place), end="")
            return
        done = create(place, database_options=database_options)
    session = session_of(ctx)
    for statement in done.changed:
        session.say(f"changed: {statement}")
    session.say("event log created" if done.created else "event log already exists")


@app.command()
def new_epoch(
    reason: Reason,
    url: Url = "",
    data_dir: DataDir = None,
    actor: Annotated[str, typer.Option("--actor", help="Who does it; default: your login name.", metavar="NAME")] = "",
) -> None:
    """Begin a new incarnation of the log after it was restored from a backup, and print its name.

    Consumers that are ahead of the restored log then stop with a message, instead of mixing up new and old events.
    """
    from libs.eventlog import EventLog  # noqa: PLC0415 - loaded only when it is needed: start-up time
    from libs.runtime.clock import utc_now  # noqa: PLC0415 - start-up time

    if not reason.strip():
        raise UsageProblem("a new epoch needs a reason", fix="give --reason TEXT")
    place = _place(url, data_dir)
    with _told():
        log = EventLog.open(place, clock=utc_now, create=False)
        try:
            print(log.new_epoch(actor or getpass.getuser(), reason))
        finally:
            log.close()


def _place(url: str, data_dir: Path | None) -> str:
    from libs.runtime.settings import ProcessSettings  # noqa: PLC0415 - loaded only when it is needed: start-up time

    if url and data_dir:
        raise UsageProblem("--url and --data-dir name two logs", fix="give one of them")
    if data_dir:
        return f"sqlite:///{data_dir / 'log.db'}"
    if found := url or ProcessSettings().log_url:
        return found
    raise UsageProblem("which log?", fix="give --url or --data-dir, or set RESEDGE_LOG_URL")


@contextmanager
def _told() -> Iterator[None]:
    """Turn what the database or its driver says into an error for a person, without the URL and its password."""
    from sqlalchemy import exc  # noqa: PLC0415 - start-up time

    from libs.eventlog import (  # noqa: PLC0415 - start-up time
        DatabaseNotReady,
        DriverMissing,
        InvalidSubmission,
        LogUnavailable,
        UnknownLogFormat,
    )

    try:
        yield
    except DatabaseNotReady as refusal:
        raise CliError(str(refusal)) from refusal
    except (DriverMissing, UnknownLogFormat, LogUnavailable) as error:
        raise CliError(str(error), exit_code=_exit_code(error, LogUnavailable)) from error
    except exc.DBAPIError as error:
        raise CliError("the event log's database refuses", why=str(error.orig)) from error
    except exc.ArgumentError as error:
        raise UsageProblem("the log's URL cannot be understood", fix="see docs/reference/settings.md") from error
    except (InvalidSubmission, ValueError) as error:
        raise UsageProblem(str(error)) from error


def _exit_code(error: Exception, unreachable: type[Exception]) -> ExitCode:
    return ExitCode.UNREACHABLE if isinstance(error, unreachable) else ExitCode.FAILED
