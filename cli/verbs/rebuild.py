"""`resedge rebuild`: rebuild a projection from the log, beside the live one."""

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from cli.changes import ChangeFormat, ChangeOutput, tell
from cli.client import Client, ServerAnswer, path_of
from cli.durations import duration_seconds
from cli.errors import CliError, ExitCode, ServerProblem, TimedOut, nearest_words
from cli.options import verb_app
from cli.session import session_of
from cli.terminal import is_plain

app = verb_app()
_SERVICES = ("inventory", "grouping", "catalog", "policy", "rendering", "audit", "relay")
_POLL_SECONDS = 0.25


@app.command()
def rebuild(
    ctx: typer.Context,
    projection: Annotated[
        str,
        typer.Argument(
            help="The projection to rebuild; without it, all are listed.", metavar="PROJECTION", show_default=False
        ),
    ] = "",
    patience: Annotated[
        str, typer.Option("--timeout", help="Give up after so long without progress.", metavar="DURATION")
    ] = "60s",
    output: ChangeOutput = ChangeFormat.TEXT,
) -> None:
    """Rebuild a projection from the log beside the live one, which answers until the new one has its place."""
    session = session_of(ctx)
    if not projection:
        for each in _all(session.client):
            tell(session, each["projection"], _standing(each), output, position=each["position"])
        return
    seconds = duration_seconds(patience)
    path = path_of("projections", projection)
    begun = _begun(session.client, path, projection)
    told = _swapped(session.client, path, begun["generation"], seconds)
    tell(session, projection, f"rebuilt at position {told['position']}", output, position=told["position"])


def _begun(client: Client, path: str, projection: str) -> Mapping[str, Any]:
    """Begin it; one that is not there is told with those that are, as the edge knows services only.

    Raises:
        CliError: there is no such projection.
    """
    try:
        begun: Mapping[str, Any] = client.change("POST", f"{path}:rebuild").body
    except ServerProblem as problem:
        if problem.exit_code != ExitCode.NOT_FOUND or problem.nearest:
            raise
        known = [str(each["projection"]) for each in _all(client)]
        raise CliError(
            f"there is no projection {projection!r}",
            fix=f"use one of {', '.join(known)}",
            exit_code=ExitCode.NOT_FOUND,
            code="not-found",
            nearest=nearest_words(projection, known),
        ) from problem
    return begun


def _all(client: Client) -> Sequence[Mapping[str, Any]]:
    """Return every projection: of the one process that runs all services, or of each service behind the edge."""
    try:
        return _items(client.get("/v1/projections", fresh=False))
    except ServerProblem as problem:
        if problem.exit_code != ExitCode.NOT_FOUND:
            raise
    return [
        each for service in _SERVICES for each in _items(client.get(f"/services/{service}/v1/projections", fresh=False))
    ]


def _items(answer: ServerAnswer) -> Sequence[Mapping[str, Any]]:
    items: Sequence[Mapping[str, Any]] = answer.body["items"]
    return items


def _standing(told: Mapping[str, Any]) -> str:
    state = told["state"] if not told["detail"] else f"{told['state']} ({told['detail']})"
    return f"{state} at position {told['position']} of {told['head']}"


def _swapped(client: Client, path: str, generation: int, seconds: float) -> Mapping[str, Any]:
    """Wait until a generation is the live one.

    Raises:
        CliError: it could not be built, or another one was begun.
        TimedOut: it stood still for so long.
    """
    line = _Line()
    moved, at = time.monotonic(), -1
    try:
        while True:
            told: Mapping[str, Any] = client.get(path, fresh=False).body
            if told["generation"] != generation:
                raise CliError("another rebuild of it was begun meanwhile", fix="wait for that one")
            if told["state"] == "live":
                return told
            if told["state"] == "failed":
                raise CliError("the rebuild failed; the live projection is unchanged", why=told["detail"])
            if (building := told["building"] or 0) != at:
                moved, at = time.monotonic(), building
            elif time.monotonic() - moved > seconds:
                raise TimedOut(
                    f"no progress since position {at} of {told['head']}",
                    why="the process that built it may have ended",
                    fix="run the same command again: the unfinished tables are dropped",
                )
            line.show(f"building: {building:,}/{told['head']:,}")
            time.sleep(_POLL_SECONDS)
    finally:
        line.clear()


class _Line:
    """One line on a terminal's stderr that is written over; nothing elsewhere."""

    def __init__(self) -> None:
        self._drawn = False

    def show(self, text: str) -> None:
        if not is_plain(sys.stderr):
            self._drawn = True
            print(f"\r\x1b[2K{text}", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        if self._drawn:
            print("\r\x1b[2K", end="", file=sys.stderr, flush=True)
