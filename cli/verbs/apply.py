"""`resedge apply`: declare documents, all validated before the first is declared."""

import time
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from cli.changes import ChangeFormat, ChangeOutput, tell, tell_answer
from cli.client import Client, path_of
from cli.documents import Document, read_documents
from cli.durations import duration_seconds
from cli.errors import CliError, ExitCode, Problem, UsageProblem
from cli.options import DryRun, Reason, verb_app
from cli.ordering import in_order
from cli.session import Session, session_of
from cli.terminal import progress
from cli.trying import Trial, document_path, located

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
        str, typer.Option("--confirm", help="Also let the removals of this plan go on.", metavar="PLAN-ID")
    ] = "",
    reason: Reason = "",
    output: ChangeOutput = ChangeFormat.TEXT,
) -> None:
    """Declare documents of any kind from YAML or JSON.

    Documents are ordered by what they refer to and all validated first; if one is refused, none is declared.
    What removes much is held as a plan (`resedge get holds`); the same documents again with --confirm PLAN-ID, and a
    --reason, let exactly that plan go on. If another plan is held by then, nothing is confirmed: exit 3.
    """
    session = session_of(ctx)
    if confirm and dry_run:
        raise UsageProblem("a dry run confirms nothing", fix="leave out --dry-run or --confirm")
    declare(session, read_documents(file), dry_run=dry_run, how=output)
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
        session.say(f"nothing is held: there is nothing of plan {plan} to confirm")
        return
    if plan not in held:
        raise CliError(
            f"plan {plan} is not what is held",
            why=f"held is {', '.join(held)}: the removals are others than those of {plan}",
            fix=f"look at them with `resedge get holds`, then apply again with --confirm {held[0]}",
            exit_code=ExitCode.REFUSED,
            code="other-plan-held",
        )
    answer = session.client.change("POST", path_of("holds", plan, "confirm"), {"reason": reason or "apply --confirm"})
    tell_answer(session, f"hold/{plan}", answer, how)


def declare(session: Session, found: Sequence[Document], *, dry_run: bool, how: ChangeFormat) -> None:
    """Validate the documents as a whole, then declare one by one, telling each result on stdout.

    Raises:
        CliError: one was refused; the message says how many were declared before it.
    """
    documents = in_order(found)
    trial = Trial(session.client)
    if dry_run:
        for document, result in zip(documents, trial.all(documents), strict=True):
            outcome = str(result.get("result", "unchanged"))
            warnings = map(str, result.get("warnings") or ())
            tell(session, document.kind.name(document.body), outcome, how, dry_run=True, warnings=warnings)
        return
    done = 0
    try:
        while done < len(documents):
            part = trial.first(documents[done:])
            if not done and len(part) < len(documents):
                session.say(f"{len(documents):,} documents are too many at once: validated and declared in parts")
            for document in progress(part, len(part), "declaring"):
                answer = put(session.client, document)
                done += 1
                tell_answer(session, document.kind.name(document.body), answer, how)
    except CliError as error:
        if done:
            error.fix = f"{error.fix}; " if error.fix else ""
            error.fix += f"{done} of {len(documents)} documents were declared before; apply again to go on from there"
        raise


def put(client: Client, document: Document) -> Any:
    """Declare one document.

    Raises:
        Problem: it is refused, with its file and number.
    """
    try:
        return client.change("PUT", document_path(document), document.body)
    except Problem as problem:
        raise located(problem, document) from problem
