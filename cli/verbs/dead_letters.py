"""`resedge dead-letters`: refused external events, and consumers that are halted at an event."""

import json
import sys
from itertools import islice
from typing import Annotated, Any

import typer

from cli.changes import ChangeFormat, ChangeOutput, tell_answer
from cli.client import PAGE_ITEMS_MAX, path_of
from cli.errors import UsageProblem, nearest_words
from cli.options import Limit, Output, verb_app
from cli.output import Format, Item, TableColumn, field, text, write_items
from cli.session import Session, session_of

app = verb_app()

_Letter = Annotated[str, typer.Argument(metavar="LETTER", help="From `resedge dead-letters list`.")]
_Why = Annotated[str, typer.Option("--reason", help="Reason; kept in the log.", metavar="TEXT")]

_SHOWN_CHARACTERS = 12
_STATES = ("open", "retried", "skipped", "settled", "all")


def _about(item: Item) -> str:
    """Return what a letter is about: which event of which source, or which consumer before which position."""
    if item.get("kind") == "consumer":
        return f"{item.get('consumer')} at {item.get('stopped_at')}"
    return f"{item.get('source') or ''} {item.get('id') or ''}".strip() or "-"


_COLUMNS = (
    TableColumn("LETTER", field("letter")),
    TableColumn("KIND", field("kind")),
    TableColumn("STATE", field("state")),
    TableColumn("CODE", lambda item: item.get("code") or "halted"),
    TableColumn("ABOUT", _about),
    TableColumn("REASON", field("reason")),
    TableColumn("TYPE", field("type"), wide=True),
    TableColumn("OPENED", field("opened_at"), wide=True),
    TableColumn("ATTEMPTS", field("attempts"), wide=True),
    TableColumn("DECISION", field("decision"), wide=True),
)


@app.callback()
def dead_letters() -> None:
    """List events that could not be applied; retry or skip them."""


@app.command("list")
def list_(
    ctx: typer.Context,
    kind: Annotated[str, typer.Option("--kind", help="Only inbox or consumer.", metavar="KIND")] = "",
    state: Annotated[
        str, typer.Option("--state", help="open, retried, skipped, settled or all.", metavar="STATE")
    ] = "open",
    limit: Limit = None,
    output: Output = Format.TABLE,
) -> None:
    """List dead letters, newest first; those that are open, unless --state says otherwise."""
    if state not in _STATES:
        raise UsageProblem(
            f"--state does not take {state!r}",
            fix=f"use one of {', '.join(_STATES)}",
            nearest=nearest_words(state, _STATES),
        )
    session = session_of(ctx)
    query: dict[str, Any] = {"kind": kind or None, "state": None if state == "all" else state}
    page_items = min(limit or PAGE_ITEMS_MAX, PAGE_ITEMS_MAX)
    items = islice(session.client.pages(path_of("dead-letters"), query, page_items=page_items), limit)
    write_items(items, output, _COLUMNS, _name, empty="no dead letters")


def _path(letter: str) -> str:
    if "/" in letter:
        raise UsageProblem(
            f"{letter!r} is not the name of a dead letter", fix="list them with resedge dead-letters list"
        )
    return path_of("dead-letters", letter)


def _name(item: Item) -> str:
    return str(item.get("letter"))


@app.command()
def show(ctx: typer.Context, letter: _Letter, output: Output = Format.TABLE) -> None:
    """Show a dead letter with the received message and the reason of its refusal."""
    item = session_of(ctx).client.get(_path(letter)).body
    if output not in {Format.TABLE, Format.WIDE}:
        write_items([item], output, _COLUMNS, _name, single=True)
        return
    for key, value in item.items():
        if key != "body":
            print(f"{key:<{_SHOWN_CHARACTERS}} {text(value)}")
    if item.get("body"):
        sys.stdout.write(f"body\n{_readable(str(item['body']))}\n")


def _readable(body: str) -> str:
    """Return a body for people: JSON indented, anything else without what a terminal would obey."""
    try:
        return json.dumps(json.loads(body), ensure_ascii=False, indent=2)
    except ValueError:
        return "\n".join(text(line) for line in body.splitlines())


@app.command()
def retry(ctx: typer.Context, letter: _Letter, reason: _Why, output: ChangeOutput = ChangeFormat.TEXT) -> None:
    """Retry a dead letter: an external event at once, as it came; a consumer by asking it to.

    An event that is refused again stays open, and this ends with the refusal.
    """
    _decide(session_of(ctx), letter, "retry", reason, output)


@app.command()
def skip(ctx: typer.Context, letter: _Letter, reason: _Why, output: ChangeOutput = ChangeFormat.TEXT) -> None:
    """Skip a dead letter: the event has no effect; a consumer continues after it."""
    _decide(session_of(ctx), letter, "skip", reason, output)


def _decide(session: Session, letter: str, verb: str, reason: str, how: ChangeFormat) -> None:
    if not reason.strip():
        raise UsageProblem(f"{verb} needs a reason", fix="give --reason TEXT")
    answer = session.client.change("POST", f"{_path(letter)}:{verb}", {"reason": reason})
    tell_answer(session, f"dead-letter/{letter}", answer, how)
