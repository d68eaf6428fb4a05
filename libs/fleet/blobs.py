"""A cache of bodies of the log: a digest always names the same bytes."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Callable

KEPT_BYTES_MAX = 64 * 1024 * 1024


class Blobs:
    """Returns the body of a digest, or None; caches the bodies that were used last."""

    def __init__(self, read: Callable[[str], bytes], kept_bytes_max: int = KEPT_BYTES_MAX) -> None:
        """`read` raises LookupError for a digest that the log does not hold."""
        self._read = read
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._room = kept_bytes_max

    def __call__(self, digest: str) -> bytes | None:
        """Return the body; a missing one is not remembered, since it may come later."""
        body = self._kept.get(digest)
        if body is not None:
            self._kept.move_to_end(digest)
            return body
        with contextlib.suppress(LookupError):
            body = self._kept[digest] = self._read(digest)
            self._room -= len(body)
            while self._room < 0 and len(self._kept) > 1:
                self._room += len(self._kept.popitem(last=False)[1])
        return body
