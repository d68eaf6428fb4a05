"""`resedge inbox`: external events and their outcomes."""

from itertools import islice
from typing import Annotated

import typer

from cli.client import PAGE_ITEMS_MAX, path_of
from cli.options import Limit, Output, verb_app
from cli.output import Format, TableColumn, field, write_items
from cli.session import session_of

app = verb_app()

_COLUMNS = (
    TableColumn("POSITION", field("position")),
    TableColumn("TIME", field("at")),
    TableColumn("OUTCOME", field("outcome")),
    TableColumn("SOURCE", field("source")),
    TableColumn("ID", field("id")),
    TableColumn("TYPE", lambda item: str(item.get("type", "")).removeprefix("dev.resedge.inbox.")),
    TableColumn("STREAM", field("stream")),
    TableColumn("CODE", field("code"), wide=True),
    TableColumn("LETTER", field("letter"), wide=True),
    TableColumn("ACTOR", field("actor"), wide=True),
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
