"""What the catalog's deciders ask of law in force: what it leaves of what they would declare.

The one rule to know: it is asked on a fork with the declaration in it, and only where law names the application at all.
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
    named = {name for law in facts.policy.laws.values() for name in law.applications}
    return sorted(named.intersection(applications)) if named else []


def check_placements(event: Event, applications: Iterable[str], facts: Fleet, at: datetime, pointer: str) -> None:
    """Refuse a declaration by which applications come to where law does not let them.

    Raises:
        LawLeavesNothing, LawForbids: why not.
    """
    if concerned := under_law(facts, applications):
        tried = facts.fork()
        tried.assume(event)
        for name in concerned:
            placed, before = tried.placed(name), facts.placed(name)
            forbidden = tried.forbidden(name, at)
            # Narrowed to where law leaves nothing, it comes nowhere new and has no cluster left all the same.
            emptied = placed <= forbidden and not before <= forbidden
            check_law(tried, name, placed, placed if emptied else placed - before, at, pointer=pointer, fix=NARROW)


def placement_warnings(event: Event, applications: Iterable[str], facts: Fleet, at: datetime) -> list[str]:
    """Return how many placements of applications law takes away once `event` is declared."""
    concerned = under_law(facts, applications)
    if not concerned:
        return []
    tried = facts.fork()
    tried.assume(event)
    return law_warnings(tried, [(name, tried.placed(name)) for name in concerned], at)
