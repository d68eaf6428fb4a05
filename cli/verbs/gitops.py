"""`resedge gitops`: maintenance of the repository that stores pull from."""

from typing import Annotated

import typer

from cli.changes import ChangeFormat, ChangeOutput, tell_answer
from cli.client import LONG_SECONDS
from cli.options import DryRun, Reason, Yes, dry, verb_app
from cli.session import session_of

app = verb_app()


@app.callback()
def gitops() -> None:
    """Maintain the GitOps repository."""


@app.command()
def restore(
    ctx: typer.Context,
    reason: Annotated[str, typer.Option("--reason", help="Reason; kept in the log.", metavar="TEXT")],
    output: ChangeOutput = ChangeFormat.TEXT,
) -> None:
    """Commit what is admitted on top of a foreign commit, and continue writing."""
    session = session_of(ctx)
    answer = session.client.change("POST", "/v1/gitops:restore", {"reason": reason}, read_seconds=LONG_SECONDS)
    tell_answer(session, "gitops", answer, output)


@app.command("upgrade-layout")
def upgrade_layout(
    ctx: typer.Context,
    reason: Reason = "",
    now: Annotated[
        bool, typer.Option("--now", help="Begin the next step at once: every store has applied the last one.")
    ] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    output: ChangeOutput = ChangeFormat.TEXT,
) -> None:
    """Move the branch one step towards the newest layout of stores' directories; show the plan first.

    Every cluster is rewritten, through its gates. Stores must apply each step before the next one begins.
    """
    session = session_of(ctx)
    path, body = "/v1/gitops:upgrade-layout", {"reason": reason, "now": now}
    tried = session.client.change("POST", path, body, params=dry(True))
    plan = tried.body.get("plan") or {}
    if tried.result == "unchanged":
        tell_answer(session, "gitops", tried, output, dry_run=dry_run)
        return
    count = f"{plan.get('clusters', 0):,} clusters"
    waiting = f", {plan['kept_back']:,} of them when their gates open" if plan.get("kept_back") else ""
    session.say(f"layout {plan.get('from')} to {plan.get('to')}: {plan.get('told')}; {count}{waiting}")
    if not dry_run:
        session.ask(f"write {count} anew?", yes=yes)
        tried = session.client.change("POST", path, body, read_seconds=LONG_SECONDS)
    tell_answer(session, "gitops", tried, output, dry_run=dry_run)
