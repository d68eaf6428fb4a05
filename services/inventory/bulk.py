"""Many stores at once: imports and bulk labelling, each one submission, whole or not at all.

The one rule: long work is cut into chunks between which the event loop answers others.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from fastapi import Request
from pydantic import Field

from libs.contracts import Labels
from libs.contracts.names import check_labels
from libs.contracts.refusals import Invalid
from libs.fleet import Fleet
from libs.selection import SelectionError, parse
from libs.web.bodies import IMPORT_BYTES_MAX, media_type, read_body
from libs.web.commands import Proposal
from libs.web.documents import DocumentsView
from libs.web.intents import Intent
from libs.web.problems import Problem, expression_problem
from libs.web.schema import Spec
from services.inventory.domain import Absent, ClusterNameTaken, DeclareStore, decide, evolve, relabelled, store_stream
from services.inventory.events import StoreDeclared
from services.inventory.importing import ROWS_MAX, Rows, StoreRow, bad_rows, rows_of

ROWS_A_CHUNK = 200
SHOWN_EVENTS_MAX = 100
WHERE_CATEGORIES = ("store", "group", "namespace")
"""What an expression's answer rests on."""

Known = Mapping[str, tuple[StoreDeclared | Absent, int]]
"""Store name → what it is and its stream's version."""


class LabelChange(Spec):
    """The body of `stores:label`: which stores, which labels to put, which keys to remove."""

    where: str
    set: dict[str, Any] = Field(default_factory=dict)
    remove: list[str] = Field(default_factory=list)


async def read_rows(request: Request) -> tuple[Rows, bytes]:
    """Return an import's rows and its body.

    Raises:
        Problem: 413, 415, or 422 with every bad row.
    """
    kind = media_type(request)
    rows_of(b"", kind, Rows())  # an unknown format is refused before the body is read
    body = await read_body(request, IMPORT_BYTES_MAX)
    rows = Rows()
    for count, (row, cells) in enumerate(rows_of(body, kind, rows), start=1):
        if count > ROWS_MAX:
            rows.error(row, "", f"an import has at most {ROWS_MAX} rows")
            break
        rows.take(row, cells)
        if count % ROWS_A_CHUNK == 0:
            await asyncio.sleep(0)
    if rows.errors_count:
        raise bad_rows(rows.errors, rows.errors_count)
    return rows, body


async def known_stores(view: DocumentsView, names: Sequence[str], intent: Intent) -> Known:
    """Return the stores that exist, or did, among `names`; those that are assumed as assumed."""
    known: dict[str, tuple[StoreDeclared | Absent, int]] = {}
    for index, row in enumerate(await view.rows("Store", names)):
        known[row.name] = (evolve(Absent(), row.event()), row.version)
        if index % ROWS_A_CHUNK == 0:
            await asyncio.sleep(0)
    for _, event in intent.assume:
        if isinstance(event, StoreDeclared):
            known[event.name] = (event, known.get(event.name, (None, 0))[1])
    return known


async def propose_import(rows: Rows, view: DocumentsView, intent: Intent, at: datetime, facts: Fleet) -> Proposal:
    """Return the events of an import; refused as a whole where a cluster name is taken."""
    known = await known_stores(view, [row.name for row in rows.good], intent)
    counts: Counter[str] = Counter(created=0, configured=0, unchanged=0)
    events: list[tuple[str, StoreDeclared]] = []
    expected: dict[str, int] = {}
    taken = Rows()
    for index, row in enumerate(rows.good):
        if index % ROWS_A_CHUNK == 0:
            await asyncio.sleep(0)
        state, version = known.get(row.name, (Absent(), 0))
        decided = _decided(row, state, facts, intent.actor, at, taken)
        counts["unchanged" if not decided else "created" if isinstance(state, Absent) else "configured"] += 1
        stream = store_stream(row.name)
        for event in decided:
            events.append((stream, event))
            expected[stream] = version
    if taken.errors_count:
        refusal = bad_rows(taken.errors, taken.errors_count)
        raise Problem(
            409,
            ClusterNameTaken.code,
            "Some rows name clusters that other stores have, so none was taken.",
            refusal.detail,
            refusal.pointer,
            "give those stores other names, or delete the clusters there first",
            refusal.extra,
        )
    return Proposal(
        events=events,
        expected=expected,
        guards=("store",) if counts["created"] else (),
        body=dict(counts),
        unchanged=(200, dict(counts)),
        shown=events[:SHOWN_EVENTS_MAX],
    )


def _decided(
    row: StoreRow, state: StoreDeclared | Absent, facts: Fleet, actor: str, at: datetime, taken: Rows
) -> list[StoreDeclared]:
    command = DeclareStore(row.over(state if isinstance(state, StoreDeclared) else None), actor, at)
    try:
        return [event for event in decide(command, state, facts) if isinstance(event, StoreDeclared)]
    except ClusterNameTaken as refusal:
        taken.error(row.row, "name", refusal.detail)
        return []


def label_change(change: LabelChange) -> tuple[Labels, list[str]]:
    """Return which labels to put and which keys to remove.

    Raises:
        Invalid: a label breaks a rule, a key is in both, or nothing is to be done.
    """
    put = check_labels(change.set, "/set")
    check_labels(dict.fromkeys(change.remove, "x"), "/remove")
    both = sorted(put.keys() & set(change.remove))
    if both:
        raise Invalid(f"label {both[0]} is to be both set and removed", pointer=f"/set/{both[0]}")
    if not put and not change.remove:
        raise Invalid("there is nothing to set and nothing to remove", fix="give set or remove")
    return put, change.remove


async def propose_labels(change: LabelChange, view: DocumentsView, intent: Intent, facts: Fleet) -> Proposal:
    """Return the events that label the stores of which `where` selects a cluster."""
    put, remove = label_change(change)
    try:
        expression = parse(change.where)
        facts.selection.check(expression)
        selected = facts.selection.select(expression)
    except SelectionError as error:
        raise expression_problem(error, "/where") from None
    names = sorted({facts.selection.store_of(ordinal) for ordinal in selected})
    known = await known_stores(view, names, intent)
    events: list[tuple[str, StoreDeclared]] = []
    expected: dict[str, int] = {}
    for index, (name, (state, version)) in enumerate(known.items()):
        if index % ROWS_A_CHUNK == 0:
            await asyncio.sleep(0)
        if not isinstance(state, StoreDeclared):
            continue
        after = relabelled(state, put, remove)
        check_labels(after.labels, "/set")
        if after != state:
            events.append((store_stream(name), after))
            expected[store_stream(name)] = version
    return Proposal(
        events=events,
        expected=expected,
        guards=WHERE_CATEGORIES,
        body={"changed": len(events)},
        unchanged=(200, {"changed": 0}),
        shown=events[:SHOWN_EVENTS_MAX],
    )


def store_names(facts: Fleet, ordinals: Iterable[int]) -> set[str]:
    """Return the stores of some clusters."""
    store_of = facts.selection.store_of
    return {store_of(ordinal) for ordinal in ordinals}
