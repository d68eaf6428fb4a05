"""Taking turns: long work pauses so that requests are answered meanwhile, and a plan waits until it can see all.

The one rule: nothing is planned on half of what was appended together.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from libs.eventlog import EventLog


async def pause() -> None:
    """Let whoever waits for the event loop have it."""
    await asyncio.sleep(0)


class Whole:
    """Tells whether what was appended together has been folded to its end.

    A batch of the feed may end in the middle of it; half of a change is nothing to plan on, hold or ask approval for.
    The feed brings the rest, and wakes the loop.
    """

    def __init__(self, log: EventLog) -> None:
        self._log, self._at = log, -1

    async def at(self, position: int) -> bool:
        """Tell whether a submission ends at a position; the log is asked once about each."""
        log = self._log
        if position != self._at:
            if log.continues(position) if log.embedded else await asyncio.to_thread(log.continues, position):
                return False
            self._at = position
        return True
