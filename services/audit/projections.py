"""The trail: one row per event (who did what, when and why), and a row for each thing that the event mentions.

The trail is the fold of the whole log, so positions in it have no gaps, and a page of it is a range of positions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Index,
    MetaData,
    Select,
    String,
    Table,
    Text,
    func,
    select,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.types import TypeEngine

from libs.bus import LogSource, ViewConsumer
from libs.contracts import Recorded
from libs.contracts.instants import instant_text
from libs.contracts.meaning import Subject
from libs.eventlog.envelope import from_microseconds, to_microseconds
from services.audit.domain import tell_event

_NAME = "audit.trail"

metadata = MetaData()

_count = BigInteger().with_variant(sqlite.INTEGER(), "sqlite")

entries = Table(
    "audit_entries",
    metadata,
    Column("position", _count, primary_key=True, autoincrement=False),
    Column("recorded_at", _count, nullable=False),
    Column("actor", String(512), nullable=False),
    Column("type", String(512), nullable=False),
    Column("kind", String(512), nullable=False),
    Column("name", String(512), nullable=False),
    Column("sentence", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("correlation_id", String(512)),
    Index("audit_entries_recorded_at", "recorded_at", "position"),
    Index("audit_entries_actor", "actor", "position"),
    Index("audit_entries_type", "type", "position"),
)
"""`recorded_at` in microseconds since the Unix epoch; `kind` and `name` are the subject that the stream is about."""

subjects = Table(
    "audit_subjects",
    metadata,
    Column("name", String(512), primary_key=True),
    Column("position", _count, primary_key=True, autoincrement=False),
    Column("kind", String(512), primary_key=True),
    sqlite_with_rowid=False,
)
"""Everything that an event mentions, including its stream's subject."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A filter of entries: None (for `types`, empty) does not narrow. Positions are exclusive, `since` is not.

    `kinds` belong to `subject`, which is a name; `since` ≤ recorded_at < `until`.
    """

    subject: str | None = None
    kinds: tuple[str, ...] = ()
    actor: str | None = None
    types: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    after: int = 0
    before: int | None = None


class AuditTrail(ViewConsumer):
    """The projection of every event, and its queries."""

    metadata = metadata

    def __init__(self, log: LogSource, engine: AsyncEngine) -> None:
        """Take audit's own database."""
        super().__init__(_NAME, log, engine)

    @property
    def _entries(self) -> Table:
        return self.tables[entries.name]

    @property
    def _subjects(self) -> Table:
        return self.tables[subjects.name]

    async def project(self, connection: AsyncConnection, batch: Sequence[Recorded]) -> None:
        """Record each event, and what it mentions."""
        rows: list[tuple[Any, ...]] = []
        spoken: list[tuple[Any, ...]] = []
        for recorded in batch:
            told = tell_event(recorded)
            kind, name = told.subject
            rows.append(
                (
                    recorded.position,
                    to_microseconds(recorded.at),
                    recorded.actor,
                    recorded.type,
                    kind,
                    name,
                    told.sentence,
                    told.reason,
                    recorded.correlation_id,
                )
            )
            spoken.append((name, recorded.position, kind))
            for other_kind, other in dict.fromkeys(told.others):
                if (other_kind, other) != told.subject:
                    spoken.append((other, recorded.position, other_kind))
        await _insert(connection, self._entries, rows)
        await _insert(connection, self._subjects, spoken)

    async def page(self, asked: Asked, limit: int, *, newest: bool) -> list[dict[str, Any]]:
        """Return up to `limit` entries, the newest or the oldest first."""
        return [_shown(row) for row in await self._found(select(self._entries), asked, limit, newest=newest)]

    async def positions(self, asked: Asked, limit: int) -> list[int]:
        """Return the positions of up to `limit` entries, the oldest first."""
        return [row[0] for row in await self._found(select(self._entries.c.position), asked, limit)]

    async def count(self, asked: Asked) -> int:
        """Return how many entries there are."""
        found = await self._found(select(func.count()).select_from(self._entries), asked)
        return int(found[0][0]) if found else 0

    async def _found(
        self, query: Select[Any], asked: Asked, limit: int | None = None, *, newest: bool = False
    ) -> Sequence[Any]:
        """Run a query of entries with a filter; ordered if it is limited."""
        async with self.reading.connect() as connection:
            after, before = asked.after, asked.before
            if asked.since is not None:
                first = await self._first_at(connection, asked.since)
                if first is None:
                    return []
                after = max(after, first - 1)
            if asked.until is not None:
                end = await self._first_at(connection, asked.until)
                before = min((each for each in (before, end) if each is not None), default=None)
            columns, spoken = self._entries.c, self._subjects.c
            others = [columns.actor == asked.actor] if asked.actor is not None else []
            others += [columns.type.in_(asked.types)] if asked.types else []

            def page(query: Select[Any], position: ColumnElement[int]) -> Select[Any]:
                query = query.where(position > after)
                query = query if before is None else query.where(position < before)
                if limit is None:
                    return query
                return query.order_by(position.desc() if newest else position).limit(limit)

            if asked.subject is None:
                query = page(query, columns.position)
            else:
                about = select(spoken.position).distinct().where(spoken.name == asked.subject)
                about = about.where(spoken.kind.in_(asked.kinds)) if asked.kinds else about
                # Without another filter, the subject's own page is enough, however many entries it has.
                about = about.where(spoken.position > after) if others else page(about, spoken.position)
                query = page(query, columns.position).where(columns.position.in_(about))
            rows: Sequence[Any] = (await connection.execute(query.where(*others))).all()
            return rows

    async def _first_at(self, connection: AsyncConnection, time: datetime) -> int | None:
        """Return the first position that was recorded at `time` or later, if there is one."""
        columns = self._entries.c
        query = select(columns.position).where(columns.recorded_at >= to_microseconds(time))
        ordered = query.order_by(columns.recorded_at, columns.position).limit(1)
        found: int | None = (await connection.execute(ordered)).scalar()
        return found


_ELEMENTS: Mapping[type[TypeEngine[Any]], str] = {String: "varchar", Text: "text", BigInteger: "bigint"}
"""An array's elements on PostgreSQL; text without its length, since a cast would cut it instead of refusing."""


async def _insert(connection: AsyncConnection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    # An import is 60,000 rows: values that the driver takes as they are cost a fraction of bound parameters.
    if connection.dialect.name == "sqlite":
        await connection.exec_driver_sql(_sqlite_insert(table.name, len(table.c)), list(rows))
    else:
        columns = tuple(list(column) for column in zip(*rows, strict=True))
        elements = tuple(_ELEMENTS[type(column.type)] for column in table.c)
        await connection.exec_driver_sql(_postgresql_insert(table.name, elements), columns)


@cache
def _sqlite_insert(table: str, count: int) -> str:
    return f"INSERT INTO {table} VALUES ({', '.join('?' * count)})"  # noqa: S608 - our name


@cache
def _postgresql_insert(table: str, elements: tuple[str, ...]) -> str:
    """Return the statement that takes a batch as one array a column: planned, sent and answered once."""
    arrays = ", ".join(f"${number}::{element}[]" for number, element in enumerate(elements, 1))
    return f"INSERT INTO {table} SELECT * FROM unnest({arrays})"  # noqa: S608 - our name


def _shown(row: Any) -> dict[str, Any]:
    return {
        "position": row.position,
        "time": instant_text(from_microseconds(row.recorded_at)),
        "actor": row.actor,
        "type": row.type,
        "subject": told_subject((row.kind, row.name)),
        "sentence": row.sentence,
        "reason": row.reason or None,
        "correlationid": row.correlation_id,
    }


def told_subject(subject: Subject) -> str:
    """Return a subject as people write it: `store/tx-austin-0042`, `group/geo/us`."""
    kind, name = subject
    return f"{kind}/{name.removeprefix('/')}"
