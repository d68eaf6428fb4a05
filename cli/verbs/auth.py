"""`resedge auth`: the identity that the server sees, the rights, and tokens."""

from pathlib import Path
from typing import Annotated

import typer

from cli.config import redacted_url
from cli.errors import UsageProblem, nearest_words
from cli.kinds import Kinds
from cli.options import Output, verb_app
from cli.output import Format, text, write_value
from cli.session import session_of

app = verb_app()


@app.callback()
def auth() -> None:
    """Show who you are and what you may do; issue tokens."""


@app.command()
def whoami(ctx: typer.Context, output: Output = Format.TABLE) -> None:
    """Show the context, the server, and the identity of this token."""
    session = session_of(ctx)
    connection = session.connection
    body = session.client.get("/v1/whoami").body
    facts = {"context": connection.context or None, "server": redacted_url(connection.server), **body}
    if output in (Format.JSON, Format.JSONL, Format.YAML):
        write_value(facts, output)
    elif output is Format.NAME:
        print(facts.get("actor") or facts.get("name"))
    else:
        unknown = facts.pop("groups_unknown", None)
        for key, value in facts.items():
            print(f"{key:<9} {text(value)}")
        if unknown:
            session.warn(str(unknown))


@app.command("can-i")
def can_i(
    ctx: typer.Context,
    verb: Annotated[str, typer.Argument(metavar="VERB", help="Like get, apply, approve, policy:affect.")],
    kind: Annotated[str, typer.Argument(metavar="KIND", help="Like Freeze, or freezes.")],
    where: Annotated[
        str,
        typer.Option(
            "--where", "-l", help="On all clusters that this selects; default: anywhere.", metavar="EXPRESSION"
        ),
    ] = "",
    namespace: Annotated[str, typer.Option("--namespace", help="To things of this namespace.", metavar="NAME")] = "",
    output: Output = Format.TABLE,
) -> None:
    """Say yes or no, exit 0 or 1: may I do this to things of that kind?"""
    narrowed = {"where": where} if where else {}
    narrowed |= {"namespace": namespace} if namespace else {}
    session = session_of(ctx)
    body = session.client.get("/v1/can-i", {"verb": verb, "kind": _kind(session.kinds, kind)} | narrowed).body
    allowed = bool(body["allowed"])
    if output in (Format.JSON, Format.JSONL, Format.YAML):
        write_value(body, output)
    else:
        print("yes" if allowed else "no")
        if body.get("reason"):
            session.say(str(body["reason"]))
    raise typer.Exit(0 if allowed else 1)


def _kind(kinds: Kinds, word: str) -> str:
    """Return the kind as rights name it: `freezes` and `freeze` are `Freeze`; other words are left as they are."""
    if any(word == kind.right for kind in kinds):
        return word
    kind = kinds.of_word(word)
    return word if kind is None else kind.right


@app.command()
def issue(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The person or service account that the token is for.")],
    role: Annotated[str, typer.Option("--role", help="admin, viewer, relay or source.", metavar="ROLE")],
    tokens: Annotated[
        Path, typer.Option("--tokens", help="The file that the server keeps hashed tokens in.", metavar="FILE")
    ] = Path("data/tokens.json"),
) -> None:
    """Issue a token on the server's machine and write it to stdout, once; an older one of that name ends.

    A running server accepts it at once.
    """
    from libs.contracts.refusals import Invalid  # noqa: PLC0415 - start-up time
    from libs.web.auth import ROLES, TokenStore  # noqa: PLC0415 - start-up time

    if role not in ROLES:
        raise UsageProblem(
            f"no role {role!r}", fix=f"use one of {', '.join(sorted(ROLES))}", nearest=nearest_words(role, ROLES)
        )
    if not tokens.parent.is_dir():
        raise UsageProblem(f"{tokens.parent} is not there", fix="give the server's own file with --tokens FILE")
    try:
        print(TokenStore(tokens).issue(name, frozenset({role})))
    except Invalid as refusal:
        raise UsageProblem(refusal.detail, fix=refusal.fix or "") from None
