"""Waiting until consumers have seen a position, so that clients read, and build on, their own writes."""

from __future__ import annotations

from typing import Protocol

from libs.bus import Consumer, ConsumerStopped, Feed
from libs.contracts.problems import Problem, unavailable

_WAIT_SECONDS_MAX = 5.0
WAIT_PERIODS_MAX = 4
"""After an import of a whole fleet the consumers need a few seconds longer, but make progress."""


class Follower(Consumer, Protocol):
    """A consumer of the log that says how far it is."""

    @property
    def position(self) -> int:
        """The position of the last event that it has seen."""


class Positions:
    """Waits for consumers of this process's feed; the feed is attached once all consumers are known."""

    def __init__(self) -> None:
        self._feed: Feed | None = None
        self._floor = 0

    def attach(self, feed: Feed, floor: int = 0) -> None:
        """Take the feed that brings the log to the consumers.

        Nothing is answered before `floor`, the end of the log when the process started, so that every request sees what
        was acknowledged before.
        """
        self._feed, self._floor = feed, floor

    async def seen(
        self, position: int, *followers: Follower, seconds: float = _WAIT_SECONDS_MAX, by_log: bool = False
    ) -> None:
        """Return once every follower has seen `position`; `by_log`: by reading the log, if events do not come.

        Raises:
            Problem: 504 `position-timeout` after `seconds` in which no follower came closer, or `WAIT_PERIODS_MAX`
                times that; 503 when a follower has stopped, when this process has not caught up since it started,
                and where a command cannot be decided yet (`by_log`) although the log is that far.
        """
        position = max(position, self._floor)
        behind = [each for each in followers if each.position < position]
        if not behind or self._feed is None:
            return
        try:
            for _ in range(WAIT_PERIODS_MAX):
                before = min(each.position for each in behind)
                wait = self._feed.bring if by_log else self._feed.reached
                if await wait(behind, position, seconds):
                    return
                if min(each.position for each in behind) == before:
                    break
        except ConsumerStopped as stopped:
            raise unavailable(str(stopped), code="consumer-stopped", fix="see GET /readyz?verbose") from None
        seen = min(each.position for each in followers)
        if seen < self._floor:
            raise unavailable(
                f"this process is at position {seen}, and answers once it has reached position {self._floor}",
                fix="try again: another replica may be further",
            )
        if by_log and position <= self._feed.head:
            raise unavailable(
                f"position {position} is in the log, but this process is still at {seen}",
                fix="try again with the same Idempotency-Key",
            )
        raise Problem(
            504,
            "position-timeout",
            "The service has not seen that position yet.",
            f"position {position} was not reached in time; this service is at {seen}",
            fix="try again, or read without Resedge-Position",
            extra={"position": seen},
        )
