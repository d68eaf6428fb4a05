"""An application is a workload in one namespace; its expression narrows the namespace's.

Releases are compiled for their application's namespace, so an application with releases cannot move.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, assert_never

from libs.contracts import ApplicationDeclared, ApplicationRemoved, ReleaseChoicesSet
from libs.contracts.absent import Absent
from libs.contracts.names import check_name
from libs.contracts.refusals import Rejected
from libs.fleet.checks import (
    check_expression,
    check_signoff,
    check_unreferenced,
    read_expression,
    some,
    unknown,
)
from libs.kubernetes import ignored_as
from libs.selection import canonical
from services.catalog.domain.lawful import check_placements, placement_warnings
from services.catalog.domain.namespaces import NameReserved

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from libs.fleet import Fleet

_RESERVED = ("kustomization", "namespace")

State = Absent | ApplicationDeclared
Event = ApplicationDeclared | ApplicationRemoved | ReleaseChoicesSet


class ReleasesStay(Rejected):
    """An application that has releases cannot move to another namespace."""

    code = "releases-stay"


@dataclass(frozen=True, slots=True)
class DeclareApplication:
    """Declare the application, whole; without an expression it runs on all clusters of its namespace."""

    application: ApplicationDeclared
    actor: str
    at: datetime


@dataclass(frozen=True, slots=True)
class RemoveApplication:
    """Remove the application, and with it its release choices."""

    name: str
    actor: str
    at: datetime


Command = DeclareApplication | RemoveApplication


def decide(command: Command, state: State, facts: Fleet) -> Sequence[Event]:
    """Return what follows from `command`; nothing, if the application is so already.

    Raises:
        Invalid, NameReserved, UnknownReference, SelectsNothing, ReleasesStay, StillReferenced, LawLeavesNothing,
        LawForbids: why not.
    """
    match command:
        case DeclareApplication():
            return _declare(command, state, facts)
        case RemoveApplication():
            return _remove(command, state, facts)
        case _:
            assert_never(command)


def warnings(command: Command, facts: Fleet) -> list[str]:
    """Return the warnings: accepted, but probably not intended."""
    if not isinstance(command, DeclareApplication):
        return []
    asked = command.application
    found = placement_warnings(_normal(asked), [asked.name], facts, command.at)
    if asked.expression is not None:
        inside = facts.selection.namespace_members(asked.namespace)
        if inside.isdisjoint(facts.selection.select(read_expression(asked.expression))):
            found.append(f"no cluster of the namespace {asked.namespace} is selected by the application's expression")
    return found


def _normal(asked: ApplicationDeclared) -> ApplicationDeclared:
    if asked.expression is None:
        return asked
    return replace(asked, expression=canonical(read_expression(asked.expression)))


def _declare(command: DeclareApplication, state: State, facts: Fleet) -> Sequence[Event]:
    asked = command.application
    check_name(asked.name)
    if asked.name in _RESERVED:
        raise NameReserved(
            f"an application cannot be called {asked.name!r}: its file would be the namespace's own",
            pointer="/metadata/name",
            fix="choose another name",
        )
    declared = _normal(asked)
    if declared == state:
        return []
    if isinstance(state, Absent) and (file := ignored_as(asked.name)):
        raise NameReserved(
            f"an application cannot be called {asked.name!r}",
            pointer="/metadata/name",
            fix=f"choose another name: Flux does not fetch {file}, which would stop the whole namespace",
        )
    if asked.namespace not in facts.namespaces:
        raise unknown("namespace", asked.namespace, "/spec/namespace", facts.namespaces)
    check_signoff(asked.signoff, facts)
    _check_move(asked, state, facts)
    if asked.expression is not None and (
        isinstance(state, Absent)
        or (state.expression, state.allow_empty) != (declared.expression, declared.allow_empty)
    ):
        check_expression(read_expression(asked.expression), facts, allow_empty=asked.allow_empty)
    check_placements(declared, [asked.name], facts, command.at, "/spec/expression")
    return [declared]


def _check_move(asked: ApplicationDeclared, state: State, facts: Fleet) -> None:
    if isinstance(state, Absent) or state.namespace == asked.namespace:
        return
    versions = sorted(version for application, version in facts.releases if application == asked.name)
    if versions:
        raise ReleasesStay(
            f"{asked.name} has releases for the namespace {state.namespace}: {some(versions)}",
            pointer="/spec/namespace",
            fix=f"declare an application of another name in {asked.namespace} and publish its releases there",
        )


def _remove(command: RemoveApplication, state: State, facts: Fleet) -> Sequence[Event]:
    if isinstance(state, Absent):
        return []
    check_unreferenced("application", command.name, facts.referrers("application", command.name))
    removed: list[Event] = [ApplicationRemoved(command.name)]
    if facts.choices.get(command.name):
        removed.append(ReleaseChoicesSet(command.name, []))
    return removed
