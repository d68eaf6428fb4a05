"""`resedge wait`: return when rendering has caught up, so that scripts never sleep."""

import re
import time
from enum import StrEnum
from typing import Annotated, Any

import typer

from cli.client import Client
from cli.errors import CliError, ExitCode, TimedOut, UsageProblem
from cli.options import verb_app
from cli.session import session_of

app = verb_app()
_POLL_SECONDS_MAX = 20.0
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h))+")


class Condition(StrEnum):
    """What can be waited for."""

    RENDERED = "rendered"


@app.command()
def wait(
    ctx: typer.Context,
    condition: Annotated[Condition, typer.Option("--for", help="What to wait for.")],
    timeout: Annotated[str, typer.Option("--timeout", help="Like 500ms, 60s, 5m.", metavar="DURATION")] = "60s",
    position: Annotated[
        int, typer.Option("--position", min=0, help="Up to here instead of the log's head.", show_default=False)
    ] = 0,
) -> None:
    """Wait until rendering has seen the log's head as of now and closed every difference whose gate is open."""
    session = session_of(ctx)
    seconds = duration_seconds(timeout)
    deadline = time.monotonic() + seconds
    head = position or session.client.get("/v1/events", {"after": 0, "limit": 1}, fresh=False).position
    body = _settled(session.client, head, deadline, timeout)
    commit = body.get("commit") or "no commit yet"
    print(f"{condition} at position {body.get('position')}: {commit}")


def _settled(client: Client, position: int, deadline: float, timeout: str) -> dict[str, Any]:
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
                    fix="wait longer with --timeout; a closed gate is no reason to wait, see `resedge get holds`",
                ) from error


def duration_seconds(text: str) -> float:
    """Return the seconds of a duration like `90s`, `1m30s` or `500ms`; a bare number is seconds.

    Raises:
        UsageProblem: it is not a duration.
    """
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    if not _DURATION.fullmatch(text):
        raise UsageProblem(f"{text!r} is not a duration", fix="write 500ms, 60s, 5m or 1m30s")
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text))
