"""Many stores at once: imports and bulk labelling, each one submission, whole or not at all.

Long work is done in chunks, between which the event loop answers others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from fastapi import Request
from pydantic import Field

from libs.access.effects import tried
from libs.commands.documents import DocumentsView
from libs.commands.intents import Intent
from libs.commands.problems import expression_problem
from libs.commands.proposals import Proposal
from libs.contracts import Labels
from libs.contracts.absent import Absent
from libs.contracts.names import check_labels
from libs.contracts.problems import Problem
from libs.contracts.refusals import Invalid
from libs.fleet import Fleet
from libs.kinds.categories import PLACES
from libs.selection import SelectionError, parse
from libs.web.bodies import IMPORT_BYTES_MAX, media_type, read_body
from libs.web.faults import ERRORS_MAX
from libs.web.intents import flag
from libs.web.schema import Spec
from services.inventory.documents.places import load_places
from services.inventory.documents.zones import NEVER_CHANGING
from services.inventory.domain import ClusterNameTaken, DeclareStore, decide, relabelled, store_stream
from services.inventory.events import StoreDeclared
from services.inventory.importing import ROWS_MAX, NoRoom, Rows, StoreRow, words
from services.inventory.reading import RowError, bad_rows, rows_of
from services.inventory.showing import ChangeReport, unusual_values

ROWS_A_CHUNK = 200
SHOWN_EVENTS_MAX = 100

_Known = Mapping[str, tuple[StoreDeclared | Absent, int]]
"""Store name → the store and its stream's version."""


class LabelChange(Spec):
    """The body of `stores:label`: which stores, which labels to put, which keys to remove."""

    where: str
    set: dict[str, Any] = Field(default_factory=dict)
    remove: list[str] = Field(default_factory=list)


async def read_rows(request: Request) -> tuple[Rows, bytes]:
    """Return an import's rows, with the invalid ones recorded, and its body.

    Raises:
        Problem: 413, 415, or 422 for a header that cannot be used.
    """
    kind = media_type(request)
    rows = Rows(empty_removes=flag(request, "empty_removes"))
    rows_of(b"", kind, rows.error)  # an unknown format is refused before the body is read
    body = await read_body(request, IMPORT_BYTES_MAX)
    for count, (row, cells) in enumerate(rows_of(body, kind, rows.error), start=1):
        if count > ROWS_MAX:
            rows.error(row, "", f"an import may have at most {ROWS_MAX} rows")
            break
        rows.take(row, cells)
        if count % ROWS_A_CHUNK == 0:
            await asyncio.sleep(0)
    return rows, body


async def known_stores(view: DocumentsView, names: Sequence[str], intent: Intent) -> _Known:
    """Return the stores that exist, or did, among `names`; those that are assumed as assumed."""
    known: dict[str, tuple[StoreDeclared | Absent, int]] = {}
    for index, row in enumerate(await view.rows("Store", names)):
        known[row.name] = (row.state(), row.version)
        if index % ROWS_A_CHUNK == 0:
            await asyncio.sleep(0)
    for _, event in intent.assume:
        if isinstance(event, StoreDeclared):
            known[event.name] = (event, known.get(event.name, (None, 0))[1])
    return known


@dataclass(slots=True)
class _Decided:
    """The result of the rows of an import on the existing stores."""

    facts: Fleet
    actor: str
    at: datetime
    report: ChangeReport = field(default_factory=lambda: ChangeReport(NEVER_CHANGING))
    events: list[tuple[str, StoreDeclared]] = field(default_factory=list)
    expected: dict[str, int] = field(default_factory=dict)
    wrong: list[RowError] = field(default_factory=list)
    taken: list[RowError] = field(default_factory=list)

    def take(self, row: StoreRow, state: StoreDeclared | Absent, version: int) -> None:
        """Decide one row; record its errors."""
        before = state if isinstance(state, StoreDeclared) else None
        try:
            after = row.over(before)
            found = decide(DeclareStore(after, self.actor, self.at), state, self.facts)
        except NoRoom as refusal:
            self.wrong.append(RowError(row.row, refusal.column, refusal.detail))
        except ClusterNameTaken as refusal:
            self.taken.append(RowError(row.row, "name", refusal.detail))
        except Invalid as refusal:
            self.wrong.append(RowError(row.row, (refusal.pointer or "/").lstrip("/"), words(refusal)))
        else:
            self.report.store(before, after)
            if before is None and row.timezone is None and row.place is not None:
                self.report.zone(row.row, row.name, after.timezone, row.place.words)
            stream = store_stream(row.name)
            for event in found:
                if isinstance(event, StoreDeclared):
                    self.events.append((stream, event))
                    self.expected[stream] = version


async def propose_import(
    rows: Rows, view: DocumentsView, intent: Intent, at: datetime, facts: Fleet
) -> tuple[Proposal, Problem | None]:
    """Return the events of an import, and the confirmation that it needs first, if any.

    Raises:
        Problem: 422 or 409 with every row that is invalid, by itself or with the existing stores.
    """
    # Beside rows that are wrong by themselves, only a zone that is missing is still looked for.
    good = [row for row in rows.good if row.timezone is None] if rows.errors else rows.good
    if any(row.timezone is None and row.place is not None for row in good):
        await asyncio.to_thread(load_places)
    known = await known_stores(view, [row.name for row in good], intent)
    decided = _Decided(facts, intent.actor, at)
    for index, row in enumerate(good):
        if index % ROWS_A_CHUNK == 0:
            await asyncio.sleep(0)
        state, version = known.get(row.name, (Absent(), 0))
        decided.take(row, state, version)
    _check_rows(rows, decided)
    report = decided.report
    if facts.applications and decided.events:
        report.moves(await tried(facts, [event for _, event in decided.events]), at)
    body = report.body(unusual_values(rows.unusual))
    proposal = Proposal(
        events=decided.events,
        expected=decided.expected,
        guards=("store",) if report.counts["created"] else (),
        body=body,
        unchanged=(200, body),
        shown=decided.events[:SHOWN_EVENTS_MAX],
    )
    return proposal, report.question(body) if report.asks else None


def _check_rows(rows: Rows, decided: _Decided) -> None:
    """Refuse the import where a row is wrong.

    Raises:
        Problem: 422; 409 where all that is wrong is that other stores have the names.
    """
    wrong = sorted([*rows.errors, *decided.wrong], key=lambda each: each.row)
    if wrong:
        raise bad_rows(wrong[:ERRORS_MAX], rows.errors_count + len(decided.wrong))
    if decided.taken:
        refusal = bad_rows(decided.taken[:ERRORS_MAX], len(decided.taken))
        raise Problem(
            409,
            ClusterNameTaken.code,
            "Some rows name clusters of other stores, so nothing was imported.",
            refusal.detail,
            refusal.pointer,
            "give those stores other names, or delete the clusters there first",
            refusal.extra,
        )


def label_change(change: LabelChange) -> tuple[Labels, list[str]]:
    """Return which labels to set and which keys to remove.

    Raises:
        Invalid: a label breaks a rule, a key is in both, or there is nothing to do.
    """
    put = check_labels(change.set, "/set")
    check_labels(dict.fromkeys(change.remove, "x"), "/remove")
    both = sorted(put.keys() & set(change.remove))
    if both:
        raise Invalid(f"label {both[0]} is in both set and remove", pointer=f"/set/{both[0]}")
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
        guards=PLACES,
        body={"changed": len(events)},
        unchanged=(200, {"changed": 0}),
        shown=events[:SHOWN_EVENTS_MAX],
    )


def store_names(facts: Fleet, ordinals: Iterable[int]) -> set[str]:
    """Return the stores of some clusters."""
    store_of = facts.selection.store_of
    return {store_of(ordinal) for ordinal in ordinals}
