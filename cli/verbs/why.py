"""`resedge why`: the gates between an application and a cluster, and the first that is closed."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any

import typer

from cli.client import path_of
from cli.options import Output, verb_app
from cli.output import Format, TableColumn, field, text, write_items, write_value
from cli.session import session_of
from cli.terminal import coloured

app = verb_app()
_COLUMNS = (
    TableColumn("GATE", field("gate")),
    TableColumn("OPEN", field("open")),
    TableColumn("REASON", field("reason")),
    TableColumn("SINCE", field("since")),
)


@app.command()
def why(
    ctx: typer.Context,
    cluster: Annotated[str, typer.Argument(metavar="CLUSTER")],
    application: Annotated[str, typer.Argument(metavar="APPLICATION")],
    output: Output = Format.TABLE,
) -> None:
    """Explain why a cluster runs what it runs: every gate in order, its reason, since when, and the evidence."""
    session = session_of(ctx)
    body = session.client.get(path_of("clusters", cluster, "why"), {"application": application}).body
    gates = body.get("gates") or []
    if output in (Format.JSON, Format.YAML):
        write_value(body, output)
    elif output in (Format.JSONL, Format.NAME):
        write_items(gates, output, _COLUMNS, lambda gate: str(gate.get("gate")))
    else:
        print("\n".join(_page(body, gates)))


def _page(body: Mapping[str, Any], gates: list[Mapping[str, Any]]) -> Iterator[str]:
    said = f": {body['summary']}" if body.get("summary") else ""
    yield f"{body.get('application')} on {body.get('cluster')}{said}"
    for side in ("admitted", "target"):
        yield f"  {side:<9} {text(_variant(body.get(side)))}"
    if body.get("earliest_reason"):
        yield f"  {body['earliest_reason']}"
    yield ""
    closed = next((i for i, gate in enumerate(gates) if not gate.get("open")), None)
    cells = max((len(str(gate.get("gate"))) for gate in gates), default=0)
    for i, gate in enumerate(gates):
        first = i == closed
        is_open = bool(gate.get("open"))
        state = coloured(f"{'open' if is_open else 'closed':<6}", "green" if is_open else "red", sys.stdout)
        since = f"  (since {gate['since']})" if gate.get("since") else ""
        yield f"{'>' if first else ' '} {gate.get('gate', ''):<{cells}}  {state}  {text(gate.get('reason'))}{since}"
        yield from (f"      {line}" for line in _evidence(gate.get("evidence")))
    if closed is not None:
        yield ""
        yield f"The first closed gate is {gates[closed].get('gate')}: {text(gates[closed].get('reason'))}"


def _variant(side: Any) -> Any:
    """Return what is admitted or wanted in a few words: the release, if the answer says more than that."""
    if isinstance(side, Mapping):
        return {key: value for key, value in side.items() if not isinstance(value, Mapping | list)}
    return side if side is not None else "nothing"


def _evidence(evidence: Any) -> Iterator[str]:
    entries: Iterable[Any] = evidence if isinstance(evidence, list) else [evidence] if evidence else []
    for entry in entries:
        if isinstance(entry, Mapping):
            said = [text(entry["what"])] if "what" in entry else []
            yield ", ".join([*said, *(f"{key}: {text(value)}" for key, value in entry.items() if key != "what")])
        else:
            yield text(entry)
