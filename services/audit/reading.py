"""Reads the log for people: pages, and a tail that followers read.

Reading never blocks the event loop, and a follower that disconnects leaves nothing behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

from libs.eventlog import EventLog, StoredEvent

FOLLOW_PAGE_EVENTS = 100
"""Events that a follower holds at once: 25 MiB if each were as large as the log takes."""
_LOOK_SECONDS = 1.0
"""How often a follower looks for events of other processes, and whether its client is still there."""


class Tail:
    """Wakes followers when this process appends, and lets all of them end together."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._waiting: set[asyncio.Event] = set()
        self._ended = False
        self._unlisten: Callable[[], None] = lambda: None

    async def start(self) -> None:
        """Begin to listen to appends."""
        loop = asyncio.get_running_loop()

        def announce(_position: int) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._wake)

        self._unlisten = self._log.on_append(announce)

    async def stop(self) -> None:
        """End all followers and stop listening."""
        self._unlisten()
        self.end()

    def end(self) -> None:
        """End all followers."""
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        for event in self._waiting:
            event.set()

    async def follow(self, after: int, gone: Callable[[], Awaitable[bool]]) -> AsyncGenerator[StoredEvent]:
        """Yield every event after a position, now and as they come, until the client is gone or the process ends."""
        wake = asyncio.Event()
        self._waiting.add(wake)
        try:
            while not self._ended and not await gone():
                wake.clear()
                events = await asyncio.to_thread(self._log.read, after, FOLLOW_PAGE_EVENTS)
                for event in events:
                    yield event
                    after = event.position
                if not events:
                    try:
                        async with asyncio.timeout(_LOOK_SECONDS):
                            await wake.wait()
                    except TimeoutError:
                        continue
        finally:
            self._waiting.discard(wake)
