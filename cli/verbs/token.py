"""`resedge token`: local tokens for people and service accounts, which expire and can be revoked."""

import json
from typing import Annotated

import typer

from cli.changes import ChangeFormat, ChangeOutput, tell_answer
from cli.client import path_of
from cli.durations import duration_of
from cli.options import Reason, required_reason, verb_app
from cli.session import session_of

app = verb_app()


@app.callback()
def token() -> None:
    """Create and revoke local tokens; `resedge get tokens` lists them."""


@app.command()
def create(
    ctx: typer.Context,
    user: Annotated[str, typer.Option("--user", help="The person or system that the token is for.", metavar="NAME")],
    lasting: Annotated[
        str, typer.Option("--for", help="How long the token is valid: 90m, 8h, 2d.", metavar="DURATION")
    ],
    service_account: Annotated[
        bool, typer.Option("--service-account", help="It is for a system, not for a person.")
    ] = False,
    reason: Reason = "",
    output: ChangeOutput = ChangeFormat.NAME,
) -> None:
    """Create a token and write it to stdout, once; its id and when it expires are said on stderr."""
    session = session_of(ctx)
    body = {
        "user": user,
        "hours": duration_of(lasting, "--for") / 3600,
        "service_account": service_account,
        "reason": reason,
    }
    answer = session.client.change("POST", path_of("tokens"), body)
    if output is ChangeFormat.JSON:
        print(json.dumps(answer.body, ensure_ascii=False), flush=True)
    else:
        print(answer.body["token"], flush=True)
    session.warn(*answer.warnings)
    session.say(f"token {answer.body.get('id')} of {user} expires at {answer.body.get('expires_at')}")


@app.command()
def revoke(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="ID", help="From `resedge get tokens`.")],
    reason: Reason = "",
    output: ChangeOutput = ChangeFormat.TEXT,
) -> None:
    """End a token: within a minute no process accepts it."""
    session = session_of(ctx)
    name = name.removeprefix("token/")
    answer = session.client.change("DELETE", path_of("tokens", name), {"reason": required_reason(reason, "revoke")})
    tell_answer(session, f"token/{name}", answer, output, result="revoked" if answer.status != 204 else "")
