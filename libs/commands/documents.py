"""The view of declared things: one row per thing, its last event, in the service's own database.

A thing's next event replaces its row, whole; removed things keep a row, so that the version of their stream stays
known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    bindparam,
    func,
    select,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.types import TypeEngine

from libs.bus import LogSource, ViewConsumer
from libs.commands.kinds import ABSENT, DeclaredKind
from libs.contracts import Event, Recorded, category_of, decode, encode

NEIGHBOURS_MAX = 50
NAMES_A_QUERY_MAX = 500

_NAME = String(512).with_variant(postgresql.VARCHAR(512, collation="C"), "postgresql")
"""Ordered by code points in every database, as pages, Python and SQLite do."""

metadata = MetaData()

documents = Table(
    "documents",
    metadata,
    Column("kind", String(64), primary_key=True),
    Column("name", _NAME, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("at", String(40), nullable=False),
    Column("type", String(128), nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("removed", Boolean, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Row:
    """The last event of one thing; `version` is its stream's, `position` the log's, `at` RFC 3339."""

    name: str
    version: int
    position: int
    at: str
    type: str
    data: bytes
    removed: bool

    def event(self) -> Event:
        """Return the event."""
        return decode(self.type, self.data)

    def state(self) -> Any:
        """Return the thing as deciders take it: the declaring event, or that it is absent."""
        return ABSENT if self.removed else self.event()


_ROW = tuple(documents.c[name] for name in Row.__slots__)

# Made once: as only the collector frees a statement, one for every request would pile up.
_BY_NAME = select(*_ROW).where(
    documents.c.kind == bindparam("of"), documents.c.name.in_(bindparam("names", expanding=True))
)
_DECLARED = (documents.c.kind == bindparam("of"), documents.c.removed.is_(False))
_PAGE = (
    select(*_ROW)
    .where(*_DECLARED, documents.c.name > bindparam("after"))
    .order_by(documents.c.name)
    .limit(bindparam("most"))
)
_COUNT = select(func.count()).where(*_DECLARED)


class DocumentsView(ViewConsumer):
    """The projection of a service's declared kinds, and the reads of it."""

    metadata = metadata

    def __init__(
        self, service: str, log: LogSource, engine: AsyncEngine, kinds: Iterable[DeclaredKind[Any, Any]]
    ) -> None:
        """Take the service's database and its kinds."""
        super().__init__(f"{service}.documents", log, engine)
        self._kinds: Mapping[str, DeclaredKind[Any, Any]] = {kind.category: kind for kind in kinds}

    @property
    def _documents(self) -> Table:
        return self.tables[documents.name]

    def concerns(self, recorded: Recorded) -> bool:
        """Whether an event is of one of the service's kinds."""
        return category_of(recorded.stream) in self._kinds

    async def project(self, connection: AsyncConnection, batch: Sequence[Recorded]) -> None:
        """Keep the last event of each thing in the batch."""
        last: dict[tuple[str, str], tuple[Any, ...]] = {}
        for recorded in batch:
            kind = self._kinds.get(category_of(recorded.stream))
            if kind is not None:
                name = recorded.stream.partition("-")[2]
                last[kind.kind, name] = _values(kind, name, recorded)
        if not last:
            return
        # An import is 60,000 rows: values that the driver takes as they are cost a fraction of bound parameters.
        if connection.dialect.name == "sqlite":
            await connection.exec_driver_sql(_sqlite_upsert(self._documents.name), list(last.values()))
        else:
            columns = tuple(list(column) for column in zip(*last.values(), strict=True))
            await connection.exec_driver_sql(_postgresql_upsert(self._documents.name), columns)

    async def row(self, kind: str, name: str) -> Row | None:
        """Return the row of one thing."""
        found = await self.rows(kind, [name])
        return found[0] if found else None

    async def rows(self, kind: str, names: Sequence[str]) -> list[Row]:
        """Return the rows of some names, in the order of their names."""
        found: list[Row] = []
        async with self.reading.connect() as connection:
            for start in range(0, len(names), NAMES_A_QUERY_MAX):
                some = names[start : start + NAMES_A_QUERY_MAX]
                rows = await connection.execute(_BY_NAME, {"of": kind, "names": some})
                found += [Row(*row) for row in rows]
        return sorted(found, key=lambda row: row.name)

    async def page(self, kind: str, after: str, limit: int) -> list[Row]:
        """Return up to `limit` declared things whose names follow `after`, in the order of their names."""
        async with self.reading.connect() as connection:
            rows = await connection.execute(_PAGE, {"of": kind, "after": after, "most": limit})
            return [Row(*row) for row in rows]

    async def count(self, kind: str) -> int:
        """Return how many things of a kind are declared."""
        async with self.reading.connect() as connection:
            return int((await connection.execute(_COUNT, {"of": kind})).scalar_one())

    async def neighbours(self, kind: str, name: str) -> list[str]:
        """Return declared names that begin as `name` does, to suggest the nearest."""
        start = name[: max(1, len(name) // 2)]
        rows = await self.page(kind, start, NEIGHBOURS_MAX)
        return [row.name for row in rows if row.name.startswith(start[:1])]


def _values(kind: DeclaredKind[Any, Any], name: str, recorded: Recorded) -> tuple[Any, ...]:
    return (
        kind.kind,
        name,
        recorded.version,
        recorded.position,
        recorded.at.isoformat(),
        recorded.type,
        encode(recorded.event),
        kind.evolve(ABSENT, recorded.event) == ABSENT,
    )


_ELEMENTS: Mapping[type[TypeEngine[Any]], str] = {
    String: "varchar",
    Integer: "integer",
    BigInteger: "bigint",
    LargeBinary: "bytea",
    Boolean: "boolean",
}
"""An array's elements on PostgreSQL; text without its length, since a cast would cut it instead of refusing."""

_NAMES = tuple(column.name for column in documents.c)
_REPLACED = ", ".join(f"{name} = excluded.{name}" for name in _NAMES[2:])
_ARRAYS = ", ".join(f"${number}::{_ELEMENTS[type(column.type)]}[]" for number, column in enumerate(documents.c, 1))


@cache
def _sqlite_upsert(table: str) -> str:
    return (
        f"INSERT INTO {table} ({', '.join(_NAMES)}) VALUES ({', '.join('?' * len(_NAMES))}) "  # noqa: S608 - our names
        f"ON CONFLICT (kind, name) DO UPDATE SET {_REPLACED}"
    )


@cache
def _postgresql_upsert(table: str) -> str:
    """Return the statement that takes a batch as one array a column: planned, sent and answered once."""
    return (
        f"INSERT INTO {table} ({', '.join(_NAMES)}) SELECT * FROM unnest({_ARRAYS}) "  # noqa: S608 - our names
        f"ON CONFLICT (kind, name) DO UPDATE SET {_REPLACED}"
    )
