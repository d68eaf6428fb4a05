"""`resedge inbox`: external events and their outcomes."""

from itertools import islice
from typing import Annotated

import typer

from cli.client import PAGE_ITEMS_MAX, path_of
from cli.options import Limit, Output, verb_app
from cli.output import Column, Format, field, write_items
from cli.session import session_of

app = verb_app()

_COLUMNS = (
    Column("POSITION", field("position")),
    Column("TIME", field("at")),
    Column("OUTCOME", field("outcome")),
    Column("SOURCE", field("source")),
    Column("ID", field("id")),
    Column("TYPE", lambda item: str(item.get("type", "")).removeprefix("dev.resedge.inbox.")),
    Column("STREAM", field("stream")),
    Column("CODE", field("code"), wide=True),
    Column("LETTER", field("letter"), wide=True),
    Column("ACTOR", field("actor"), wide=True),
)


@app.callback()
def inbox() -> None:
    """Show what external systems have sent."""


@app.command("list")
def list_(
    ctx: typer.Context,
    source: Annotated[str, typer.Option("--source", help="Only of this source URI.", metavar="URI")] = "",
    outcome: Annotated[
        str, typer.Option("--outcome", help="Only accepted, unchanged or refused ones.", metavar="OUTCOME")
    ] = "",
    limit: Limit = None,
    output: Output = Format.TABLE,
) -> None:
    """List external events and their outcomes, newest first."""
    query = {"source": source or None, "outcome": outcome or None}
    page_items = min(limit or PAGE_ITEMS_MAX, PAGE_ITEMS_MAX)
    items = islice(session_of(ctx).client.pages(path_of("inbox"), query, page_items=page_items), limit)
    write_items(items, output, _COLUMNS, lambda item: f"{item.get('source')} {item.get('id')}", empty="no events")
