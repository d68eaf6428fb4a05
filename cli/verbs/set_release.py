"""`resedge set-release`: choose which release of an application runs where."""

import time
from typing import Annotated

import typer

from cli.changes import ChangeFormat, ChangeOutput, tell_answer
from cli.client import path_of
from cli.durations import duration_seconds
from cli.errors import UsageProblem
from cli.options import DryRun, Yes, verb_app
from cli.reaching import change_reaching, tell_reach
from cli.session import session_of

app = verb_app()


@app.command()
def set_release(  # noqa: PLR0913, PLR0917 - they are options; Typer passes them by name
    ctx: typer.Context,
    application: Annotated[str, typer.Argument(metavar="APPLICATION")],
    version: Annotated[str, typer.Argument(metavar="VERSION")],
    where: Annotated[
        str,
        typer.Option(
            "--where", "-l", help="Only on the clusters that this selects; default: everywhere.", metavar="EXPRESSION"
        ),
    ] = "",
    strict: Annotated[bool, typer.Option("--strict", help="Also refuse warnings.")] = False,
    yes: Yes = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until it is rendered; exit 3 if it is refused everywhere.")
    ] = False,
    timeout: Annotated[
        str, typer.Option("--timeout", help="How long --wait waits: 500ms, 60s, 5m.", metavar="DURATION")
    ] = "60s",
    dry_run: DryRun = False,
    output: ChangeOutput = ChangeFormat.TEXT,
) -> None:
    """Choose a release everywhere the application is placed, or with -l only on the selected clusters.

    Without -l it replaces all choices. With -l it replaces the choice of the same expression, or is added last.
    It says which clusters get the release and what they had; a terminal is asked above a tenth of the fleet.
    """
    session = session_of(ctx)
    seconds = duration_seconds(timeout)
    if wait and dry_run:
        raise UsageProblem("a dry run changes nothing to wait for", fix="leave out --dry-run or --wait")
    path = path_of("applications", application, "release-choices:set")
    body = {"version": version, "expression": where or None}
    more = {"strict": "true"} if strict else {}
    answer = change_reaching(
        session,
        f"{application} {version}",
        lambda params: session.client.change("POST", path, body, params={**params, **more}),
        yes=yes,
        dry_run=dry_run,
    )
    tell_answer(session, f"release-choices/{application}", answer, output, dry_run=dry_run)
    tell_reach(session, answer.body)
    if wait:
        from cli.verbs.wait import settled, tell_settled  # noqa: PLC0415 - loaded only when it is needed: start-up time

        more = {"counts": "true", "application": application}
        position = answer.position or session.client.last_change
        tell_settled(session, settled(session.client, position, time.monotonic() + seconds, timeout, more))
