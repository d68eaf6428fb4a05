"""Taking turns on the event loop: long work pauses between its pieces, so that requests are answered meanwhile."""

from __future__ import annotations

import asyncio


async def pause() -> None:
    """Let whoever waits for the event loop have it."""
    await asyncio.sleep(0)
