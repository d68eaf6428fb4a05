"""`resedge diff`: what `apply` would change, as a unified diff of documents."""

import difflib
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from cli.applying import declare_together
from cli.client import Client, path_of
from cli.documents import Document, read_documents
from cli.errors import ExitCode, ServerProblem, UsageProblem
from cli.options import verb_app
from cli.output import to_yaml
from cli.session import session_of
from cli.terminal import coloured
from cli.verbs.render import preview, preview_lines

app = verb_app()
_COLOURS = {"-": "red", "+": "green"}


@app.command()
def diff(
    ctx: typer.Context,
    file: Annotated[
        list[str] | None,
        typer.Option("--file", "-f", help="File, directory or `-` for stdin; may be repeated.", metavar="FILE|DIR|-"),
    ] = None,
    release: Annotated[
        str, typer.Option("--release", help="What this release would change.", metavar="APPLICATION@VERSION")
    ] = "",
    where: Annotated[
        str,
        typer.Option("--where", "-l", help="With --release: only on these clusters.", metavar="EXPRESSION"),
    ] = "/c/*",
) -> None:
    """Show what `apply` would change, or with --release what a release would change where.

    Exits 0 when nothing, 1 when something, above 1 on an error.
    """
    session = session_of(ctx)
    session.failure_code = ExitCode.USAGE  # 1 means "different" here
    if bool(file) == bool(release):
        raise UsageProblem("diff of what?", fix="give either -f FILE or --release APPLICATION@VERSION")
    if release:
        application, at, version = release.partition("@")
        if not (application and at and version):
            raise UsageProblem(f"{release!r} is not APPLICATION@VERSION")
        body = preview(session.client, application, version, where)
        print("\n".join(preview_lines(body)))
        if body["changed"] or body["refused"]:
            raise typer.Exit(ExitCode.FAILED)
        return
    file = file or []
    documents = read_documents(file, session.say, kinds=session.kinds)
    differ = False
    for document, result in declare_together(session.client, documents, dry_run=True).results:
        if result.get("result") == "unchanged":
            continue
        differ = True
        for line in _lines(document, _declared(session.client, document)):
            print(coloured(line, _COLOURS[line[0]], sys.stdout) if line[:1] in _COLOURS else line)
    if differ:
        raise typer.Exit(ExitCode.FAILED)


def _declared(client: Client, document: Document) -> Mapping[str, Any] | None:
    try:
        body = client.get(path_of(document.kind.plural, document.name)).body
    except ServerProblem as problem:
        if problem.exit_code == ExitCode.NOT_FOUND:
            return None
        raise
    return body if isinstance(body, Mapping) else None


def _lines(document: Document, declared: Mapping[str, Any] | None) -> list[str]:
    """Return the unified diff; what both sides leave empty is left out unless it is the only difference."""
    name = document.kind.name(document.body)
    sides = [_pruned(_as_written(document, declared or {})), _pruned(document.body)]
    if sides[0] == sides[1]:
        sides = [dict(declared or {}), dict(document.body)]
    before, after = (to_yaml(_ordered(side)).splitlines() if side else [] for side in sides)
    old = f"declared/{name}" if declared else "/dev/null"
    return list(difflib.unified_diff(before, after, old, f"{document.file}#{document.number}", lineterm=""))


def _as_written(document: Document, declared: Mapping[str, Any]) -> Mapping[str, Any]:
    """Leave out the one cluster that a store has when its document names none, if this document names none."""
    spec, wanted = declared.get("spec"), document.body.get("spec")
    if document.body["kind"] != "Store" or not isinstance(spec, Mapping) or not isinstance(wanted, Mapping):
        return declared
    if "clusters" in wanted or spec.get("clusters") != [{"name": document.name}]:
        return declared
    return {**declared, "spec": {key: value for key, value in spec.items() if key != "clusters"}}


def _pruned(value: Any) -> Any:
    """Leave out what is empty: the server answers with every field, people write only some."""
    if isinstance(value, Mapping):
        kept = {key: _pruned(part) for key, part in value.items()}
        return {
            key: part for key, part in kept.items() if part not in (None, {}, [], "") and (key, part) != ("priority", 0)
        }
    return value


def _ordered(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _ordered(value[key]) for key in sorted(value)}
    return value
