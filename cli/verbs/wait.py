"""`resedge wait`: return when rendering has caught up, so that scripts never sleep."""

import time
from enum import StrEnum
from typing import Annotated, Any

import typer

from cli.client import Client
from cli.durations import duration_seconds
from cli.errors import CliError, ExitCode, TimedOut
from cli.options import verb_app
from cli.session import session_of

app = verb_app()
_POLL_SECONDS_MAX = 20.0


class Condition(StrEnum):
    """The conditions that can be waited for."""

    RENDERED = "rendered"


@app.command()
def wait(
    ctx: typer.Context,
    condition: Annotated[Condition, typer.Option("--for", help="What to wait for.")],
    timeout: Annotated[str, typer.Option("--timeout", help="Like 500ms, 60s, 5m.", metavar="DURATION")] = "60s",
    position: Annotated[
        int,
        typer.Option(
            "--position", min=0, help="The position to wait for; default: the log's head.", show_default=False
        ),
    ] = 0,
) -> None:
    """Wait until every change that may be admitted now is committed."""
    session = session_of(ctx)
    seconds = duration_seconds(timeout)
    deadline = time.monotonic() + seconds
    head = position or session.client.get("/v1/events", {"after": 0, "limit": 1}, fresh=False).position
    body = settled(session.client, head, deadline, timeout)
    commit = body.get("commit") or "no commit yet"
    print(f"{condition} at position {body.get('position')}: {commit}")


def settled(client: Client, position: int, deadline: float, timeout: str) -> dict[str, Any]:
    """Poll until that position is rendered.

    Raises:
        TimedOut: the deadline passed first.
    """
    while True:
        left = max(deadline - time.monotonic(), 0.0)
        poll_seconds = min(left, _POLL_SECONDS_MAX)
        params = {"timeout_seconds": f"{poll_seconds:.3f}"} | ({"position": str(position)} if position else {})
        try:
            return dict(client.get("/v1/rendering:settled", params, read_seconds=poll_seconds + 10.0, fresh=False).body)
        except CliError as error:
            if error.exit_code != ExitCode.TIMEOUT:
                raise
            if time.monotonic() >= deadline:
                raise TimedOut(
                    f"not rendered within {timeout}",
                    why=error.why,
                    fix="wait longer with --timeout; closed gates are not waited for, see `resedge get holds`",
                ) from error
