"""`resedge apply`: declare documents, all validated before the first is declared."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import typer

from cli.changes import ChangeFormat, ChangeOutput, tell, tell_answer
from cli.client import LONG_SECONDS, Client, path_of
from cli.documents import Document, read_documents
from cli.errors import CliError, Problem
from cli.options import DryRun, dry, verb_app
from cli.ordering import in_order
from cli.session import Session, session_of
from cli.terminal import progress

app = verb_app()
_REQUEST_BYTES_MAX = 7 << 20  # the server takes 8 MiB
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
    if dry_run:
        for document, result in zip(documents, tried(session.client, documents), strict=True):
            outcome = str(result.get("result", "unchanged"))
            warnings = map(str, result.get("warnings") or ())
            tell(session, document.kind.name(document.body), outcome, how, dry_run=True, warnings=warnings)
        return
    parts = list(_parts(documents))
    if len(parts) > 1:
        session.say(f"{len(documents):,} documents are more than one request takes: validated and declared in parts")
    done = 0
    try:
        for part in parts:
            tried(session.client, part)
            for document in progress(part, len(part), "declaring"):
                answer = put(session.client, document)
                done += 1
                tell_answer(session, document.kind.name(document.body), answer, how)
    except CliError as error:
        if done:
            error.fix = f"{error.fix}; " if error.fix else ""
            error.fix += f"{done} of {len(documents)} documents were declared before; apply again to go on from there"
        raise


def _parts(documents: Sequence[Document]) -> Iterator[list[Document]]:
    """Yield the documents in as few requests as their size allows; usually that is one."""
    part: list[Document] = []
    size = 0
    for document in documents:
        encoded = len(json.dumps(document.body, ensure_ascii=False).encode()) + 2
        if part and size + encoded > _REQUEST_BYTES_MAX:
            yield part
            part, size = [], 0
        part.append(document)
        size += encoded
    if part:
        yield part


def tried(client: Client, documents: Sequence[Document]) -> list[Mapping[str, Any]]:
    """Return what the server says to all of the documents together, declaring nothing.

    Raises:
        Problem: the first one that is refused, with its file and number.
    """
    if not documents:
        return []
    body = {"documents": [document.body for document in documents]}
    try:
        answer = client.change("POST", "/v1/documents", body, params=dry(True), read_seconds=LONG_SECONDS)
    except Problem as problem:
        index = problem.body.get("document")
        if isinstance(index, int) and 0 <= index < len(documents):
            refused = documents[index]
            raise Problem(problem.status, problem.body, where=refused.where, sent=refused.body) from problem
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
        raise Problem(problem.status, problem.body, where=document.where, sent=document.body) from problem
