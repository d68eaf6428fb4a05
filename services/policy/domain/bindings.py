"""A role binding says who holds a role, for which clusters and namespaces, until when.

Once somebody holds `admin` everywhere and without an end, somebody always does; the last such binding can neither be
removed nor weakened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, assert_never

from libs.contracts.absent import Absent
from libs.contracts.refusals import Rejected
from libs.contracts.rights import ADMIN, BOUND_ROLES
from libs.fleet.checks import read_expression, unknown
from services.policy.domain.checks import CLUSTERS, canonical_clusters, check_clusters
from services.policy.events import RoleBindingDeclared, RoleBindingRemoved

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from libs.fleet import Fleet

State = Absent | RoleBindingDeclared
Event = RoleBindingDeclared | RoleBindingRemoved


class LastAdmin(Rejected):
    """This would remove the last permanent admin."""

    code = "last-admin"


@dataclass(frozen=True, slots=True)
class DeclareRoleBinding:
    """Declare the binding, whole; its `clusters` are as they were written."""

    binding: RoleBindingDeclared
    actor: str
    at: datetime


@dataclass(frozen=True, slots=True)
class RemoveRoleBinding:
    """Remove the binding."""

    name: str
    actor: str
    at: datetime


Command = DeclareRoleBinding | RemoveRoleBinding


def decide(command: Command, state: State, facts: Fleet) -> Sequence[Event]:
    """Return what follows from `command`; nothing, if the binding is so already.

    Raises:
        InvalidExpression, UnknownReference, LastAdmin: why not.
    """
    match command:
        case DeclareRoleBinding():
            return _declare(command.binding, state, facts)
        case RemoveRoleBinding():
            if isinstance(state, Absent):
                return []
            left = {name: each for name, each in facts.policy.bindings.items() if name != command.name}
            _check_admin(state, left, None)
            return [RoleBindingRemoved(command.name)]
        case _:
            assert_never(command)


def warnings(command: Command, facts: Fleet) -> list[str]:
    """Return the warnings: accepted, but probably not intended."""
    if not isinstance(command, DeclareRoleBinding):
        return []
    binding = command.binding
    found = []
    if binding.expires is not None and binding.expires <= command.at:
        found.append("the binding has expired already: nobody holds the role by it")
    if binding.clusters is not None and not facts.selection.select(read_expression(binding.clusters, CLUSTERS)):
        found.append("the expression selects no cluster now: the binding has no effect yet")
    return found


def _declare(asked: RoleBindingDeclared, state: State, facts: Fleet) -> Sequence[Event]:
    clusters = None if asked.clusters is None else canonical_clusters(asked.clusters)
    declared = replace(asked, clusters=clusters, namespaces=sorted(asked.namespaces))
    if declared == state:
        return []
    if declared.role not in BOUND_ROLES and declared.role not in facts.policy.roles:
        raise unknown("role", declared.role, "/spec/role", [*BOUND_ROLES, *facts.policy.roles])
    for index, namespace in enumerate(asked.namespaces):
        if namespace not in facts.namespaces:
            raise unknown("namespace", namespace, f"/spec/namespaces/{index}", facts.namespaces)
    if clusters is not None and (isinstance(state, Absent) or state.clusters != clusters):
        check_clusters(clusters, facts, may_select_nothing=True)
    _check_admin(state, {**facts.policy.bindings, declared.name: declared}, "/spec")
    return [declared]


def _check_admin(state: State, after: Mapping[str, RoleBindingDeclared], pointer: str | None) -> None:
    had = isinstance(state, RoleBindingDeclared) and _for_good(state)
    if had and not any(map(_for_good, after.values())):
        raise LastAdmin(
            "no other binding gives a user or a group the role admin everywhere and without an end",
            pointer=pointer,
            fix="bind the role admin to another user or group first",
        )


def _for_good(binding: RoleBindingDeclared) -> bool:
    everywhere = binding.clusters is None and not binding.namespaces and binding.expires is None
    return binding.role == ADMIN and everywhere and any(each.user or each.group for each in binding.subjects)
