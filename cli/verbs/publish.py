"""`resedge publish`: hydrate manifests on this machine and upload them as an immutable release."""

from pathlib import Path
from typing import Annotated

import typer

from cli.changes import ChangeFormat, ChangeOutput, tell_answer
from cli.client import LONG_SECONDS, path_of
from cli.errors import ServerProblem, UsageProblem
from cli.hydrating import hydrated, side_file
from cli.options import DryRun, dry, verb_app
from cli.session import session_of

app = verb_app()


_Path = Annotated[
    str, typer.Argument(metavar="PATH", help="Folder of manifests, kustomization, Helm chart, oci://… chart, or -.")
]
_Values = Annotated[
    list[Path] | None, typer.Option("--values", help="Values file of a chart; may be repeated.", metavar="FILE")
]
_Sets = Annotated[
    list[str] | None, typer.Option("--set", help="One value of a chart; may be repeated.", metavar="KEY=VALUE")
]
_ChartVersion = Annotated[str, typer.Option("--chart-version", help="Version of an oci:// chart.", metavar="VERSION")]
_ApiVersions = Annotated[
    list[str] | None,
    typer.Option("--api-versions", help="An API that a chart may ask for; may be repeated.", metavar="API"),
]
_KubeVersion = Annotated[
    str, typer.Option("--kube-version", help="Kubernetes version that a chart is rendered for.", metavar="VERSION")
]
_SkipCrds = Annotated[bool, typer.Option("--skip-crds", help="Leave out a chart's CRDs.")]
_NoHooks = Annotated[bool, typer.Option("--no-hooks", help="Leave out a chart's hooks.")]
_EnableHelm = Annotated[bool, typer.Option("--enable-helm", help="Let kustomize render the charts that it names.")]


@app.command()
def publish(  # noqa: PLR0913, PLR0917 - they are options; Typer passes them by name
    ctx: typer.Context,
    application: Annotated[str, typer.Argument(metavar="APPLICATION", help="A declared application.")],
    version: Annotated[str, typer.Argument(metavar="VERSION", help="The release's version; never reused.")],
    path: _Path,
    values: _Values = None,
    set_: _Sets = None,
    chart_version: _ChartVersion = "",
    api_versions: _ApiVersions = None,
    kube_version: _KubeVersion = "",
    skip_crds: _SkipCrds = False,
    no_hooks: _NoHooks = False,
    enable_helm: _EnableHelm = False,
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
    import libs.templates as rendering  # noqa: PLC0415 - loaded only when it is needed: start-up time

    options = rendering.ChartOptions(
        tuple(values or ()),
        tuple(set_ or ()),
        tuple(api_versions or ()),
        kube_version,
        skip_crds=skip_crds,
        no_hooks=no_hooks,
        enable_helm=enable_helm,
    )
    notices: list[str] = []
    manifests = hydrated(path, namespace, application, options, chart_version, notices.append)
    for notice in notices:
        session.say(f"warning: {notice}")
    if strict and notices:
        raise UsageProblem(f"{path}: --strict refuses warnings", why=notices[0], fix="fix it, or leave --strict out")
    body = {
        "manifests": manifests,
        "schema": side_file(schema),
        "defaults": side_file(defaults),
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
        raise ServerProblem(problem.status, problem.body, where=path) from problem
    tell_answer(session, f"release/{application}/{version}", answer, output, dry_run=dry_run)
    if answer.result == "created" and not dry_run:
        session.say(f"next: resedge set-release {application} {version} [-l EXPRESSION]")
