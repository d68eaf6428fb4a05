"""The routes of policy: six declared kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter

from libs.commands.kinds import DeclaredKind
from libs.kinds import BY_DOCUMENT
from libs.web.router import declared_router
from libs.web.schema import document_model
from services.policy.approvals_api import approvals_router
from services.policy.can_i_api import can_i_router
from services.policy.documents.access import (
    RoleBindingSpec,
    RoleSpec,
    binding_document,
    parse_binding,
    parse_role,
    role_document,
)
from services.policy.documents.calendars import CalendarSpec, calendar_document, parse_calendar
from services.policy.documents.freezes import FreezeSpec, freeze_document, parse_freeze
from services.policy.documents.laws import PlacementPolicySpec, law_document, parse_law
from services.policy.documents.signoffs import SignOffSpec, parse_signoff, signoff_document
from services.policy.domain import bindings, calendars, freezes, laws, roles, signoffs
from services.policy.events import (
    CalendarDeclared,
    CalendarRemoved,
    FreezeDeclared,
    FreezeRemoved,
    PlacementPolicyDeclared,
    PlacementPolicyRemoved,
    RoleBindingDeclared,
    RoleBindingRemoved,
    RoleDeclared,
    RoleRemoved,
    SignOffDeclared,
    SignOffRemoved,
)
from services.policy.overrides_api import overrides_router
from services.policy.tokens_api import tokens_router
from services.policy.windows_api import windows_router
from services.policy.withheld_api import withheld_router

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pyroaring import BitMap

    from libs.commands.commands import Commands
    from libs.fleet import Fleet
    from libs.web.schema import Spec


def bound_on(kind: str, names: Callable[[Fleet], Iterable[str]]) -> Callable[[Fleet, BitMap], Iterable[str]]:
    """Return a function that finds the things of a kind that select one of some clusters."""

    def found(facts: Fleet, clusters: BitMap) -> Iterable[str]:
        return (name for name in names(facts) if not facts.selection.saved((kind, name)).isdisjoint(clusters))

    return found


def _schema(kind: str, spec: type[Spec]) -> Mapping[str, Any]:
    return document_model(kind, spec, "name").model_json_schema()


CALENDAR: DeclaredKind[calendars.Command, calendars.State] = DeclaredKind(
    registered=BY_DOCUMENT["Calendar"],
    declared=CalendarDeclared,
    removed=CalendarRemoved,
    parse=parse_calendar,
    remove=calendars.RemoveCalendar,
    decide=calendars.decide,
    to_document=calendar_document,
    warnings=calendars.warnings,
    clusters_to_names=bound_on("calendar", lambda facts: facts.policy.calendars),
    schema=_schema("Calendar", CalendarSpec),
)
"""Calendars: when changes may be admitted on what they apply to."""

FREEZE: DeclaredKind[freezes.Command, freezes.State] = DeclaredKind(
    registered=BY_DOCUMENT["Freeze"],
    declared=FreezeDeclared,
    removed=FreezeRemoved,
    parse=parse_freeze,
    remove=freezes.RemoveFreeze,
    decide=freezes.decide,
    to_document=freeze_document,
    warnings=freezes.warnings,
    clusters_to_names=bound_on("freeze", lambda facts: facts.policy.freezes),
    schema=_schema("Freeze", FreezeSpec),
)
"""Freezes: intervals in which nothing is admitted on their clusters."""

PLACEMENT_POLICY: DeclaredKind[laws.Command, laws.State] = DeclaredKind(
    registered=BY_DOCUMENT["PlacementPolicy"],
    declared=PlacementPolicyDeclared,
    removed=PlacementPolicyRemoved,
    parse=parse_law,
    remove=laws.RemovePlacementPolicy,
    decide=laws.decide,
    to_document=law_document,
    besides=("placementpolicy", "withheld"),  # other laws, which decide what this one leaves
    warnings=laws.warnings,
    clusters_to_names=bound_on("law", lambda facts: facts.policy.laws),
    schema=_schema("PlacementPolicy", PlacementPolicySpec),
)
"""Placement policies, which are law: applications that are forbidden on clusters."""

SIGNOFF: DeclaredKind[signoffs.Command, signoffs.State] = DeclaredKind(
    registered=BY_DOCUMENT["SignOff"],
    declared=SignOffDeclared,
    removed=SignOffRemoved,
    parse=parse_signoff,
    remove=signoffs.RemoveSignOff,
    decide=signoffs.decide,
    to_document=signoff_document,
    besides=("withheld",),  # a sign-off that must approve a withheld change cannot be removed
    schema=_schema("SignOff", SignOffSpec),
)
"""Sign-offs: the stages of approval, with their roles and quorums."""

ROLE: DeclaredKind[roles.Command, roles.State] = DeclaredKind(
    registered=BY_DOCUMENT["Role"],
    declared=RoleDeclared,
    removed=RoleRemoved,
    parse=parse_role,
    remove=roles.RemoveRole,
    decide=roles.decide,
    to_document=role_document,
    schema=_schema("Role", RoleSpec),
)
"""Roles: the verbs on kinds that their holders may use."""

ROLE_BINDING: DeclaredKind[bindings.Command, bindings.State] = DeclaredKind(
    registered=BY_DOCUMENT["RoleBinding"],
    declared=RoleBindingDeclared,
    removed=RoleBindingRemoved,
    parse=parse_binding,
    remove=bindings.RemoveRoleBinding,
    decide=bindings.decide,
    to_document=binding_document,
    besides=("rolebinding",),  # one of the other bindings must be a permanent administrator's
    warnings=bindings.warnings,
    clusters_to_names=bound_on("binding", lambda facts: facts.policy.bindings),
    schema=_schema("RoleBinding", RoleBindingSpec),
)
"""Role bindings: who holds a role, for which clusters and namespaces, until when."""

DECLARED: tuple[DeclaredKind[Any, Any], ...] = (ROLE, SIGNOFF, CALENDAR, FREEZE, PLACEMENT_POLICY, ROLE_BINDING)
"""In the order in which documents can refer to each other."""


def policy_router(commands: Commands, ids: Callable[[], str]) -> APIRouter:
    """Return the routes of the declared kinds, of sign-off and of local tokens; `ids` gives new ids."""
    router = APIRouter()
    router.include_router(overrides_router(commands, ids))
    router.include_router(approvals_router(commands))
    router.include_router(tokens_router(commands, ids))
    router.include_router(withheld_router(commands))
    router.include_router(windows_router(commands))
    router.include_router(can_i_router(commands))
    for kind in DECLARED:
        router.include_router(declared_router(kind, commands))
    return router
