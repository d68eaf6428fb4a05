"""`resedge gitops`: what concerns the repository that stores pull from."""

from typing import Annotated

import typer

from cli.changes import ChangeFormat, ChangeOutput, tell_answer
from cli.client import LONG_SECONDS
from cli.options import verb_app
from cli.session import session_of

app = verb_app()


@app.callback()
def gitops() -> None:
    """Take care of the GitOps repository."""


@app.command()
def restore(
    ctx: typer.Context,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in the log.", metavar="TEXT")],
    output: ChangeOutput = ChangeFormat.TEXT,
) -> None:
    """Commit what is admitted on top of a foreign commit, and go on writing."""
    session = session_of(ctx)
    answer = session.client.change("POST", "/v1/gitops:restore", {"reason": reason}, read_seconds=LONG_SECONDS)
    tell_answer(session, "gitops", answer, output)
