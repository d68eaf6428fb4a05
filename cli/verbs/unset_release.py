"""`resedge unset-release`: remove one choice from an application's list."""

from typing import Annotated

import typer

from cli.changes import ChangeFormat, ChangeOutput, tell_answer
from cli.client import path_of
from cli.options import DryRun, Yes, verb_app
from cli.reaching import change_reaching, tell_reach
from cli.session import session_of

app = verb_app()


@app.command()
def unset_release(
    ctx: typer.Context,
    application: Annotated[str, typer.Argument(metavar="APPLICATION")],
    where: Annotated[str, typer.Option("--where", "-l", help="The choice's expression.", metavar="EXPRESSION")],
    yes: Yes = False,
    dry_run: DryRun = False,
    output: ChangeOutput = ChangeFormat.TEXT,
) -> None:
    """Remove the release choice of an expression; earlier choices apply there again. Exits 5 if there is none."""
    session = session_of(ctx)
    path = path_of("applications", application, "release-choices:unset")
    answer = change_reaching(
        session,
        f"removing the choice of {where!r}",
        lambda params: session.client.change("POST", path, {"expression": where}, params=params),
        yes=yes,
        dry_run=dry_run,
    )
    tell_answer(session, f"release-choices/{application}", answer, output, dry_run=dry_run)
    tell_reach(session, answer.body)
