"""The log's tables, the same for every dialect; types and lengths are chosen so that SQL Server can hold them.

The one rule: `envelope`, `data` and blobs are bytes, so that no database normalises what the chain covers. The other
columns of `events` index the envelope; `verify` compares them with it. On SQL Server names are nvarchar, which
holds any text, and recorded times datetime2(7) in UTC; everywhere else they are microseconds since the Unix epoch.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, PrimaryKeyConstraint, String, Table
from sqlalchemy.dialects import mssql, postgresql, sqlite
from sqlalchemy.types import TypeEngine

from libs.eventlog.model import NAME_BYTES_MAX

FORMAT = 1
"""The version of this schema, kept in the head row."""

metadata = MetaData()

_count = BigInteger().with_variant(sqlite.INTEGER(), "sqlite")


def _text(length: int) -> String:
    """Return a text type that compares by code point wherever the database offers a choice."""
    text = String(length).with_variant(postgresql.VARCHAR(length, collation="C"), "postgresql")
    return text.with_variant(mssql.NVARCHAR(length, collation="Latin1_General_BIN2"), "mssql")


def _long_key(column: str) -> PrimaryKeyConstraint:
    """Return a primary key over a name; SQL Server's clustered keys end at 900 bytes, others at 1,700."""
    return PrimaryKeyConstraint(column, mssql_clustered=False)


_time: TypeEngine[Any] = _count.with_variant(mssql.DATETIME2(7), "mssql")  # type: ignore[no-untyped-call]  # SQLAlchemy's dialect has no annotations
_bytes = LargeBinary().with_variant(mssql.VARBINARY("max"), "mssql")  # type: ignore[no-untyped-call]  # SQLAlchemy's dialect has no annotations
_hash = LargeBinary(32).with_variant(mssql.VARBINARY(32), "mssql")  # type: ignore[no-untyped-call]  # SQLAlchemy's dialect has no annotations


head = Table(
    "head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("format", Integer, nullable=False),
    Column("epoch", _text(64), nullable=False),
    Column("position", _count, nullable=False),
    Column("hash", _hash, nullable=False),
    Column("recorded_at", _time, nullable=False),
)

category_heads = Table(
    "category_heads",
    metadata,
    Column("category", _text(NAME_BYTES_MAX), nullable=False),
    Column("position", _count, nullable=False),
    _long_key("category"),
)

events = Table(
    "events",
    metadata,
    Column("position", _count, primary_key=True, autoincrement=False),
    Column("stream", _text(NAME_BYTES_MAX), nullable=False),
    Column("version", _count, nullable=False),
    Column("type", _text(NAME_BYTES_MAX), nullable=False),
    Column("category", _text(NAME_BYTES_MAX), nullable=False),
    Column("recorded_at", _time, nullable=False),
    Column("envelope", _bytes, nullable=False),
    Column("data", _bytes, nullable=False),
    Column("hash", _hash, nullable=False),
    Index("events_stream_version", "stream", "version", unique=True),
)

blobs = Table(
    "blobs",
    metadata,
    Column("digest", _text(64), primary_key=True),
    Column("bytes", _bytes, nullable=False),
)

submissions = Table(
    "submissions",
    metadata,
    Column("idempotency_key", _text(NAME_BYTES_MAX), nullable=False),
    Column("content_digest", _text(NAME_BYTES_MAX), nullable=False),
    Column("first_position", _count, nullable=False),
    Column("last_position", _count, nullable=False),
    Column("answer", _bytes, nullable=False),
    _long_key("idempotency_key"),
)

leases = Table(
    "leases",
    metadata,
    Column("name", _text(NAME_BYTES_MAX), nullable=False),
    Column("holder", _text(NAME_BYTES_MAX), nullable=False),
    Column("epoch", _count, nullable=False),
    Column("expires_at", _count, nullable=False),
    _long_key("name"),
)
