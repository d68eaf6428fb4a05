"""`resedge confirm`: confirm the removals of a held plan, or a withheld change."""

from typing import Annotated

import typer

from cli.changes import ChangeFormat, ChangeOutput, tell_answer
from cli.client import path_of
from cli.errors import UsageProblem
from cli.options import Reason, required_reason, verb_app
from cli.session import session_of

app = verb_app()


@app.command()
def confirm(
    ctx: typer.Context,
    what: Annotated[
        list[str],
        typer.Argument(metavar="PLAN-ID|withheld ID", help="From `resedge get holds`, or from `resedge get withheld`."),
    ],
    reason: Reason = "",
    output: ChangeOutput = ChangeFormat.TEXT,
) -> None:
    """Confirm exactly the removals of a held plan, or a withheld change.

    If the plan has changed, its id is no longer valid and this is refused. A withheld change needs a reason.
    """
    plural, name = _meant(what)
    session = session_of(ctx)
    body = {"reason": required_reason(reason, "confirm withheld") if plural == "withheld" else reason}
    answer = session.client.change("POST", path_of(plural, name, "confirm"), body)
    tell_answer(session, f"{plural.removesuffix('s')}/{name}", answer, output)


def _meant(words: list[str]) -> tuple[str, str]:
    """Return of which list the id is, and the id: `ID`, `hold ID`, `hold/ID`, `withheld ID` or `withheld/ID`."""
    kind, slash, name = words[0].partition("/")
    if not slash and len(words) == 1:
        return "holds", kind
    rest = [name, *words[1:]] if slash else words[1:]
    plural = {"hold": "holds", "holds": "holds", "withheld": "withheld"}.get(kind)
    if plural is None or len(rest) != 1:
        raise UsageProblem(
            "confirm one thing at a time", fix="resedge confirm PLAN-ID, or resedge confirm withheld ID --reason TEXT"
        )
    return plural, rest[0]
