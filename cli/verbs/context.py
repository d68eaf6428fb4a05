"""`resedge context`: the servers that this machine knows, by name."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.config import (
    REDACTED,
    Config,
    Context,
    config_path,
    redacted_url,
    save_config,
    server_url,
    token_from_file,
)
from cli.errors import UsageProblem
from cli.options import Output, verb_app
from cli.output import Format, TableColumn, field, write_items
from cli.session import Session, session_of

app = verb_app()
_COLUMNS = (
    TableColumn("CURRENT", field("current")),
    TableColumn("NAME", field("name")),
    TableColumn("SERVER", field("server")),
    TableColumn("TOKEN", field("token")),
)
Name = Annotated[str, typer.Argument(metavar="NAME")]


@app.callback()
def context() -> None:
    """Choose which server to talk to."""


@app.command("list")
def list_(ctx: typer.Context, output: Output = Format.TABLE) -> None:
    """List the contexts; tokens are never shown."""
    session = session_of(ctx)
    rows = [_row(each, session.config) for each in session.config.contexts.values()]
    write_items(rows, output, _COLUMNS, lambda row: str(row["name"]), empty="no contexts; `resedge up` makes one")


@app.command()
def show(ctx: typer.Context, output: Output = Format.YAML) -> None:
    """Show the server that a command would talk to now, and where that was said."""
    session = session_of(ctx)
    used = session.connection
    row = _row(Context(used.context or "", used.server, used.token), session.config)
    row |= {"file": str(config_path(session.environment))}
    write_items(
        [row], output, (*_COLUMNS, TableColumn("FILE", field("file"))), lambda row: str(row["name"]), single=True
    )


@app.command()
def use(ctx: typer.Context, name: Name) -> None:
    """Make a context the current one."""
    session = session_of(ctx)
    session.config.named(name)
    _save(session, Config(name, session.config.contexts))
    print(f"context/{name} used")


@app.command("set")
def set_(
    ctx: typer.Context,
    name: Name,
    token_file: Annotated[
        str, typer.Option("--token-file", help="File with the token; `-` reads stdin.", metavar="FILE|-")
    ] = "",
) -> None:
    """Add or change a context: `resedge context set NAME --server URL --token-file FILE`."""
    session = session_of(ctx)
    known = session.config.contexts.get(name)
    if not session.flags.server and known is None:
        raise UsageProblem(f"the server of {name!r}?", fix=f"resedge context set {name} --server URL")
    server = server_url(session.flags.server) if session.flags.server else known.server if known else ""
    token = session.flags.token or (known.token if known and known.server == server else "")
    if token_file:
        token = sys.stdin.readline().strip() if token_file == "-" else token_from_file(Path(token_file))  # noqa: S105 - `-` is stdin
    sign_in = known.sign_in if known and token == known.token else None
    contexts = {**session.config.contexts, name: Context(name, server, token, sign_in)}
    _save(session, Config(session.config.current or name, contexts))
    print(f"context/{name} {'configured' if known else 'created'}")


@app.command()
def delete(ctx: typer.Context, name: Name) -> None:
    """Forget a context and its token."""
    session = session_of(ctx)
    session.config.named(name)
    contexts = {key: value for key, value in session.config.contexts.items() if key != name}
    _save(session, Config("" if session.config.current == name else session.config.current, contexts))
    print(f"context/{name} deleted")


def _save(session: Session, config: Config) -> None:
    save_config(config_path(session.environment), config)


def _row(each: Context, config: Config) -> dict[str, object]:
    return {
        "name": each.name or None,
        "current": bool(each.name) and each.name == config.current,
        "server": redacted_url(each.server),
        "token": REDACTED if each.token else None,
    }
