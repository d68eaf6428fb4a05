"""A role says which verbs on which kinds its holders may do; a binding says who holds it, and where.

The names of the built-in roles are reserved, and documents cannot change the rights of those roles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from libs.contracts.absent import Absent
from libs.contracts.refusals import Rejected
from libs.contracts.rights import BUILT_IN_ROLES
from libs.fleet.checks import check_unreferenced
from services.policy.events import RoleDeclared, RoleRemoved

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from libs.fleet import Fleet

State = Absent | RoleDeclared
Event = RoleDeclared | RoleRemoved


class RoleReserved(Rejected):
    """The name belongs to a built-in role."""

    code = "role-reserved"


@dataclass(frozen=True, slots=True)
class DeclareRole:
    """Declare the role, whole."""

    role: RoleDeclared
    actor: str
    at: datetime


@dataclass(frozen=True, slots=True)
class RemoveRole:
    """Remove the role, to which nothing refers any more."""

    name: str
    actor: str
    at: datetime


Command = DeclareRole | RemoveRole


def decide(command: Command, state: State, facts: Fleet) -> Sequence[Event]:
    """Return what follows from `command`; nothing, if the role is so already.

    Raises:
        RoleReserved, StillReferenced: why not.
    """
    match command:
        case DeclareRole():
            if command.role.name in BUILT_IN_ROLES:
                raise RoleReserved(
                    f"the role {command.role.name} is built in",
                    pointer="/metadata/name",
                    fix=f"choose another name than {', '.join(BUILT_IN_ROLES)}",
                )
            return [] if command.role == state else [command.role]
        case RemoveRole():
            if isinstance(state, Absent):
                return []
            check_unreferenced("role", command.name, facts.referrers("role", command.name))
            return [RoleRemoved(command.name)]
        case _:
            assert_never(command)
