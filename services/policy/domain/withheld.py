"""A withheld change would open a gate; gates ignore it until somebody who may affect policy there confirms it.

A change is confirmed whole, for all of its clusters, with a reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from libs.access.relaxing import WITHHELD, runs_over
from libs.contracts import LooseningConfirmed
from libs.contracts.refusals import Rejected
from services.policy.domain.checks import check_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from libs.contracts import ApprovalCompleted, ApprovalRequested, By
    from libs.fleet import Fleet, Withheld


@dataclass(frozen=True, slots=True)
class ConfirmLoosening:
    """Confirm a change, so that it counts for gates."""

    id: str
    reason: str
    by: By
    at: datetime
    ticket: str = ""


class SignOffMissing(Rejected):
    """A sign-off has to approve this change first."""

    code = "sign-off-missing"


def counting(facts: Fleet, completed: ApprovalCompleted, request: ApprovalRequested) -> list[LooseningConfirmed]:
    """Return that a change counts with the last of its approvals, if its author may affect policy."""
    waits = facts.policy.withheld.get(request.subject) if request.kind == WITHHELD else None
    if waits is None or not waits.event.affected:
        return []
    left = [name for name in missing(waits, facts) if name != request.signoff]
    reason = f"approved by {', '.join(completed.people)}"
    return [] if left else [LooseningConfirmed(id=waits.event.id, reason=reason, by=waits.event.by)]


def missing(state: Withheld, facts: Fleet) -> list[str]:
    """Return the sign-offs that have not approved a withheld change."""
    return [name for name in state.event.signoffs if not facts.policy.approved_by(state.event.id, name)]


def decide(
    command: ConfirmLoosening, state: Withheld | None, facts: Fleet
) -> Sequence[LooseningConfirmed | ApprovalRequested]:
    """Return what follows; nothing, if it counts already (`state` is None).

    A sign-off whose runs have all ended without an approval is asked again instead.

    Raises:
        Invalid: no reason is given.
        SignOffMissing: a sign-off has not approved it.
    """
    if state is None:
        return []
    reason = check_text(command.reason, "/reason")
    ticket = check_text(command.ticket, "/ticket") if command.ticket else ""
    if left := missing(state, facts):
        if asked := runs_over(facts, state.event, command.by, reason, command.at):
            return asked
        runs = [each.request.id for each in facts.policy.runs_of(WITHHELD, command.id) if each.state == "running"]
        raise SignOffMissing(
            f"sign-off {', '.join(left)} has not approved the withheld change {command.id}",
            fix=f"ask its approvers: resedge approval grant {runs[-1]}" if runs else f"declare the sign-off {left[0]}",
        )
    return [LooseningConfirmed(id=command.id, reason=reason, by=command.by, ticket=ticket)]
