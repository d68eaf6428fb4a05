"""`resedge audit`: who did what, when and why; and exports that can be verified without the product."""

import sys
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.client import PAGE_ITEMS_MAX
from cli.errors import UsageProblem
from cli.options import Limit, Output, verb_app
from cli.output import Format, Item, TableColumn, field, write_items
from cli.session import session_of
from cli.terminal import is_plain
from cli.verbs.get import TERMINAL_ITEMS

app = verb_app()

_Subject = Annotated[
    str | None,
    typer.Option(
        "--subject", help="Only events about this: `store/tx-austin-0042`, or a plain name.", metavar="KIND/NAME"
    ),
]
Actor = Annotated[str | None, typer.Option("--actor", help="Only events by this person or service.", metavar="NAME")]
Type = Annotated[
    str | None,
    typer.Option(
        "--type", help="Only events of this type: `StoreDeclared`, or of a service such as `inventory`.", metavar="TYPE"
    ),
]
From = Annotated[
    str | None, typer.Option("--from", help="Only events at this time or later: 2026-11-24T06:00:00Z.", metavar="TIME")
]
Until = Annotated[str | None, typer.Option("--until", help="Before this time.", metavar="TIME")]


def _short_type(item: Item) -> str:
    return str(item.get("type", "")).removeprefix("dev.resedge.")


_COLUMNS = (
    TableColumn("POSITION", field("position")),
    TableColumn("TIME", field("time")),
    TableColumn("ACTOR", field("actor")),
    TableColumn("TYPE", _short_type, wide=True),
    TableColumn("SUBJECT", field("subject"), wide=True),
    TableColumn("CORRELATION", field("correlationid"), wide=True),
    TableColumn("WHAT", field("sentence")),
    TableColumn("WHY", field("reason")),
)


@app.callback(invoke_without_command=True)
def audit(  # noqa: PLR0913, PLR0917 - they are options; Typer passes them by name
    ctx: typer.Context,
    subject: _Subject = None,
    actor: Actor = None,
    since: From = None,
    until: Until = None,
    type_: Type = None,
    oldest: Annotated[bool, typer.Option("--oldest", help="The oldest first.")] = False,
    limit: Limit = None,
    everything: Annotated[bool, typer.Option("--all", help="All of it, on a terminal too.")] = False,
    output: Output = Format.TABLE,
) -> None:
    """Show who did what, when and why, the newest first.

    A terminal shows the last hundred and says so; what is piped or has --all or --limit is not cut off.
    `resedge audit export FILE` writes the events themselves.
    """
    if ctx.invoked_subcommand is not None:
        return
    session = session_of(ctx)
    query = {**narrowed(subject, actor, since, until, type_), "order": "oldest" if oldest else "newest"}
    items = session.client.pages("/v1/audit", query, page_items=min(limit or PAGE_ITEMS_MAX, PAGE_ITEMS_MAX))
    on_terminal = output in (Format.TABLE, Format.WIDE) and not is_plain(sys.stdout)
    most = limit or (None if everything or not on_terminal else TERMINAL_ITEMS)
    rest = iter(items)
    write_items(islice(rest, most) if most else rest, output, _COLUMNS, _name, empty="nothing was done")
    if most and not limit and next(rest, None) is not None:
        session.say(f"the {'first' if oldest else 'last'} {most}; --all shows everything, --limit N so many")


def narrowed(
    subject: str | None, actor: str | None, since: str | None, until: str | None, type_: str | None
) -> Mapping[str, Any]:
    """Return the query of what was asked for; what was not is None.

    Raises:
        UsageProblem: something is empty, like a variable that was not set: the answer would be everything.
    """
    query = {"subject": subject, "actor": actor, "from": since, "until": until, "type": type_}
    for name, value in query.items():
        if value is not None and not value.strip():
            raise UsageProblem(f"--{name} is empty", fix=f"leave --{name} out to ask for everything")
    return query


def _name(item: Item) -> str:
    return f"event/{item.get('position')}"


@app.command()
def export(  # noqa: PLR0913, PLR0917 - they are options; Typer passes them by name
    ctx: typer.Context,
    file: Annotated[
        Path, typer.Argument(metavar="FILE.jsonl", help="Output file; FILE.manifest.json is written beside it.")
    ],
    since: From = None,
    until: Until = None,
    after: Annotated[
        int | None, typer.Option("--after", min=0, help="Only events after this position.", metavar="N")
    ] = None,
    through: Annotated[
        int | None, typer.Option("--through", min=0, help="Only events up to this position.", metavar="N")
    ] = None,
    subject: _Subject = None,
    actor: Actor = None,
    type_: Type = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
) -> None:
    """Write events as JSON Lines with a manifest, which `scripts/verify-export FILE` checks without the product.

    A whole range is contiguous: one event missing, changed or out of place is found. With --subject, --actor or --type
    others are left out, and the manifest says so; each line still proves itself.
    """
    from cli.exporting import export_events  # noqa: PLC0415 - loaded only when it is needed: start-up time

    session = session_of(ctx)
    query = {**narrowed(subject, actor, since, until, type_), "after": after, "through": through}
    export_events(session, file, {name: value for name, value in query.items() if value is not None}, force=force)
