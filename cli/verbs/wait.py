"""`resedge wait`: return when rendering has caught up, so that scripts never sleep."""

import time
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

import typer

from cli.client import Client
from cli.durations import duration_seconds
from cli.errors import CliError, ExitCode, TimedOut
from cli.options import verb_app
from cli.session import Session, session_of

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
    application: Annotated[
        str, typer.Option("--application", help="Count only this application.", metavar="APPLICATION")
    ] = "",
) -> None:
    """Wait until every change that may be admitted now is committed.

    It says how many placements are admitted, waiting and refused. Exits 3 if the release that this command set last, or
    the given application, is refused on every cluster.
    """
    session = session_of(ctx)
    seconds = duration_seconds(timeout)
    deadline = time.monotonic() + seconds
    head = position or session.client.get("/v1/events", {"after": 0, "limit": 1}, fresh=False).position
    asked = {"application": application} if application else {"asked": str(session.client.last_change)}
    body = settled(session.client, head, deadline, timeout, {"counts": "true", **asked})
    tell_settled(session, body, condition)


def tell_settled(session: Session, body: Mapping[str, Any], condition: Condition = Condition.RENDERED) -> None:
    """Write where rendering is, and say what came of the changes.

    Raises:
        CliError: what was asked for is refused on every cluster (exit 3).
    """
    commit = body.get("commit") or "no commit yet"
    print(f"{condition} at position {body.get('position')}: {commit}")
    remote = body.get("remote") or {}
    if remote.get("failures"):
        session.warn(
            f"stores that pull from {remote.get('name')} do not get this: the push fails ({remote.get('reason')}); "
            f"{remote.get('fix')}"
        )
    outcome = body.get("outcome")
    if not isinstance(outcome, Mapping):
        return
    session.say(outcome_line(outcome))
    if everywhere := outcome.get("refused_everywhere"):
        refusals = outcome.get("refusals") or [{}]
        raise CliError(
            f"{', '.join(everywhere)}: refused on every cluster",
            why=str(refusals[0].get("reason") or "no cluster can have it"),
            fix="see `resedge get refusals`; what ran before stays",
            exit_code=ExitCode.REFUSED,
            code="refused-everywhere",
        )


def outcome_line(outcome: Mapping[str, Any]) -> str:
    """Return `370 admitted, 30 waiting (window: 30, opens 2026-12-01T23:30:00+00:00), 2 refused`."""
    gates = [_gate(each) for each in outcome.get("gates") or ()]
    why = f" ({'; '.join(gates)})" if gates else ""
    admitted, waiting, refused = (int(outcome.get(each) or 0) for each in ("admitted", "waiting", "refused"))
    return f"{admitted:,} admitted, {waiting:,} waiting{why}, {refused:,} refused"


def _gate(waiting: Mapping[str, Any]) -> str:
    """Return a gate, how many wait for it, and when it opens: `freeze stop: 30, opens 2026-12-01T23:30:00+00:00`."""
    gate, by = str(waiting.get("gate") or ""), str(waiting.get("by") or "")
    opens = f", opens {when}" if (when := waiting.get("until")) else ""
    named = by if by.startswith(gate) else f"{gate} {by}"
    return f"{named.strip()}: {int(waiting.get('count') or 0):,}{opens}"


def settled(
    client: Client, position: int, deadline: float, timeout: str, more: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Poll until that position is rendered; `more` are parameters of the question.

    Raises:
        TimedOut: the deadline passed first.
    """
    while True:
        left = max(deadline - time.monotonic(), 0.0)
        poll_seconds = min(left, _POLL_SECONDS_MAX)
        params = {"timeout_seconds": f"{poll_seconds:.3f}"} | ({"position": str(position)} if position else {})
        params |= more or {}
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
