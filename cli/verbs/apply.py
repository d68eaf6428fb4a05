"""`resedge apply`: declare documents, all validated before the first is declared."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from cli.client import LONG_SECONDS, Client, path_of
from cli.documents import Document, read_documents
from cli.errors import CliError, Problem
from cli.options import DryRun, suffix, verb_app
from cli.ordering import in_order
from cli.session import Session, session_of
from cli.terminal import progress

app = verb_app()
Files = Annotated[
    list[str], typer.Option("--file", "-f", help="File, directory or `-` for stdin.", metavar="FILE|DIR|-")
]


@app.command()
def apply(ctx: typer.Context, file: Files, dry_run: DryRun = False) -> None:
    """Declare stores, groups, namespaces, applications and configurations from YAML or JSON.

    Documents are ordered by what they refer to and all validated first; if one is refused, none is declared.
    """
    session = session_of(ctx)
    declare(session, read_documents(file), dry_run=dry_run)


def declare(session: Session, found: Sequence[Document], *, dry_run: bool) -> None:
    """Validate the documents as a whole, then declare one by one, telling each result on stdout.

    Raises:
        CliError: one was refused; the message says how many were declared before it.
    """
    documents = in_order(found)
    results = tried(session.client, documents)
    if dry_run:
        for document, result in zip(documents, results, strict=True):
            print(f"{document.kind.name(document.body)} {result.get('result', 'unchanged')}{suffix(dry_run)}")
            session.warn(*map(str, result.get("warnings") or ()))
        return
    done = 0
    try:
        for document in progress(documents, len(documents), "declaring"):
            answer = put(session.client, document)
            done += 1
            print(f"{document.kind.name(document.body)} {answer.result}", flush=True)
            session.warn(*answer.warnings)
    except CliError as error:
        if done:
            error.fix = f"{error.fix}; " if error.fix else ""
            error.fix += f"{done} of {len(documents)} documents were declared before; apply again to go on from there"
        raise


def tried(client: Client, documents: Sequence[Document]) -> list[Mapping[str, Any]]:
    """Return what the server says to all of the documents together, declaring nothing.

    Raises:
        Problem: the first one that is refused, with its file and number.
    """
    if not documents:
        return []
    body = {"documents": [document.body for document in documents]}
    try:
        answer = client.change("POST", "/v1/documents", body, params={"dry_run": "true"}, read_seconds=LONG_SECONDS)
    except Problem as problem:
        index = problem.body.get("document")
        if isinstance(index, int) and 0 <= index < len(documents):
            raise Problem(problem.status, problem.body, where=documents[index].where) from problem
        raise
    results = answer.body.get("results", []) if isinstance(answer.body, Mapping) else []
    return [*results, *({} for _ in documents[len(results) :])][: len(documents)]


def put(client: Client, document: Document) -> Any:
    """Declare one document.

    Raises:
        Problem: it is refused, with its file and number.
    """
    try:
        return client.change("PUT", path_of(document.kind.plural, document.name), document.body)
    except Problem as problem:
        raise Problem(problem.status, problem.body, where=document.where) from problem
