"""Whether a process's knowledge of tokens, roles and bindings is recent enough to rely on.

A revocation takes effect within `RIGHTS_STALE_SECONDS_MAX` of its append. A process that cannot compare itself with the
log for longer than that (the log does not answer, its fleet is behind) accepts no token that may have been revoked.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog

from libs.contracts.problems import Problem, unavailable
from libs.eventlog import LogClosed, LogUnavailable
from libs.kinds.categories import GIVING_RIGHTS

_CATEGORIES = ("token", *GIVING_RIGHTS)
CHECK_SECONDS = 15.0
RIGHTS_STALE_SECONDS_MAX = 60.0
LOOK_AGAIN_SECONDS = 0.1
"""Unknown tokens cause at most one look at the log in this time, whatever their number."""

log = structlog.get_logger("resedge.web")


class Heads(Protocol):
    """The part of the log that is used here (libs.eventlog.EventLog)."""

    def category_head(self, category: str) -> int:
        """Return the position of the last event of a category; 0 without any."""


class Freshness:
    """Compares the log's heads of `_CATEGORIES` with how far the process's fleet is, and brings the fleet there."""

    def __init__(
        self, heads: Heads, bring: Callable[[int], Awaitable[None]], now: Callable[[], float] = time.monotonic
    ) -> None:
        """`bring` returns once the process's fleet is at a position of the log; it raises `Problem` where it cannot."""
        self._heads, self._bring, self._now = heads, bring, now
        self._fresh_at = self._looked_at = now()
        self._looking = asyncio.Lock()

    async def settled(self) -> None:
        """Return if what the process knows is recent enough.

        Raises:
            Problem: 503, it has not caught up since it started, or could not compare itself with the log for too long.
        """
        await self._bring(0)
        if self._stale():
            await self.look_again()
        if self._stale():
            raise unavailable(
                "this process cannot tell which tokens and roles are still in force",
                code="rights-unknown",
                fix="see GET /readyz?verbose; tokens of the server's token file are accepted",
            )

    def _stale(self) -> bool:
        return self._now() - self._fresh_at > RIGHTS_STALE_SECONDS_MAX

    async def look_again(self) -> None:
        """Read what the log had on top when this was called, together with whoever else asks now."""
        asked_at = self._now()
        async with self._looking:
            if self._looked_at <= asked_at:
                await asyncio.sleep(max(0.0, self._looked_at + LOOK_AGAIN_SECONDS - self._now()))
                await self._check()

    async def keep(self) -> None:
        """Compare, for as long as the process runs."""
        while True:
            await self._check()
            await asyncio.sleep(CHECK_SECONDS)

    async def _check(self) -> None:
        """Bring the fleet to the heads; where that does not work, it is said in the process's log."""
        begun = self._looked_at = self._now()
        try:
            head = await asyncio.to_thread(lambda: max(map(self._heads.category_head, _CATEGORIES)))
            await self._bring(head)
        except (Problem, LogUnavailable, LogClosed) as trouble:
            log.warning("tokens and roles may be out of date", reason=str(trouble))
        else:
            self._fresh_at = max(self._fresh_at, begun)
