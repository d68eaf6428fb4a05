"""What a declared thing was before a change, and what has changed it since.

The one rule: only the log is read, so that the answer does not depend on how far a view is.
"""

from __future__ import annotations

from typing import Any

from libs.commands.commands import Commands
from libs.commands.kinds import ABSENT, DeclaredKind
from libs.contracts import decode
from libs.contracts.instants import instant_text
from libs.contracts.problems import not_found

SINCE_MAX = 10


async def before_change(commands: Commands, kind: DeclaredKind[Any, Any], name: str, position: int) -> dict[str, Any]:
    """Return a thing's `document` before the event at a position, or null if it did not exist.

    `version` is its version now, `declared` whether it exists now, `since` the first events about it after that one.

    Raises:
        Problem: 404, the event at that position is not about it.
    """
    events = await commands.history(kind.stream(name))
    if position not in {each.position for each in events}:
        raise not_found(f"change of {kind.kind.lower()}", f"{name} at position {position}")
    was = now = ABSENT
    for each in events:
        now = kind.evolve(now, decode(each.type, each.data))
        was = now if each.position < position else was
    since = [each for each in events if each.position > position]
    return {
        "document": None if was == ABSENT else kind.to_document(was, commands.facts.fleet),
        "version": events[-1].version,
        "declared": now != ABSENT,
        "since": [
            {
                "position": each.position,
                "type": each.type,
                "actor": each.actor,
                "time": instant_text(each.recorded_at),
            }
            for each in since[:SINCE_MAX]
        ],
    }
