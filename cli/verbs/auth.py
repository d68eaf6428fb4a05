"""`resedge auth`: who the server takes us for."""

import typer

from cli.config import redacted_url
from cli.options import Output, verb_app
from cli.output import Format, write_value
from cli.session import session_of

app = verb_app()


@app.callback()
def auth() -> None:
    """Look at the identity that requests carry."""


@app.command()
def whoami(ctx: typer.Context, output: Output = Format.TABLE) -> None:
    """Show the context, the server, and who the server takes this token for."""
    session = session_of(ctx)
    connection = session.connection
    body = session.client.get("/v1/whoami").body
    facts = {"context": connection.context or None, "server": redacted_url(connection.server), **body}
    if output in (Format.JSON, Format.JSONL, Format.YAML):
        write_value(facts, output)
    elif output is Format.NAME:
        print(facts.get("actor") or facts.get("name"))
    else:
        for key, value in facts.items():
            print(f"{key:<9} {'-' if value is None else value}")
