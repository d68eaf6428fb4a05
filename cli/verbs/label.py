"""`resedge label stores`: set and remove labels on many stores at once."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from cli.changes import ChangeFormat, ChangeOutput, tell_counts
from cli.client import LONG_SECONDS
from cli.errors import UsageProblem, nearest_words
from cli.options import DryRun, Yes, verb_app
from cli.reaching import change_reaching, tell_reach
from cli.session import session_of

app = verb_app()


@app.command()
def label(
    ctx: typer.Context,
    kind: Annotated[str, typer.Argument(metavar="stores", help="What to label.")],
    changes: Annotated[
        list[str],
        typer.Argument(metavar="KEY=VALUE… KEY-…", help="`a|b` sets several values; `KEY-` removes the label."),
    ],
    where: Annotated[
        str, typer.Option("--where", "-l", help="The stores to label; `/c/*` is all.", metavar="EXPRESSION")
    ],
    yes: Yes = False,
    dry_run: DryRun = False,
    output: ChangeOutput = ChangeFormat.TEXT,
) -> None:
    """Change labels of every store that an expression selects, in one step."""
    session = session_of(ctx)
    if kind not in ("store", "stores"):
        raise UsageProblem(f"only stores are labelled in bulk, not {kind!r}", nearest=nearest_words(kind, ["stores"]))
    put, remove = _parsed(changes)
    body = {"where": where, "set": put, "remove": remove}
    answer = change_reaching(
        session,
        "the change of labels",
        lambda params: session.client.change(
            "POST", "/v1/stores:label", body, params=params, read_seconds=LONG_SECONDS
        ),
        yes=yes,
        dry_run=dry_run,
    )
    told = answer.body or {}
    tell_counts(session, f"{told.get('changed', 0)} stores changed", told, output, dry_run=dry_run)
    tell_reach(session, told)


def _parsed(changes: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Return the labels to set and the keys to remove.

    Raises:
        UsageProblem: a word is neither `key=value` nor `key-`, or a key stands twice.
    """
    put: dict[str, Any] = {}
    remove: list[str] = []
    for change in changes:
        key, equals, value = change.partition("=")
        key = key if equals else key.removesuffix("-")
        if not key or (not equals and key == change):
            raise UsageProblem(f"{change!r} is neither KEY=VALUE nor KEY-")
        if key in put or key in remove:
            raise UsageProblem(f"the label {key!r} stands twice", fix="write several values as KEY=A|B")
        if equals:
            put[key] = value.split("|") if "|" in value else value
        else:
            remove.append(key)
    return put, remove
