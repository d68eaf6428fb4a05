"""`resedge login`: sign in with the identity provider, by a code that is typed in any browser."""

from typing import Annotated

import typer

from cli.client import Client
from cli.config import Connection, Context, config_path, save_config, state_path
from cli.errors import Unreachable, UsageProblem
from cli.options import verb_app
from cli.positions import KeptPositions
from cli.session import Session, session_of

app = verb_app()


@app.command()
def login(
    ctx: typer.Context,
    issuer: Annotated[str, typer.Option("--issuer", help="The identity provider's address.", metavar="URL")] = "",
    client_id: Annotated[
        str, typer.Option("--client-id", help="The client id that the provider knows.", metavar="ID")
    ] = "",
    scope: Annotated[
        str, typer.Option("--scope", help="The scopes to request.", metavar="TEXT")
    ] = "openid email profile offline_access",
    audience: Annotated[
        str, typer.Option("--audience", help="The audience, if the provider needs one.", metavar="TEXT")
    ] = "",
) -> None:
    """Sign in: shows an address and a code, waits for your yes there, and keeps the token in the current context.

    RESEDGE_OIDC_ISSUER and RESEDGE_OIDC_CLIENT_ID say the same as the options; both are kept in the context, too. The
    token is renewed by itself for as long as the provider allows.
    """
    from cli.signing_in import SignInProvider, signed_in_as  # noqa: PLC0415 - loaded only when it is needed: start-up time

    session = session_of(ctx)
    context = _context(session)
    provider = SignInProvider(*_whom(session, context, issuer, client_id))
    try:
        code = provider.code(scope, audience)
        session.say(f"open {code.page} and type the code {code.user}")
        if code.complete:
            session.say(f"or open {code.complete}")
        granted = provider.wait(code)
    finally:
        provider.close()
    signed_in = signed_in_as(context, provider, granted)
    name = _accepted(session, signed_in)
    save_config(config_path(session.environment), session.config.having(signed_in))
    until = f" until {granted.expires}" if granted.expires and not granted.refresh_token else ""
    print(f"context/{context.name} signed in{f' as {name}' if name else ''}{until}")


def _context(session: Session) -> Context:
    """Return the context that the token is for; only a server with a name can keep one."""
    used = session.connection
    if not used.context:
        raise UsageProblem(
            "there is no context to keep the token in", fix=f"resedge context set NAME --server {used.server}"
        )
    return session.config.named(used.context)


def _whom(session: Session, context: Context, issuer: str, client_id: str) -> tuple[str, str]:
    known = context.sign_in
    issuer = issuer or session.environment.get("RESEDGE_OIDC_ISSUER", "") or (known.issuer if known else "")
    client_id = client_id or session.environment.get("RESEDGE_OIDC_CLIENT_ID", "") or (known.client_id if known else "")
    if not issuer or not client_id:
        raise UsageProblem(
            "the identity provider or the client id is missing", fix="resedge login --issuer URL --client-id ID"
        )
    return issuer, client_id


def _accepted(session: Session, context: Context) -> str:
    """Return whom the server takes the new token for; nothing where the server cannot be asked now.

    Raises:
        CliError: it does not accept the token, so that there is nothing to keep.
    """
    connection = Connection(context.server, context.token, context.name)
    client = Client(connection, KeptPositions(state_path(session.environment), connection))
    try:
        body = client.get("/v1/whoami", fresh=False).body
        if body.get("groups_unknown"):
            session.warn(str(body["groups_unknown"]))
        return str(body.get("actor"))
    except Unreachable as away:
        session.warn(f"the token was not tried: {away.what}")
        return ""
    finally:
        client.close()
