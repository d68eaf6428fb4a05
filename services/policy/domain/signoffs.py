"""A sign-off is a process: ordered stages of roles with a quorum, and how long one run of it may take.

Open runs keep the stages that they began with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from libs.contracts.absent import Absent
from libs.contracts.refusals import Invalid
from libs.contracts.rights import ADMIN
from libs.fleet.checks import check_unreferenced, unknown
from services.policy.events import SignOffDeclared, SignOffRemoved

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from libs.fleet import Fleet

EXPIRES_HOURS_MAX = 8_760
COUNTED = ("requester", "publisher", "earlier_approvers", "service_accounts")
"""Whose votes a process can let count besides those of independent people."""

State = Absent | SignOffDeclared
Event = SignOffDeclared | SignOffRemoved


@dataclass(frozen=True, slots=True)
class DeclareSignOff:
    """Declare the process, whole."""

    signoff: SignOffDeclared
    actor: str
    at: datetime


@dataclass(frozen=True, slots=True)
class RemoveSignOff:
    """Remove the process, to which nothing refers any more."""

    name: str
    actor: str
    at: datetime


Command = DeclareSignOff | RemoveSignOff


def decide(command: Command, state: State, facts: Fleet) -> Sequence[Event]:
    """Return what follows from `command`; nothing, if the process is so already.

    Raises:
        Invalid, UnknownReference, StillReferenced: why not.
    """
    match command:
        case DeclareSignOff():
            return _declare(command.signoff, state, facts)
        case RemoveSignOff():
            if isinstance(state, Absent):
                return []
            check_unreferenced("sign-off", command.name, facts.referrers("signoff", command.name))
            return [SignOffRemoved(command.name)]
        case _:
            assert_never(command)


def _declare(asked: SignOffDeclared, state: State, facts: Fleet) -> Sequence[Event]:
    if not 0 < asked.expires_hours <= EXPIRES_HOURS_MAX:
        raise Invalid(
            f"a run must expire within {EXPIRES_HOURS_MAX:,} hours, and not at once", pointer="/spec/expires_hours"
        )
    if asked == state:
        return []
    known = [ADMIN, *facts.policy.roles]
    for index, stage in enumerate(asked.stages):
        for number, role in enumerate(stage.roles):
            if role not in known:
                raise unknown("role", role, f"/spec/stages/{index}/roles/{number}", known)
    return [asked]
