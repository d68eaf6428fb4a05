"""The answers to earlier submissions with an idempotency key.

Only key, digest, positions and answer are kept; stream versions are read from the events, so that an import of 60,000
streams costs one small row. A row without events has `first_position` = `last_position` + 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from libs.eventlog.dialects import Cursor, Dialect
from libs.eventlog.envelope import from_microseconds
from libs.eventlog.model import AlreadyAppended


def earlier_outcomes(dialect: Dialect, cursor: Cursor, keys: Sequence[str]) -> dict[str, AlreadyAppended]:
    """Return the earlier outcomes of at most `PARAMETERS_MAX` keys."""
    marks = ", ".join(["?"] * len(keys))
    cursor.execute(
        dialect.sql(
            "SELECT idempotency_key, first_position, last_position, content_digest, answer"  # noqa: S608 marks only
            f" FROM submissions WHERE idempotency_key IN ({marks})"
        ),
        keys,
    )
    outcomes = {}
    for key, first, last, digest, answer in cursor.fetchall():
        recorded_at, versions = _appended(dialect, cursor, first, last)
        outcomes[key] = AlreadyAppended(first, last, recorded_at, versions, bytes(answer), digest)
    return outcomes


def _appended(dialect: Dialect, cursor: Cursor, first: int, last: int) -> tuple[datetime, dict[str, int]]:
    # All events of a submission have one time; the log may be empty if only an answer was remembered.
    cursor.execute(dialect.sql(f"SELECT {dialect.time.selected} FROM events WHERE position = ?"), (last,))  # noqa: S608 constant
    row = cursor.fetchone()
    recorded_at = from_microseconds(0 if row is None else dialect.time.load(row[0]))
    if first > last:
        return recorded_at, {}
    cursor.execute(
        dialect.sql("SELECT stream, MAX(version) FROM events WHERE position BETWEEN ? AND ? GROUP BY stream"),
        (first, last),
    )
    versions = {str(stream): int(version) for stream, version in cursor.fetchall()}
    return recorded_at, versions
