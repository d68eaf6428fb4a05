"""`resedge confirm`: let the removals of one held plan go on."""

from typing import Annotated

import typer

from cli.changes import ChangeFormat, ChangeOutput, tell_answer
from cli.client import path_of
from cli.options import Reason, verb_app
from cli.session import session_of

app = verb_app()


@app.command()
def confirm(
    ctx: typer.Context,
    plan: Annotated[str, typer.Argument(metavar="PLAN-ID", help="From `resedge get holds`.")],
    reason: Reason = "",
    output: ChangeOutput = ChangeFormat.TEXT,
) -> None:
    """Confirm exactly the removals that a plan holds.

    When they have grown since, the id is void and this is refused.
    """
    session = session_of(ctx)
    answer = session.client.change("POST", path_of("holds", plan, "confirm"), {"reason": reason})
    tell_answer(session, f"hold/{plan}", answer, output)
