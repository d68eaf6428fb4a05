"""A placement policy is law: it forbids applications on clusters, with its legal basis, in an interval.

Law subtracts. Placements that it removes give a warning; it is refused only if it would leave an application without
any cluster, because then the application should be deleted, not forbidden.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, assert_never

from libs.contracts.absent import Absent
from libs.contracts.instants import instant_text
from libs.contracts.meaning import counted
from libs.contracts.refusals import Invalid
from libs.fleet import in_force
from libs.fleet.checks import check_signoff
from libs.fleet.law import LawLeavesNothing, taken_by_law
from services.policy.domain.checks import canonical_clusters, check_applications, check_clusters, check_text
from services.policy.events import PlacementPolicyDeclared, PlacementPolicyRemoved

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from libs.fleet import Fleet

FORBIDDEN = "/spec/forbid/applications"

State = Absent | PlacementPolicyDeclared
Event = PlacementPolicyDeclared | PlacementPolicyRemoved


@dataclass(frozen=True, slots=True)
class DeclarePlacementPolicy:
    """Declare the law, whole; its `clusters` are as they were written."""

    law: PlacementPolicyDeclared
    actor: str
    at: datetime


@dataclass(frozen=True, slots=True)
class RemovePlacementPolicy:
    """Remove the law."""

    name: str
    actor: str
    at: datetime


Command = DeclarePlacementPolicy | RemovePlacementPolicy


def decide(command: Command, state: State, facts: Fleet) -> Sequence[Event]:
    """Return what follows from `command`; nothing, if the law is so already.

    Raises:
        Invalid, UnknownReference, SelectsNothing, LawLeavesNothing: why not.
    """
    match command:
        case DeclarePlacementPolicy():
            return _declare(command, state, facts)
        case RemovePlacementPolicy():
            return [] if isinstance(state, Absent) else [PlacementPolicyRemoved(command.name)]
        case _:
            assert_never(command)


def warnings(command: Command, facts: Fleet) -> list[str]:
    """Return the placements that the law removes, and whether it has ended."""
    if not isinstance(command, DeclarePlacementPolicy):
        return []
    law, at = command.law, _judged_at(command.law, command.at)
    if law.ends is not None and law.ends <= command.at:
        return ["the law has already ended: it forbids nothing"]
    tried = _tried(replace(law, clusters=canonical_clusters(law.clusters)), facts)
    since = "" if at == command.at else f", from {instant_text(at)}"
    return [
        f"{taken.sentence()}{since}"
        for application in sorted(law.applications)
        for taken in taken_by_law(tried, application, tried.placed(application), at)
        if taken.law == tried.policy.laws[law.name]
    ]


def _declare(command: DeclarePlacementPolicy, state: State, facts: Fleet) -> Sequence[Event]:
    asked = command.law
    check_text(asked.basis, "/spec/basis")
    if asked.begins is not None and asked.ends is not None and asked.ends <= asked.begins:
        raise Invalid("the law ends before it begins", pointer="/spec/until", fix="write until after from")
    declared = replace(asked, clusters=canonical_clusters(asked.clusters), applications=sorted(asked.applications))
    if declared == state:
        return []
    check_signoff(asked.signoff, facts)
    check_applications(asked.applications, facts, FORBIDDEN)
    before = (None, None) if isinstance(state, Absent) else (state.clusters, state.allow_empty)
    if before != (declared.clusters, declared.allow_empty):
        check_clusters(declared.clusters, facts, allow_empty=declared.allow_empty)
    _check_leaves_something(declared, command.at, facts)
    return [declared]


def _tried(law: PlacementPolicyDeclared, facts: Fleet) -> Fleet:
    tried = facts.fork()
    tried.assume(law)
    return tried


def _judged_at(law: PlacementPolicyDeclared, at: datetime) -> datetime:
    """Return the instant at which the law's effect is evaluated: now, or when it begins."""
    return at if law.begins is None else max(law.begins, at)


def _check_leaves_something(law: PlacementPolicyDeclared, at: datetime, facts: Fleet) -> None:
    judged = _judged_at(law, at)
    if not in_force(law, judged):
        return
    tried = _tried(law, facts)
    for index, application in enumerate(law.applications):
        placed = tried.placed(application)
        left = placed - tried.forbidden(application, judged)
        if placed and not left and placed - facts.forbidden(application, judged):
            raise LawLeavesNothing(
                f"it would forbid {application} everywhere: on {counted(len(placed), 'cluster')}",
                pointer=f"{FORBIDDEN}/{index}",
                fix=f"narrow clusters; if {application} may run nowhere, delete it or its release choices instead",
                laws=[law.name],
            )
