"""`resedge apply`: declare documents, all of them as one change or none."""

import time
from collections.abc import Sequence
from typing import Annotated

import typer

from cli.applying import declare_together
from cli.changes import ChangeFormat, ChangeOutput, tell, tell_answer
from cli.client import path_of
from cli.documents import Document, read_documents
from cli.durations import duration_seconds
from cli.errors import CliError, ExitCode, UsageProblem
from cli.options import DryRun, Reason, Yes, verb_app
from cli.reaching import ask_above, reach_told, tell_reach
from cli.session import Session, session_of

app = verb_app()
SETTLED_WITHIN = "60s"
Files = Annotated[
    list[str],
    typer.Option("--file", "-f", help="File, directory or `-` for stdin; may be repeated.", metavar="FILE|DIR|-"),
]


@app.command()
def apply(
    ctx: typer.Context,
    file: Files,
    dry_run: DryRun = False,
    confirm: Annotated[
        str, typer.Option("--confirm", help="Also confirm the removals of this plan.", metavar="PLAN-ID")
    ] = "",
    reason: Reason = "",
    yes: Yes = False,
    output: ChangeOutput = ChangeFormat.TEXT,
) -> None:
    """Declare documents of any kind from YAML or JSON.

    All documents are one change: if one is refused, none is declared, and nothing is rendered in between.
    Large removals are held as a plan (`resedge get holds`). Apply the same documents again with --confirm PLAN-ID and
    a --reason to confirm exactly that plan. If the held plan has changed, nothing is confirmed: exit 3.
    """
    session = session_of(ctx)
    if confirm and dry_run:
        raise UsageProblem("a dry run confirms nothing", fix="leave out --dry-run or --confirm")
    documents = read_documents(file, session.say, kinds=session.kinds)
    ask_above(
        session,
        "this apply",
        lambda: reach_told(declare_together(session.client, documents, dry_run=True, reach=True).body),
        yes=yes or dry_run,
    )
    declare(session, documents, dry_run=dry_run, how=output)
    if confirm:
        _confirm(session, confirm.removeprefix("hold/"), reason, output)


def _confirm(session: Session, plan: str, reason: str, how: ChangeFormat) -> None:
    """Confirm `plan` if it is what is held once everything declared so far was rendered.

    Raises:
        CliError: another plan is held (exit 3).
    """
    from cli.verbs.wait import settled  # noqa: PLC0415 - loaded only when it is needed: start-up time

    head = session.client.get("/v1/events", {"after": 0, "limit": 1}).position
    settled(session.client, head, time.monotonic() + duration_seconds(SETTLED_WITHIN), SETTLED_WITHIN)
    held = [str(each.get("id")) for each in session.client.pages(path_of("holds"), {})]
    if not held:
        session.say(f"nothing is held, so there is no plan {plan} to confirm")
        return
    if plan not in held:
        raise CliError(
            f"plan {plan} is not what is held",
            why=f"held is {', '.join(held)}, with other removals than {plan}",
            fix=f"check them with `resedge get holds`, then apply again with --confirm {held[0]}",
            exit_code=ExitCode.REFUSED,
            code="other-plan-held",
        )
    answer = session.client.change("POST", path_of("holds", plan, "confirm"), {"reason": reason or "apply --confirm"})
    tell_answer(session, f"hold/{plan}", answer, how)


def declare(session: Session, documents: Sequence[Document], *, dry_run: bool, how: ChangeFormat) -> None:
    """Declare the documents as one change, all of them or none, telling each result on stdout.

    Raises:
        CliError: some of them are refused; none was declared.
    """
    applied = declare_together(session.client, documents, dry_run=dry_run, reach=True)
    for document, result in applied.results:
        tell(
            session,
            document.kind.name(document.body),
            str(result.get("result", "unchanged")),
            how,
            dry_run=dry_run,
            position=int(result.get("position") or 0),
            warnings=map(str, result.get("warnings") or ()),
        )
    session.warn(*applied.warnings)
    tell_reach(session, applied.body)
