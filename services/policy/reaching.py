"""Whether a request stays within the clusters for which its sender holds the right.

A request is judged by the clusters that it affects, not by its wording.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from libs.access.bounds import within
from libs.access.rights import AFFECT, scope
from libs.contracts.problems import Problem
from libs.fleet import parsed
from libs.fleet.checks import some

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from pyroaring import BitMap

    from libs.contracts import FreezeDeclared, PlacementPolicyDeclared
    from libs.fleet import Fleet, Withheld
    from libs.web.auth import Principal


def check_reach(
    facts: Fleet, principal: Principal, right: tuple[str, str], clusters: BitMap, at: datetime, of: Iterable[str] = ()
) -> None:
    """Refuse clusters on which `principal` does not hold `right` (verb, kind) for the applications `of`.

    Raises:
        Problem: 403.
    """
    verb, kind = right
    for namespace in namespaces_of(facts, of):
        held = scope(facts, principal, verb, kind, at, namespace)
        if not held.covers(clusters):
            beyond = clusters - held.clusters
            names = [facts.selection.name(ordinal) for ordinal in beyond[:3]]
            raise Problem(
                403,
                "out-of-scope",
                "This is outside your rights.",
                f"{principal.name} may not {verb} {kind} on {some(names)}"
                + (f" and {len(beyond) - len(names)} more clusters" if len(beyond) > len(names) else ""),
                fix="narrow it to clusters that your RoleBindings name",
                extra={"clusters": len(beyond)},
            )


def check_documents(facts: Fleet, principal: Principal, change: Withheld, at: datetime) -> None:
    """Refuse somebody who may not affect policy wherever the freezes and laws that a change keeps can come to apply.

    Raises:
        Problem: 403.
    """
    kept: list[FreezeDeclared | PlacementPolicyDeclared] = [*change.kept_freezes.values(), *change.kept_laws.values()]
    held = scope(facts, principal, AFFECT, "Policy", at)
    bounds = [parsed(each) for each in held.expressions]
    for each in kept if not held.everywhere else ():
        if not within((parsed(each.clusters),), bounds, held.clusters, facts.selection):
            raise Problem(
                403,
                "out-of-scope",
                "This is outside your rights.",
                f"{principal.name} may not {AFFECT} Policy wherever {each.clusters!r} of {each.name} may come to apply",
                fix=f"ask for a RoleBinding with {AFFECT} Policy that covers {each.clusters}",
            )


def check_everywhere(facts: Fleet, principal: Principal, right: tuple[str, str], at: datetime) -> None:
    """Refuse unless `principal` holds `right` (verb, kind) everywhere.

    Raises:
        Problem: 403.
    """
    verb, kind = right
    if not scope(facts, principal, verb, kind, at).everywhere:
        raise Problem(
            403,
            "out-of-scope",
            "This is outside your rights.",
            f"{principal.name} may {verb} {kind} on some clusters only, and a {kind.lower()} is of none",
            fix="ask for a RoleBinding without clusters",
        )


def namespaces_of(facts: Fleet, applications: Iterable[str]) -> set[str | None]:
    """Return the namespaces of applications; `None` stands for one that is gone, and for all where none is named."""
    known = facts.applications
    return {known[each].namespace if each in known else None for each in applications} or {None}
