"""Reach before effect: how many clusters a change reaches and what they had, asked about on a terminal.

The one rule: only a terminal is asked, so that no script stops; everywhere the reach is said on stderr.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from cli.options import dry
from cli.terminal import asks
from libs.contracts.meaning import counted

if TYPE_CHECKING:
    from cli.client import ServerAnswer
    from cli.session import Session

ASK_ABOVE_SHARE = 0.10
ASK_FROM_CLUSTERS = 10
"""A change of fewer clusters is not asked about, whatever their share: a fleet of three would ask about each."""

Send = Callable[[Mapping[str, str]], "ServerAnswer"]
"""Sends the change with these query parameters."""


def change_reaching(session: Session, what: str, send: Send, *, yes: bool, dry_run: bool) -> ServerAnswer:
    """Send a change and return its answer; on a terminal, ask first if it reaches more than a share of the fleet.

    Raises:
        UsageProblem: the person did not agree; nothing was changed.
    """
    ask_above(session, what, lambda: reach_told(send({**dry(True), "reach": "true"}).body), yes=yes or dry_run)
    return send({**dry(dry_run), "reach": "true"})


def ask_above(session: Session, what: str, tried: Callable[[], Mapping[str, Any]], *, yes: bool) -> None:
    """Ask a person about a change that reaches more than a share of the fleet; `tried` is its dry run.

    Raises:
        UsageProblem: the person did not agree.
    """
    if yes or not asks():
        return
    reach = tried()
    if above(reach):
        for line in lines(reach):
            session.say(line)
        count, fleet = int(reach["clusters"]), int(reach["fleet"])
        session.ask(f"{what} reaches {count:,} of {counted(fleet, 'cluster')}; continue?", yes=False)


def reach_told(body: Any) -> Mapping[str, Any]:
    """Return what an answer says that it reaches; nothing from a server that does not say it."""
    reach = body.get("reach") if isinstance(body, Mapping) else None
    return reach if isinstance(reach, Mapping) else {}


def above(reach: Mapping[str, Any]) -> bool:
    """Tell whether a change reaches so much that a person is asked."""
    count, fleet = int(reach.get("clusters") or 0), int(reach.get("fleet") or 0)
    return count >= ASK_FROM_CLUSTERS and count > fleet * ASK_ABOVE_SHARE


def tell_reach(session: Session, body: Any) -> None:
    """Say on stderr what a change reaches, unless it reaches nothing."""
    for line in lines(reach_told(body)):
        session.say(line)


def lines(reach: Mapping[str, Any]) -> Iterator[str]:
    """Yield `menu-boards: 9.2.0 on 400 clusters (30 had 9.2.0, 370 had 9.1.0)` for each release that moves.

    A change that moves no release says only how many clusters it reaches.
    """
    releases = reach.get("releases") or []
    for each in releases:
        had = ", ".join(f"{one['clusters']:,} had {one['version'] or 'none'}" for one in each.get("before") or ())
        on = counted(int(each["clusters"]), "cluster")
        yield f"{each['application']}: {each['version'] or 'no release'} on {on} ({had})"
    more = int(reach.get("releases_count") or 0) - len(releases)
    if more > 0:
        yield f"{counted(more, 'more release')} moved; the list is bounded"
    if not releases and reach.get("clusters"):
        yield f"reaches {counted(int(reach['clusters']), 'cluster')} of {int(reach.get('fleet') or 0):,}"
