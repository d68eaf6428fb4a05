"""The real clock, a virtual one, and real ids, for composition roots only (DESIGN rule 18).

A virtual clock never runs on a log that others may write to or that ends later than the clock starts, because recorded
times never decrease: after a virtual clock, a log's end stays in the future until real time gets there.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from libs.eventlog import EventLog

SPEED_MAX = 100_000.0
AHEAD_SECONDS_MAX = 5.0
"""How far in the future a log may end without a warning: another machine's clock may be that far off."""


def utc_now() -> datetime:
    """Return the present in UTC."""
    return datetime.now(UTC)  # noqa: TID251 - the one place from which time comes


def new_id() -> str:
    """Return an id of 128 random bits, as hex."""
    return secrets.token_hex(16)


def _instant_text(at: datetime) -> str:
    """Return an instant to the second as RFC 3339 in UTC, `2026-11-27T05:00:00Z`."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


class ClockRefused(RuntimeError):  # noqa: N818 - it states the fact
    """The virtual clock cannot be used here; the message says why and what to do."""


class VirtualClock:
    """A clock that begins at `start` and runs `speed` times as fast as real time, without ever going back."""

    def __init__(self, start: datetime, speed: float = 1.0, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Begin now; `start` has an offset, `monotonic` gives real seconds.

        Raises:
            ValueError: `start` has no offset, or `speed` is not above 0 and at most `SPEED_MAX`.
        """
        if start.tzinfo is None:
            raise ValueError("an instant needs an offset")
        if not 0 < speed <= SPEED_MAX:
            raise ValueError(f"a speed must be above 0 and at most {SPEED_MAX:,.0f}")
        self.start = start.astimezone(UTC)
        self.speed = speed
        self._monotonic = monotonic
        self._began = monotonic()

    def __call__(self) -> datetime:
        """Return its present instant, in UTC."""
        return self.start + timedelta(seconds=(self._monotonic() - self._began) * self.speed)

    def told(self) -> str:
        """Return the header of every answer: `virtual 2026-11-27T05:00:00Z x60`."""
        return f"virtual {_instant_text(self())} x{self.speed:g}"

    def check(self, log: EventLog, kafka_servers: str = "") -> None:
        """Check that the log is not shared, and ends before the clock starts.

        Raises:
            ClockRefused: the log is shared with others, or has recorded what is later.
        """
        if kafka_servers:
            raise ClockRefused(
                "a virtual clock works alone, and Kafka is configured: unset RESEDGE_KAFKA_SERVERS, or leave --at out"
            )
        if not log.embedded:
            raise ClockRefused(
                "a virtual clock would leave its instants in a log that others may write to:"
                " unset RESEDGE_LOG_URL, or leave --at out"
            )
        head = log.head()
        if head.recorded_at > self.start:
            raise ClockRefused(
                f"the log's last event was recorded at {_instant_text(head.recorded_at)}, which is after"
                f" {_instant_text(self.start)}: give a later --at, or another directory with --data-dir"
            )


def ahead_warning(log: EventLog, now: datetime) -> str:
    """Return a warning if a log ends in the future, as after a virtual clock; otherwise empty."""
    head = log.head()
    if (head.recorded_at - now).total_seconds() <= AHEAD_SECONDS_MAX:
        return ""
    ends = _instant_text(head.recorded_at)
    return (
        f"the log ends at {ends}, and now is {_instant_text(now)}: until then everything is recorded at {ends}, and"
        " calendars, freezes and overrides are judged by the log's time (a virtual clock has run here)"
    )
