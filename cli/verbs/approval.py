"""`resedge approval`: grant, refuse or withdraw an approval."""

from typing import Annotated, Any

import typer

from cli.approving import tell_what_is_needed
from cli.changes import ChangeFormat, ChangeOutput, tell_answer
from cli.client import path_of
from cli.options import DryRun, Reason, Ticket, dry, required_reason, verb_app
from cli.session import session_of

app = verb_app()

_Approval = Annotated[str, typer.Argument(metavar="ID", help="From `resedge get approvals --mine`.")]
Digest = Annotated[str, typer.Option("--digest", help="Only if the subject still has this digest.", metavar="DIGEST")]


@app.callback()
def approval() -> None:
    """Grant, refuse or withdraw an approval; `resedge get approvals --mine` lists those that wait for you."""


@app.command()
def grant(
    ctx: typer.Context,
    name: _Approval,
    reason: Reason = "",
    ticket: Ticket = "",
    digest: Digest = "",
    dry_run: DryRun = False,
    output: ChangeOutput = ChangeFormat.TEXT,
) -> None:
    """Approve in the current stage; the last vote that is needed starts what was requested."""
    body = {"reason": required_reason(reason, "grant"), "ticket": ticket} | ({"digest": digest} if digest else {})
    result = _say(ctx, name, "grant", body, dry_run=dry_run, how=output)
    if result == "granted" and not dry_run:
        tell_what_is_needed(session_of(ctx), _id(name))


@app.command()
def refuse(
    ctx: typer.Context,
    name: _Approval,
    reason: Reason = "",
    ticket: Ticket = "",
    digest: Digest = "",
    dry_run: DryRun = False,
    output: ChangeOutput = ChangeFormat.TEXT,
) -> None:
    """Reject; this closes the approval."""
    body = {"reason": required_reason(reason, "refuse"), "ticket": ticket} | ({"digest": digest} if digest else {})
    _say(ctx, name, "refuse", body, dry_run=dry_run, how=output)


@app.command()
def withdraw(
    ctx: typer.Context,
    name: _Approval,
    reason: Reason = "",
    ticket: Ticket = "",
    whole: Annotated[bool, typer.Option("--whole", help="Withdraw my request, not my vote.")] = False,
    dry_run: DryRun = False,
    output: ChangeOutput = ChangeFormat.TEXT,
) -> None:
    """Withdraw my vote, or the whole request if I made it."""
    body = {"reason": required_reason(reason, "withdraw"), "ticket": ticket} | ({"whole": True} if whole else {})
    _say(ctx, name, "withdraw", body, dry_run=dry_run, how=output)


def _id(name: str) -> str:
    return name.removeprefix("approval/")


def _say(ctx: typer.Context, name: str, verb: str, body: dict[str, Any], *, dry_run: bool, how: ChangeFormat) -> str:
    session = session_of(ctx)
    answer = session.client.change("POST", path_of("approvals", _id(name), verb), body, params=dry(dry_run))
    tell_answer(session, f"approval/{_id(name)}", answer, how, dry_run=dry_run)
    return answer.result
