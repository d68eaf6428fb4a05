"""`resedge publish`: hydrate manifests on this machine and upload them as an immutable release."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.changes import ChangeFormat, ChangeOutput, tell_answer
from cli.client import LONG_SECONDS, path_of
from cli.documents import read_file
from cli.errors import ServerProblem, UsageProblem
from cli.options import DryRun, dry, verb_app
from cli.session import session_of

app = verb_app()
_SIDE_FILE_BYTES_MAX = 4 << 20


@app.command()
def publish(  # noqa: PLR0913, PLR0917 - they are options; Typer passes them by name
    ctx: typer.Context,
    application: Annotated[str, typer.Argument(metavar="APPLICATION", help="A declared application.")],
    version: Annotated[str, typer.Argument(metavar="VERSION", help="The release's version; never reused.")],
    path: Annotated[Path, typer.Argument(metavar="PATH", help="Folder of manifests, kustomization or Helm chart.")],
    values: Annotated[
        list[Path] | None, typer.Option("--values", help="Values file of a chart; may be repeated.", metavar="FILE")
    ] = None,
    schema: Annotated[Path | None, typer.Option("--schema", help="JSON Schema of the values.", metavar="FILE")] = None,
    defaults: Annotated[
        Path | None, typer.Option("--defaults", help="Lowest configuration layer.", metavar="FILE")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Also refuse warnings, such as a misspelt field.")] = False,
    dry_run: DryRun = False,
    output: ChangeOutput = ChangeFormat.TEXT,
) -> None:
    """Publish a release of an application from a folder, a kustomization or a chart."""
    session = session_of(ctx)
    declared = session.client.get(path_of("applications", application)).body
    namespace = str(declared["spec"]["namespace"])
    body = {
        "manifests": hydrated(path, namespace, application, values or ()),
        "schema": _side_file(schema),
        "defaults": _side_file(defaults),
    }
    try:
        answer = session.client.change(
            "PUT",
            path_of("applications", application, "releases", version),
            body,
            params={**dry(dry_run), **({"strict": "true"} if strict else {})},
            read_seconds=LONG_SECONDS,
        )
    except ServerProblem as problem:
        raise ServerProblem(problem.status, problem.body, where=str(path)) from problem
    tell_answer(session, f"release/{application}/{version}", answer, output, dry_run=dry_run)
    if answer.result == "created" and not dry_run:
        session.say(f"next: resedge set-release {application} {version} [-l EXPRESSION]")


def hydrated(path: Path, namespace: str, application: str, values: Sequence[Path]) -> str:
    """Return plain manifests, rendered on this machine.

    Raises:
        UsageProblem: the path cannot be rendered; says what the renderer said.
    """
    if not path.exists():
        raise UsageProblem(f"{path} does not exist", fix="give a folder of manifests, a kustomization or a chart")
    from libs.templates import HydrationFailed, hydrate  # noqa: PLC0415 - only this verb renders

    try:
        return hydrate(path, namespace=namespace, release_name=application, values_files=tuple(values)).decode()
    except HydrationFailed as error:
        raise UsageProblem(f"{path}: {error.title}", why=error.detail, fix=error.fix) from error


def _side_file(path: Path | None) -> Any:
    """Return the one mapping that a schema or defaults file holds; None without a file."""
    if path is None:
        return None
    from libs.templates import YamlRejected, read_yaml  # noqa: PLC0415 - loaded only when it is needed: start-up time

    try:
        found = read_yaml(read_file(path, _SIDE_FILE_BYTES_MAX))
    except YamlRejected as error:
        raise UsageProblem(f"{path}, line {error.line}: {error.detail}", why=str(error.code)) from error
    if len(found) != 1 or not isinstance(found[0], dict):
        raise UsageProblem(f"{path} must hold one mapping, in YAML or JSON")
    return found[0]
