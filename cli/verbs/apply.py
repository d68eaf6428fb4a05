"""`resedge apply`: declare documents, all validated before the first is declared."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from cli.changes import ChangeFormat, ChangeOutput, tell, tell_answer
from cli.client import Client
from cli.documents import Document, read_documents
from cli.errors import CliError, Problem
from cli.options import DryRun, verb_app
from cli.ordering import in_order
from cli.session import Session, session_of
from cli.terminal import progress
from cli.trying import Trial, document_path, located

app = verb_app()
Files = Annotated[
    list[str],
    typer.Option("--file", "-f", help="File, directory or `-` for stdin; may be repeated.", metavar="FILE|DIR|-"),
]


@app.command()
def apply(ctx: typer.Context, file: Files, dry_run: DryRun = False, output: ChangeOutput = ChangeFormat.TEXT) -> None:
    """Declare stores, groups, namespaces, applications and configurations from YAML or JSON.

    Documents are ordered by what they refer to and all validated first; if one is refused, none is declared.
    """
    declare(session_of(ctx), read_documents(file), dry_run=dry_run, how=output)


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
