"""What an approval still needs, shown to its requester and after each vote."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.cells import missing_votes_cell
from cli.client import path_of
from cli.errors import CliError

if TYPE_CHECKING:
    from cli.session import Session


def tell_what_is_needed(session: Session, approval: str) -> None:
    """Write to stderr what the approval waits for; only how to grant it, if it may not be read."""
    grant = f"resedge approval grant {approval} --reason TEXT"
    try:
        item = session.client.get(path_of("approvals", approval)).body
    except CliError:
        session.say(f"next: {grant}")
        return
    needed = missing_votes_cell(item)
    if not needed:
        session.say(f"approval {approval} is {item.get('state')}")
        return
    stages = len(item["stages"])
    where = f" in stage {item['stage']} of {stages}" if stages > 1 else ""
    session.say(f"approval {approval} needs {needed}{where}, until {item.get('expires_at')}")
    session.say(f"next: {grant}")
