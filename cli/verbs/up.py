"""`resedge up`: run everything in one process on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import verb_app

app = verb_app()


@app.command()
def up(
    data_dir: Annotated[
        Path, typer.Option("--data-dir", help="Data directory: the log and the repository.", metavar="DIR")
    ] = Path("data"),
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 picks a free one.")] = 8080,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.", metavar="ADDRESS")] = "127.0.0.1",
    ephemeral: Annotated[bool, typer.Option("--ephemeral", help="Delete all data when the server stops.")] = False,
    at: Annotated[
        str, typer.Option("--at", help="Begin on a virtual clock at this instant, with offset.", metavar="INSTANT")
    ] = "",
    speed: Annotated[
        str, typer.Option("--speed", help="Speed of the virtual clock, up to 100000; default: 1.", metavar="N")
    ] = "",
) -> None:
    """Run every service embedded, on SQLite, until SIGTERM or Ctrl-C.

    With --at, time is a virtual clock's, and every answer says so: to try a freeze, a night of changed clocks or an
    expiry. The log keeps those instants, so use --ephemeral or a directory of its own.
    """
    from cli.up import run_up, virtual_clock  # noqa: PLC0415 - loaded only when it is needed: start-up time

    raise typer.Exit(run_up(data_dir, port, ephemeral, host, virtual_clock(at, speed)))
