"""Refused requests (403) as events: one event for each actor, route and minute, whatever their number.

What is kept in memory is bounded, so that a flood of refusals fills neither the memory nor the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from libs.contracts import AccessDenied, By, stream_id
from libs.eventlog import EventLog, InvalidSubmission, LogClosed, LogUnavailable, NewEvent, Submission, check_events

ROUTES_MAX = 9_000
"""Pairs of actor and route within a minute; further ones are merged by actor, under the route `others`."""
DENIED_ACTORS_MAX = 1_000
"""Actors counted one by one within a minute; further ones are merged under the actor `others`."""
_OTHERS = "others"
_EVENTS_MAX = 200
"""Events of one submission."""
DETAIL_CHARACTERS_MAX = 500
MINUTE = timedelta(minutes=1)

log = structlog.get_logger("resedge.web")

Key = tuple[datetime, str, str]


@dataclass(slots=True)
class _Refused:
    """The refusals of one actor at one route in one minute; the text and address of the first stand for all."""

    first: datetime
    last: datetime
    detail: str
    by: By
    count: int = 1

    def event(self, key: Key) -> AccessDenied:
        """Return it as the fact that the log keeps."""
        return AccessDenied(
            actor=key[1],
            route=key[2],
            count=self.count,
            first_at=self.first,
            last_at=self.last,
            detail=self.detail,
            by=self.by,
        )


class Denials:
    """The refusals of a process that the log does not have yet."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._held: dict[Key, _Refused] = {}
        self._merged = 0

    def __len__(self) -> int:
        return len(self._held)

    def note(self, actor: str, route: str, detail: str, by: By) -> None:
        """Count one refusal."""
        now = self._clock()
        minute = now.replace(second=0, microsecond=0)
        key = (minute, actor, route)
        if key not in self._held and len(self._held) - self._merged >= ROUTES_MAX:
            key = (minute, actor, _OTHERS)
            if key not in self._held and self._merged >= DENIED_ACTORS_MAX:
                key = (minute, _OTHERS, _OTHERS)
        known = self._held.get(key)
        if known is not None:
            known.count, known.last = known.count + 1, now
            return
        self._merged += key[2] == _OTHERS
        self._held[key] = _Refused(now, now, detail[:DETAIL_CHARACTERS_MAX], by)

    def take(self, *, whole: bool = False) -> list[AccessDenied]:
        """Remove and return the refusals of past minutes, or all of them (`whole`)."""
        now = self._clock()
        over = [key for key in self._held if whole or key[0] + MINUTE <= now]
        taken = [self._held.pop(key).event(key) for key in sorted(over)]
        self._merged -= sum(key[2] == _OTHERS for key in over)
        return taken


class DenialsKept:
    """Appends what `denials` holds as each minute ends, and the rest when the process stops."""

    def __init__(self, log: EventLog, denials: Denials, actor: str) -> None:
        self._log, self._denials, self._actor = log, denials, actor
        self._waiting: list[AccessDenied] = []

    async def keep(self, seconds: float = 60.0) -> None:
        """Append, for as long as the process runs."""
        while True:
            await asyncio.sleep(seconds)
            await self.append()

    async def append(self, *, whole: bool = False) -> None:
        """Append the past minutes; what the log does not accept now is tried again with the next minute."""
        self._waiting += self._denials.take(whole=whole)
        del self._waiting[ROUTES_MAX + DENIED_ACTORS_MAX :]
        while self._waiting:
            part = self._waiting[:_EVENTS_MAX]
            events = [event for each in part if (event := _fitting(each)) is not None]
            try:
                if events:
                    await self._log.append_async(Submission(events, self._actor))
            except (LogUnavailable, LogClosed) as trouble:
                log.warning("refused requests are not in the log yet", reason=str(trouble), count=len(self._waiting))
                return
            del self._waiting[:_EVENTS_MAX]


def _fitting(denied: AccessDenied) -> NewEvent | None:
    """Return an encoded event; one that the log would not accept is logged and left out."""
    event = NewEvent.of(stream_id("denial", denied.actor), denied)
    try:
        check_events([event])
    except InvalidSubmission as invalid:
        log.warning("a refused request cannot be recorded in the log", reason=str(invalid), count=denied.count)
        return None
    return event
