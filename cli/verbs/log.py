"""`resedge log`: read the events, and follow them as they are appended."""

import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Annotated, Any

import typer

from cli.client import PAGE_ITEMS_MAX, Client
from cli.errors import Unreachable
from cli.options import Limit, Output, verb_app
from cli.output import Format, Item, TableColumn, field, text, write_items
from cli.session import Session, session_of
from cli.terminal import is_plain
from cli.verbs.get import TERMINAL_ITEMS

app = verb_app()
_RECONNECTS_MAX = 30
_FOLLOWED_BEFORE = 10


def _short_type(item: Item) -> str:
    """Return `inventory.StoreDeclared`: the type without what all types have in common."""
    return str(item.get("type", "")).removeprefix("dev.resedge.")


_COLUMNS = (
    TableColumn("POSITION", field("position")),
    TableColumn("TIME", field("time")),
    TableColumn("TYPE", _short_type),
    TableColumn("STREAM", field("stream")),
    TableColumn("VERSION", field("version"), wide=True),
    TableColumn("ACTOR", field("actor")),
    TableColumn("HASH", field("hash"), wide=True),
    TableColumn("DATA", field("data"), wide=True),
)


@app.command()
def log(
    ctx: typer.Context,
    after: Annotated[
        int | None, typer.Option("--after", min=0, help="Only events after this position.", metavar="N")
    ] = None,
    tail: Annotated[int | None, typer.Option("--tail", min=1, help="Only the last N events.", metavar="N")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Then follow new events.")] = False,
    limit: Limit = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them, on a terminal too.")] = False,
    output: Output = Format.TABLE,
) -> None:
    """Read the event log in its order. A terminal shows the last hundred; with --follow it starts with the last ten."""
    session = session_of(ctx)
    if after is None and tail is None and limit is None and not everything:
        on_terminal = output in (Format.TABLE, Format.WIDE) and not is_plain(sys.stdout)
        tail = _FOLLOWED_BEFORE if follow else TERMINAL_ITEMS if on_terminal else None
    items = _events(session.client, after or 0, tail, limit)
    if not follow:
        write_items(items, output, _COLUMNS, _name)
        return
    last, shown = after or 0, 0
    for item in _print_each(items, output):
        last, shown = int(item["position"]), shown + 1
    left = None if limit is None else limit - shown
    for _ in islice(_print_each(_followed(session, last), output, head=not shown), left):
        pass


def _name(item: Item) -> str:
    return f"{item.get('stream')}/{item.get('version')}"


def _events(client: Client, after: int, tail: int | None, limit: int | None) -> Iterator[Item]:
    """Yield what is in the log now, from `after` or the last `tail`, at most `limit`."""
    if tail is None:
        return _pages(client, after, limit)
    return iter(deque(_pages(client, _after_for_tail(client, tail, after), limit), maxlen=tail))


def _pages(client: Client, after: int, limit: int | None) -> Iterator[Item]:
    left = limit
    while left is None or left > 0:
        wanted = PAGE_ITEMS_MAX if left is None else min(left, PAGE_ITEMS_MAX)
        items = client.get("/v1/events", {"after": after, "limit": wanted}).body.get("items") or []
        yield from items
        if len(items) < wanted:
            return
        left = None if left is None else left - len(items)
        after = int(items[-1]["position"])


def _after_for_tail(client: Client, tail: int, after: int) -> int:
    """Return where the last `tail` start: positions have no gaps, so the head says it (unknown: at the beginning)."""
    head = client.get("/v1/events", {"after": after, "limit": 1}).position
    return max(after, head - tail)


def _followed(session: Session, after: int) -> Iterator[Item]:
    """Yield events as they are appended; a dropped connection goes on after the last event seen.

    Raises:
        Unreachable: the server stayed away.
    """
    misses = 0
    while True:
        try:
            for item in session.client.events("/v1/events", {"after": after, "follow": "true"}):
                if isinstance(item, dict) and int(item.get("position", 0)) > after:
                    after, misses = int(item["position"]), 0
                    yield item
        except Unreachable:
            misses += 1
            if misses > _RECONNECTS_MAX:
                raise
            session.say(f"connection lost after position {after}; retrying")
        time.sleep(min(0.2 * 2 ** min(misses, 5), 5.0))


def _print_each(items: Iterable[Item], how: Format, *, head: bool = True) -> Iterator[Item]:
    """Print every event at once, in columns of fixed width: what comes later cannot be measured."""
    columns = [column for column in _COLUMNS if how is Format.WIDE or not column.wide]
    widths = {"POSITION": 10, "TIME": 27, "TYPE": 34, "STREAM": 34, "VERSION": 7}
    if head and how in (Format.TABLE, Format.WIDE):
        print("  ".join(c.heading.ljust(widths.get(c.heading, 0)) for c in columns).rstrip())
    for item in items:
        if how in (Format.TABLE, Format.WIDE):
            cells: list[Any] = [text(c.cell(item)).ljust(widths.get(c.heading, 0)) for c in columns]
            print("  ".join(cells).rstrip(), flush=True)
        else:
            write_items([item], Format.JSONL if how is Format.JSON else how, _COLUMNS, _name)
            sys.stdout.flush()
        yield item
