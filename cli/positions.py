"""The last written position of each context, so that the next command reads its own writes.

This file is only a convenience; without it, reads just do not wait.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from cli.config import Connection, write_private

if TYPE_CHECKING:
    from pathlib import Path

_CONNECTIONS_MAX = 100


class KeptPositions:
    """The last `Resedge-Position` per connection, in one small file."""

    def __init__(self, path: Path, connection: Connection) -> None:
        self._path = path
        # The token is part of it: a new data directory behind an old address has a new token and starts at 0 again.
        secret = f"{connection.context}\0{connection.server}\0{connection.token}"
        self._key = hashlib.sha256(secret.encode()).hexdigest()[:16]

    def last(self) -> int:
        """Return the position of this connection's last change; 0 when it has made none."""
        return self._read().get(self._key, 0)

    def remember(self, position: int) -> None:
        """Keep the position if it is newer than the kept one."""
        known = self._read()
        if position > known.get(self._key, 0):
            known.pop(self._key, None)
            self._write({**known, self._key: position})

    def forget(self) -> None:
        """Drop the position: the server's log does not reach it, so it is another log than the one that was written."""
        known = self._read()
        if known.pop(self._key, None) is not None:
            self._write(known)

    def _read(self) -> dict[str, int]:
        try:
            raw = json.loads(self._path.read_bytes()[:100_000])
        except (OSError, ValueError):
            return {}
        return {str(k): v for k, v in raw.items() if isinstance(v, int)} if isinstance(raw, dict) else {}

    def _write(self, known: dict[str, int]) -> None:
        try:
            write_private(self._path, json.dumps(dict(list(known.items())[-_CONNECTIONS_MAX:])).encode())
        except OSError:
            return  # a read-only home must not make a successful command fail
