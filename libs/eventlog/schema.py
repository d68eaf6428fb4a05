"""The log's tables, the same for every dialect; types and lengths are chosen so that SQL Server can hold them.

The one rule: `envelope`, `data` and blobs are bytes, so that no database normalises what the chain covers. The other
columns of `events` index the envelope; `verify` compares them with it.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, String, Table
from sqlalchemy.dialects import postgresql, sqlite

from libs.eventlog.model import NAME_BYTES_MAX

FORMAT = 1
"""The version of this schema, kept in the head row."""

metadata = MetaData()

_count = BigInteger().with_variant(sqlite.INTEGER(), "sqlite")


def _text(length: int) -> String:
    """Return a text type that compares by code point wherever the database offers a choice."""
    return String(length).with_variant(postgresql.VARCHAR(length, collation="C"), "postgresql")


head = Table(
    "head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("format", Integer, nullable=False),
    Column("epoch", _text(64), nullable=False),
    Column("position", _count, nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
    Column("recorded_at", _count, nullable=False),
)

category_heads = Table(
    "category_heads",
    metadata,
    Column("category", _text(NAME_BYTES_MAX), primary_key=True),
    Column("position", _count, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("position", _count, primary_key=True, autoincrement=False),
    Column("stream", _text(NAME_BYTES_MAX), nullable=False),
    Column("version", _count, nullable=False),
    Column("type", _text(NAME_BYTES_MAX), nullable=False),
    Column("category", _text(NAME_BYTES_MAX), nullable=False),
    Column("recorded_at", _count, nullable=False),
    Column("envelope", LargeBinary, nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
    Index("events_stream_version", "stream", "version", unique=True),
)

blobs = Table(
    "blobs",
    metadata,
    Column("digest", _text(64), primary_key=True),
    Column("bytes", LargeBinary, nullable=False),
)

submissions = Table(
    "submissions",
    metadata,
    Column("idempotency_key", _text(NAME_BYTES_MAX), primary_key=True),
    Column("content_digest", _text(NAME_BYTES_MAX), nullable=False),
    Column("first_position", _count, nullable=False),
    Column("last_position", _count, nullable=False),
    Column("answer", LargeBinary, nullable=False),
)

leases = Table(
    "leases",
    metadata,
    Column("name", _text(NAME_BYTES_MAX), primary_key=True),
    Column("holder", _text(NAME_BYTES_MAX), nullable=False),
    Column("epoch", _count, nullable=False),
    Column("expires_at", _count, nullable=False),
)
