"""`resedge explain`: which terms of an expression hold for a cluster."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from cli.client import path_of
from cli.options import Output, verb_app
from cli.output import Format, TableColumn, field, write_items, write_value
from cli.session import session_of

app = verb_app()
_COLUMNS = (TableColumn("HOLDS", field("holds")), TableColumn("TERM", field("term")), TableColumn("WHY", field("why")))


@app.command()
def explain(
    ctx: typer.Context,
    cluster: Annotated[str, typer.Argument(metavar="CLUSTER")],
    expression: Annotated[str, typer.Argument(metavar="EXPRESSION")],
    output: Output = Format.TABLE,
) -> None:
    """Show whether an expression selects a cluster, and which of its terms match."""
    session = session_of(ctx)
    body = session.client.get(path_of("clusters", cluster, "explain"), {"expression": expression}).body
    if output in (Format.JSON, Format.YAML):
        write_value(body, output)
        return
    terms = [_term(term) for term in body.get("terms") or []]
    write_items(terms, output, _COLUMNS, lambda term: str(term["term"]))
    session.say(f"{cluster} is {'' if body.get('holds') else 'not '}selected")


def _term(term: Any) -> Mapping[str, Any]:
    """Return a term as a row, whether it came as a list (text, holds, why) or as an object."""
    if isinstance(term, Mapping):
        return {"term": term.get("term", term.get("text")), "holds": term.get("holds"), "why": term.get("why")}
    text, holds, why = [*term, "", "", ""][:3]
    return {"term": text, "holds": holds, "why": why}
