"""The routes of policy: six declared kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter

from libs.web.kinds import DeclaredKind
from libs.web.router import declared_router
from libs.web.schema import document_model
from services.policy.approving import approvals_router
from services.policy.documents import (
    CalendarSpec,
    FreezeSpec,
    calendar_document,
    freeze_document,
    parse_calendar,
    parse_freeze,
)
from services.policy.domain import calendars, freezes
from services.policy.domain.checks import Absent
from services.policy.overriding import overrides_router

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pyroaring import BitMap

    from libs.fleet import Fleet
    from libs.web.commands import Commands
    from libs.web.schema import Spec

NAMED = ("store", "group", "namespace", "application", "signoff")
"""What the deciders of calendars and freezes read: what expressions name, and what the documents refer to."""


def bound_on(kind: str, names: Callable[[Fleet], Iterable[str]]) -> Callable[[Fleet, BitMap], Iterable[str]]:
    """Return what finds the things of a kind whose clusters hold one of some clusters."""

    def found(facts: Fleet, clusters: BitMap) -> Iterable[str]:
        return (name for name in names(facts) if not facts.selection.saved((kind, name)).isdisjoint(clusters))

    return found


def _schema(kind: str, spec: type[Spec]) -> Mapping[str, Any]:
    return document_model(kind, spec, "name").model_json_schema()


CALENDAR: DeclaredKind[calendars.Command, calendars.State] = DeclaredKind(
    kind="Calendar",
    plural="calendars",
    category="calendar",
    absent=Absent(),
    parse=parse_calendar,
    remove=calendars.RemoveCalendar,
    decide=calendars.decide,
    evolve=calendars.evolve,
    to_document=calendar_document,
    guards=NAMED,
    clusters_to_names=bound_on("calendar", lambda facts: facts.policy.calendars),
    schema=_schema("Calendar", CalendarSpec),
)

FREEZE: DeclaredKind[freezes.Command, freezes.State] = DeclaredKind(
    kind="Freeze",
    plural="freezes",
    category="freeze",
    absent=Absent(),
    parse=parse_freeze,
    remove=freezes.RemoveFreeze,
    decide=freezes.decide,
    evolve=freezes.evolve,
    to_document=freeze_document,
    guards=NAMED,
    warnings=freezes.warnings,
    clusters_to_names=bound_on("freeze", lambda facts: facts.policy.freezes),
    schema=_schema("Freeze", FreezeSpec),
)

DECLARED: tuple[DeclaredKind[Any, Any], ...] = (CALENDAR, FREEZE)
"""In the order in which documents can refer to each other."""


def policy_router(commands: Commands, ids: Callable[[], str]) -> APIRouter:
    """Return the routes of the declared kinds, of overrides and approvals; `ids` gives new ids."""
    router = APIRouter()
    router.include_router(overrides_router(commands, ids))
    router.include_router(approvals_router(commands))
    for kind in DECLARED:
        router.include_router(declared_router(kind, commands))
    return router
