"""`resedge set-release`: choose which release of an application runs where."""

from typing import Annotated

import typer

from cli.changes import ChangeFormat, ChangeOutput, tell_answer
from cli.client import path_of
from cli.options import DryRun, dry, verb_app
from cli.session import session_of

app = verb_app()


@app.command()
def set_release(
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
    dry_run: DryRun = False,
    output: ChangeOutput = ChangeFormat.TEXT,
) -> None:
    """Choose a release everywhere the application is placed, or with -l only on the selected clusters.

    Without -l it replaces all choices. With -l it replaces the choice of the same expression, or is added last.
    """
    session = session_of(ctx)
    answer = session.client.change(
        "POST",
        path_of("applications", application, "release-choices:set"),
        {"version": version, "expression": where or None},
        params={**dry(dry_run), **({"strict": "true"} if strict else {})},
    )
    tell_answer(session, f"release-choices/{application}", answer, output, dry_run=dry_run)
