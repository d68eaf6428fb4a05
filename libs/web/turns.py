"""Work of which a process does one piece at a time.

A request during that work is refused at once; nothing queues for work that takes minutes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from libs.contracts.problems import Problem


class Turn:
    """One turn at some work."""

    def __init__(self, work: str) -> None:
        """Take the name of the work for the answer."""
        self._work = work
        self._taken = False

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Hold the turn for the block.

        Raises:
            Problem: 409, somebody else has it.
        """
        if self._taken:
            raise Problem(
                409,
                "already-running",
                "It is already running.",
                f"another {self._work} is running; one runs at a time",
                fix="ask again when it has ended",
                headers={"Retry-After": "5"},
            )
        self._taken = True
        try:
            yield
        finally:
            self._taken = False
