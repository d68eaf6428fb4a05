"""The real clock and real ids, for composition roots only (DESIGN rule 18)."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime


def utc_now() -> datetime:
    """Return the present in UTC."""
    return datetime.now(UTC)  # noqa: TID251 - the one place from which time comes


def new_id() -> str:
    """Return an id of 128 random bits, as hex."""
    return secrets.token_hex(16)
