"""`resedge demo`: a whole fleet, made up from real places, on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import verb_app

app = verb_app()


@app.command()
def demo(
    stores: Annotated[int, typer.Option("--stores", min=1, help="How many stores.")] = 60_000,
    serve: Annotated[bool, typer.Option("--serve/--no-serve", help="Leave the server running afterwards.")] = True,
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", help="Keep the fleet there.", metavar="DIR", show_default=False)
    ] = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 picks a free one.")] = 8080,
    distributed: Annotated[
        bool, typer.Option("--distributed", help="Separate services with Kafka and PostgreSQL, brought up if need be.")
    ] = False,
) -> None:
    """Make a fleet of stores, render and commit it, then change it step by step.

    --distributed uses the system of the context `dev` where it runs; else scripts/compose-local brings one up for the
    demo, on --port and the nine ports after it if that is not 8080.
    """
    from cli.demo import run_demo  # noqa: PLC0415 - loaded only when it is needed: start-up time

    raise typer.Exit(run_demo(stores, serve, data_dir, port, distributed))
