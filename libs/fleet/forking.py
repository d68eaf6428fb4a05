"""Forks of the fleet that hold events besides the log's: the fleet after a change."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from libs.contracts import Event
    from libs.fleet.fleet import Fleet

EVENTS_A_TURN = 500
"""Events that a fork folds between two turns of the event loop."""


async def forked(facts: Fleet, events: Iterable[Event]) -> Fleet:
    """Return a fork of the facts that holds events besides the log's."""
    fork = facts.fork()
    await assume(fork, events)
    return fork


async def assume(fork: Fleet, events: Iterable[Event]) -> None:
    """Fold events into a fork; other work of the event loop runs in between."""
    for count, event in enumerate(events, start=1):
        fork.assume(event)
        if count % EVENTS_A_TURN == 0:
            await asyncio.sleep(0)
