"""`resedge import`: import many stores from a list, or a whole export."""

import json
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.changes import ChangeFormat, ChangeOutput, tell_answer, tell_counts
from cli.client import LONG_SECONDS, Content, ServerAnswer, path_of
from cli.documents import read_documents, read_file
from cli.errors import ServerProblem, UsageProblem, nearest_words
from cli.importing import report_lines
from cli.options import DryRun, Yes, dry, verb_app
from cli.session import Session, session_of
from cli.terminal import progress
from cli.verbs.apply import declare
from cli.verbs.export import CHOICES_FILE, DOCUMENTS, MANIFESTS, RELEASE_FILE, RELEASES

app = verb_app()
_IMPORT_BYTES_MAX = 256 << 20
_RELEASE_BYTES_MAX = 8 << 20
_CHUNK_BYTES = 1 << 16
_LOOKED_AT_BYTES = 256


@app.command("import")
def import_(
    ctx: typer.Context,
    kind: Annotated[str, typer.Argument(metavar="stores|fleet", help="What is in the file or directory.")],
    source: Annotated[str, typer.Argument(metavar="FILE.csv|FILE.jsonl|-|DIR", help="`-` reads stdin.")],
    dry_run: DryRun = False,
    output: ChangeOutput = ChangeFormat.TEXT,
    empty_removes: Annotated[
        bool,
        typer.Option("--empty-removes", help="Let an empty cell remove the label, hours or capacity of its column."),
    ] = False,
    yes: Yes = False,
) -> None:
    """Import stores from a list (all rows or none), or a fleet from a directory that `export --dir` wrote.

    A CSV has the column name, and timezone, hours, cpu, memory as need be; any other column is a label, `a|b` in it
    several values. What has no column, and an empty cell, stays as it is. A new store needs a timezone, or latitude
    and longitude, or state and zip instead. What removes many placements asks first; --dry-run tells what changes.
    """
    session = session_of(ctx)
    match kind:
        case "stores" | "store":
            params = {**dry(dry_run), **({"empty_removes": "true"} if empty_removes else {})}
            _stores(session, source, output, params, dry_run=dry_run, yes=yes)
        case "fleet":
            _fleet(session, Path(source), output, dry_run=dry_run)
        case _:
            raise UsageProblem(
                f"cannot import {kind!r}",
                fix="import stores or fleet",
                nearest=nearest_words(kind, ["stores", "fleet"]),
            )


def _stores(
    session: Session, source: str, how: ChangeFormat, params: Mapping[str, str], *, dry_run: bool, yes: bool
) -> None:
    data = sys.stdin.buffer.read(_IMPORT_BYTES_MAX + 1) if source == "-" else read_file(Path(source), _IMPORT_BYTES_MAX)
    if len(data) > _IMPORT_BYTES_MAX:
        raise UsageProblem(f"more than {_IMPORT_BYTES_MAX >> 20} MiB", fix="import it in parts")

    def send(**more: str) -> ServerAnswer:
        return session.client.change(
            "POST",
            "/v1/stores:import",
            params={**params, **more},
            content=_upload(data),
            content_type=_content_type(source, data),
            read_seconds=LONG_SECONDS,
        )

    try:
        answer = send(confirmed="true") if yes else send()
    except ServerProblem as problem:
        if problem.code != "needs-confirmation":
            raise
        for line in report_lines(problem.body.get("report") or {}):
            session.say(line)
        session.ask(f"{problem.why}; import anyway?", yes=yes)
        answer = send(confirmed="true")
    body: Mapping[str, Any] = answer.body or {}
    counts = ", ".join(f"{body.get(word, 0)} {word}" for word in ("created", "configured", "unchanged"))
    tell_counts(session, f"stores: {counts}", body, how, dry_run=dry_run)
    if how is ChangeFormat.TEXT:
        for line in report_lines(body):
            print(line)
        if dry_run and body.get("needs_confirmation"):
            session.warn("this removes many placements: the import will ask, or needs --yes without a terminal")


def _content_type(source: str, data: bytes) -> str:
    """Decide by the name, for stdin by the first character: a JSON line starts with a brace, CSV never does."""
    name = source.lower()
    if name.endswith((".jsonl", ".ndjson")):
        return "application/x-ndjson"
    if name.endswith((".csv", ".tsv")):
        return "text/csv"
    if name.endswith((".xlsx", ".xls", ".ods")):
        raise UsageProblem(f"{source} is a workbook, not a list", fix="save it as CSV UTF-8 in the spreadsheet")
    if source != "-":
        raise UsageProblem(f"cannot tell what {source} is", fix="name it .csv, .tsv or .jsonl")
    # A byte order mark, and the zero bytes of UTF-16, come before the brace and between.
    first = data[:_LOOKED_AT_BYTES].replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")[:1]
    return "application/x-ndjson" if first == b"{" else "text/csv"


def _upload(data: bytes) -> Content:
    def chunks() -> Iterator[bytes]:
        starts = range(0, len(data), _CHUNK_BYTES)
        for start in progress(starts, len(starts), "uploading"):
            yield data[start : start + _CHUNK_BYTES]

    return chunks


def _fleet(session: Session, folder: Path, how: ChangeFormat, *, dry_run: bool) -> None:
    """Declare the documents, publish the releases, then set the choices, each as it was exported."""
    if not (folder / DOCUMENTS).is_file():
        raise UsageProblem(f"{folder} was not written by `resedge export --dir`", why=f"it holds no {DOCUMENTS}")
    started = time.monotonic()
    documents = read_documents([str(folder / DOCUMENTS)], session.say, empty=True, kinds=session.kinds)
    declare(session, documents, dry_run=dry_run, how=how)
    if dry_run:
        session.say("releases and choices are not tried: they need what the documents declare")
        return
    for manifests in sorted((folder / RELEASES).glob(f"*/*/{MANIFESTS}")):
        application, version = manifests.parent.parent.name, manifests.parent.name
        release = json.loads(read_file(manifests.parent / RELEASE_FILE, _RELEASE_BYTES_MAX))
        body = {**release, "manifests": read_file(manifests, _RELEASE_BYTES_MAX).decode()}
        answer = session.client.change("PUT", path_of("applications", application, "releases", version), body)
        tell_answer(session, f"release/{application}/{version}", answer, how)
    for choices in sorted((folder / RELEASES).glob(f"*/{CHOICES_FILE}")):
        application = choices.parent.name
        body = {"choices": json.loads(read_file(choices, _RELEASE_BYTES_MAX))}
        answer = session.client.change("PUT", path_of("applications", application, "release-choices"), body)
        tell_answer(session, f"release-choices/{application}", answer, how)
    session.say(f"imported in {time.monotonic() - started:.1f} s")
