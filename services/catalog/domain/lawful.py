"""Law in the catalog's deciders: which placements it leaves of a declaration.

Law is evaluated on a fork that includes the declaration, and only if law names the application at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from libs.fleet.law import check_law, law_warnings

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from libs.contracts import Event
    from libs.fleet import Fleet

NARROW = "narrow the expression to clusters where it is allowed, such as: EXPRESSION and not (the law's clusters)"


def under_law(facts: Fleet, applications: Iterable[str]) -> list[str]:
    """Return those of some applications that any law names, sorted."""
    named = {name for law in facts.policy.every_law.values() for name in law.applications}
    return sorted(named.intersection(applications)) if named else []


def check_placements(event: Event, applications: Iterable[str], facts: Fleet, at: datetime, pointer: str) -> None:
    """Refuse a declaration that places applications where law forbids them.

    Raises:
        LawLeavesNothing, LawForbids: why not.
    """
    if concerned := under_law(facts, applications):
        tried = facts.fork()
        tried.assume(event)
        for name in concerned:
            placed, before = tried.placed(name), facts.placed(name)
            forbidden = tried.forbidden(name, at)
            # A narrowed application is placed nowhere new, but may have no cluster left.
            emptied = placed <= forbidden and not before <= forbidden
            check_law(tried, name, placed, placed if emptied else placed - before, at, pointer=pointer, fix=NARROW)


def placement_warnings(event: Event, applications: Iterable[str], facts: Fleet, at: datetime) -> list[str]:
    """Return how many placements of applications law removes once `event` is declared."""
    concerned = under_law(facts, applications)
    if not concerned:
        return []
    tried = facts.fork()
    tried.assume(event)
    return law_warnings(tried, [(name, tried.placed(name)) for name in concerned], at)
