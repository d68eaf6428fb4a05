"""Work of which a process does one piece at a time, whoever asks for it.

The one rule: who comes while it is done is told so at once; nobody queues up work that takes minutes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from libs.contracts.problems import Problem


class Turn:
    """One turn at some work."""

    def __init__(self, work: str) -> None:
        """Take what the work is called in the answer."""
        self._work = work
        self._taken = False

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Have the turn for as long as the block.

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
