"""`resedge render`: a release as it would be committed for one cluster, before it is chosen."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from cli.client import Client, path_of
from cli.errors import CliError, ExitCode
from cli.options import verb_app
from cli.session import session_of
from libs.contracts.meaning import counted

app = verb_app()


@app.command()
def render(
    ctx: typer.Context,
    application: Annotated[str, typer.Argument(metavar="APPLICATION")],
    version: Annotated[str, typer.Argument(metavar="VERSION")],
    cluster: Annotated[str, typer.Option("--cluster", help="For which cluster.", metavar="NAME")],
) -> None:
    """Show the file of a release as it would be committed for a cluster; exits 3, with the reason, if it is refused."""
    session = session_of(ctx)
    session.client.get(path_of("clusters", cluster))
    body = preview(session.client, application, version, f"/c/{cluster}")
    if refusals := body["refusals"]:
        raise CliError(
            f"{application} {version} is refused on {cluster}: {refusals[0]['code']}",
            why=str(refusals[0]["detail"]),
            fix=f"see the values with `resedge get configuration --cluster {cluster} --application {application}`",
            exit_code=ExitCode.REFUSED,
            code=str(refusals[0]["code"]),
        )
    if not body["placed"]:
        raise CliError(
            f"{application} is not placed on {cluster}",
            why="the expression of its namespace, or its own, does not select the cluster",
            fix=f"see `resedge explain {cluster} EXPRESSION`",
            exit_code=ExitCode.REFUSED,
            code="not-placed",
        )
    for file in body["files"]:
        session.say(str(file["path"]))
        print(file["content"], end="")


def preview(client: Client, application: str, version: str, where: str) -> Mapping[str, Any]:
    """Return what a release would change where."""
    query = {"application": application, "version": version, "where": where}
    body: Mapping[str, Any] = client.get("/v1/rendering:preview", query).body
    return body


def preview_lines(body: Mapping[str, Any]) -> Iterator[str]:
    """Yield the counts, what runs where it would change, and the refusals."""
    yield (
        f"{body['application']} {body['version']}: {int(body['changed']):,} changed, "
        f"{int(body['unchanged']):,} unchanged, {int(body['refused']):,} refused "
        f"of {counted(int(body['placed']), 'cluster')}"
    )
    for each in body["before"]:
        yield f"  {counted(int(each['clusters']), 'cluster')} had {each['version'] or 'none'}"
    for each in body["refusals"]:
        examples = ", ".join(map(str, each["examples"]))
        yield f"  refused on {counted(int(each['count']), 'cluster')} ({examples}): {each['code']}: {each['detail']}"
