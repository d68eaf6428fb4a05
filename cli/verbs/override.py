"""`resedge override`: an exception to freezes and calendars, for some time."""

import json
from typing import Annotated

import typer

from cli.approving import tell_what_is_needed
from cli.changes import ChangeFormat, ChangeOutput, tell_answer
from cli.client import ServerAnswer, path_of
from cli.durations import duration_of
from cli.errors import UsageProblem
from cli.options import DryRun, Reason, Ticket, dry, required_reason, verb_app
from cli.session import Session, session_of

app = verb_app()


@app.callback()
def override() -> None:
    """Ask for an exception to a freeze or a calendar, or end one; `resedge get overrides` lists them."""


@app.command()
def request(  # noqa: PLR0913, PLR0917 - they are options; Typer passes them by name
    ctx: typer.Context,
    lasting: Annotated[
        str, typer.Option("--for", help="Duration, from the last grant on: 90m, 4h, 2d.", metavar="DURATION")
    ],
    freeze: Annotated[
        list[str] | None, typer.Option("--freeze", help="A freeze to override; may be repeated.", metavar="NAME")
    ] = None,
    calendar: Annotated[
        list[str] | None, typer.Option("--calendar", help="A calendar to override; may be repeated.", metavar="NAME")
    ] = None,
    where: Annotated[
        str,
        typer.Option(
            "--where", "-l", help="Only these clusters; default: all that it applies to.", metavar="EXPRESSION"
        ),
    ] = "",
    application: Annotated[
        list[str] | None, typer.Option("--application", help="Only this one; may be repeated.", metavar="NAME")
    ] = None,
    reason: Reason = "",
    ticket: Ticket = "",
    break_glass: Annotated[
        bool, typer.Option("--break-glass", help="At once, without approval, at most 4h; needs `break-glass`.")
    ] = False,
    dry_run: DryRun = False,
    output: ChangeOutput = ChangeFormat.NAME,
) -> None:
    """Request an override: write its id to stdout, and the next step to stderr.

    The clusters are those that the expression selects now; later label changes add none. It begins with the last grant.
    """
    session = session_of(ctx)
    if not freeze and not calendar:
        raise UsageProblem(
            "an override is for freezes and calendars of one sign-off", fix="give --freeze NAME or --calendar NAME"
        )
    body = {
        "freezes": freeze or [],
        "calendars": calendar or [],
        "applications": application or [],
        "minutes": duration_of(lasting, "--for") / 60,
        "reason": required_reason(reason, "an override"),
        "ticket": ticket,
        "break_glass": break_glass,
    }
    body |= {"expression": where} if where else {}
    answer = session.client.change("POST", path_of("overrides"), body, params=dry(dry_run))
    if dry_run:
        # It has no id yet that could be written alone.
        how = ChangeFormat.TEXT if output is ChangeFormat.NAME else output
        tell_answer(session, "override", answer, how, dry_run=True)
        return
    _tell(session, answer, output)


def _tell(session: Session, answer: ServerAnswer, how: ChangeFormat) -> None:
    name = str(answer.body.get("id"))
    match how:
        case ChangeFormat.JSON:
            print(json.dumps(answer.body, ensure_ascii=False), flush=True)
        case ChangeFormat.NAME:
            print(name, flush=True)
        case ChangeFormat.TEXT:
            print(f"override/{name} {answer.result}", flush=True)
    session.warn(*answer.warnings)
    if approval := answer.body.get("approval"):
        tell_what_is_needed(session, str(approval))
    else:
        session.say(
            f"in force now, and recorded as break-glass; to end it: resedge override revoke {name} --reason TEXT"
        )


@app.command()
def revoke(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="ID", help="From `resedge get overrides`.")],
    reason: Reason = "",
    ticket: Ticket = "",
    dry_run: DryRun = False,
    output: ChangeOutput = ChangeFormat.TEXT,
) -> None:
    """End an override now, or withdraw one that has not begun."""
    session = session_of(ctx)
    body = {"reason": required_reason(reason, "revoke"), "ticket": ticket}
    path = path_of("overrides", name.removeprefix("override/"), "revoke")
    answer = session.client.change("POST", path, body, params=dry(dry_run))
    tell_answer(session, f"override/{name.removeprefix('override/')}", answer, output, dry_run=dry_run)
