"""Pauses in long work, so that requests are answered meanwhile, and waits for the end of a submission before planning.

No plan is made on a half-folded submission.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from libs.eventlog import EventLog


async def pause() -> None:
    """Yield to other work of the event loop."""
    await asyncio.sleep(0)


class Whole:
    """Tells whether all events of a submission have been folded.

    A batch of the feed may end in the middle of one; half of a change must not be planned, held or put up for approval.
    The feed delivers the rest, and wakes the loop.
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
