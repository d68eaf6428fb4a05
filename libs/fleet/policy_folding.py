"""How events change what is allowed, when, and after whose approval.

The one rule: what is withheld is remembered just before the facts that would open a gate, from the same fold.
"""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING

from libs.contracts import (
    ApprovalCompleted,
    ApprovalGranted,
    ApprovalRefused,
    ApprovalRequested,
    ApprovalSuperseded,
    ApprovalWithdrawn,
    CalendarDeclared,
    CalendarRemoved,
    Event,
    FreezeDeclared,
    FreezeRemoved,
    LooseningConfirmed,
    LooseningWithheld,
    OverrideRequested,
    OverrideRevoked,
    OverrideStarted,
    OverrideUsed,
    PlacementPolicyDeclared,
    PlacementPolicyRemoved,
    RoleBindingDeclared,
    RoleBindingRemoved,
    RoleDeclared,
    RoleRemoved,
    SignOffDeclared,
    SignOffRemoved,
    TokenIssued,
    TokenRevoked,
)
from libs.fleet.bitmaps import ordinals, unpacked
from libs.fleet.policy import Withheld
from libs.fleet.runs import whole

if TYPE_CHECKING:
    from collections.abc import Iterable

    from libs.fleet.facts import Facts


@singledispatch
def fold_policy(_event: Event, _facts: Facts) -> None:
    """Take an event; those that say nothing about policy change nothing."""


def _save(facts: Facts, kind: str, name: str, expression: str | None) -> None:
    """Save what a document binds, or forget it."""
    if expression is None:
        facts.selection.forget((kind, name))
    else:
        facts.selection.save((kind, name), facts.parsed(expression))
    facts.policy.version += 1


@fold_policy.register(CalendarDeclared)
def _(event: CalendarDeclared, facts: Facts) -> None:
    facts.policy.calendars[event.name] = event
    facts.note("calendar", event.name)
    _save(facts, "calendar", event.name, event.clusters)


@fold_policy.register(CalendarRemoved)
def _(event: CalendarRemoved, facts: Facts) -> None:
    if facts.policy.calendars.pop(event.name, None) is not None:
        facts.note("calendar", event.name)
        _save(facts, "calendar", event.name, None)


@fold_policy.register(FreezeDeclared)
def _(event: FreezeDeclared, facts: Facts) -> None:
    facts.policy.freezes[event.name] = event
    facts.note("freeze", event.name)
    _save(facts, "freeze", event.name, event.clusters)


@fold_policy.register(FreezeRemoved)
def _(event: FreezeRemoved, facts: Facts) -> None:
    if facts.policy.freezes.pop(event.name, None) is not None:
        facts.note("freeze", event.name)
        _save(facts, "freeze", event.name, None)


@fold_policy.register(PlacementPolicyDeclared)
def _(event: PlacementPolicyDeclared, facts: Facts) -> None:
    before = facts.policy.laws.get(event.name)
    facts.policy.laws[event.name] = event
    facts.note("law", event.name)
    _save(facts, "law", event.name, event.clusters)
    _retarget(facts, [*([] if before is None else before.applications), *event.applications])


@fold_policy.register(PlacementPolicyRemoved)
def _(event: PlacementPolicyRemoved, facts: Facts) -> None:
    gone = facts.policy.laws.pop(event.name, None)
    if gone is not None:
        facts.note("law", event.name)
        _save(facts, "law", event.name, None)
        _retarget(facts, gone.applications)


def _retarget(facts: Facts, applications: Iterable[str]) -> None:
    facts.touched.whole.update(applications)


@fold_policy.register(SignOffDeclared)
def _(event: SignOffDeclared, facts: Facts) -> None:
    facts.policy.signoffs[event.name] = event
    facts.note("signoff", event.name)


@fold_policy.register(SignOffRemoved)
def _(event: SignOffRemoved, facts: Facts) -> None:
    facts.policy.signoffs.pop(event.name, None)
    facts.note("signoff", event.name)


@fold_policy.register(RoleDeclared)
def _(event: RoleDeclared, facts: Facts) -> None:
    facts.policy.roles[event.name] = event
    facts.note("role", event.name)


@fold_policy.register(RoleRemoved)
def _(event: RoleRemoved, facts: Facts) -> None:
    facts.policy.roles.pop(event.name, None)
    facts.note("role", event.name)


@fold_policy.register(RoleBindingDeclared)
def _(event: RoleBindingDeclared, facts: Facts) -> None:
    facts.policy.bindings[event.name] = event
    facts.note("rolebinding", event.name)
    _save(facts, "binding", event.name, event.clusters)


@fold_policy.register(RoleBindingRemoved)
def _(event: RoleBindingRemoved, facts: Facts) -> None:
    if facts.policy.bindings.pop(event.name, None) is not None:
        facts.note("rolebinding", event.name)
        _save(facts, "binding", event.name, None)


@fold_policy.register(TokenIssued)
def _(event: TokenIssued, facts: Facts) -> None:
    facts.policy.issue(event)


@fold_policy.register(TokenRevoked)
def _(event: TokenRevoked, facts: Facts) -> None:
    facts.policy.revoked[event.id] = facts.now.at


@fold_policy.register(ApprovalRequested)
def _(event: ApprovalRequested, facts: Facts) -> None:
    facts.policy.request(whole(event, facts.blob), facts.now.at)
    facts.note("approval", event.id)


@fold_policy.register(ApprovalGranted)
def _(event: ApprovalGranted, facts: Facts) -> None:
    facts.policy.vote(event)


@fold_policy.register(ApprovalCompleted)
def _(event: ApprovalCompleted, facts: Facts) -> None:
    facts.policy.complete(event, facts.now.at)
    facts.note("approval", event.id)


def _settled(event: ApprovalRefused | ApprovalWithdrawn | ApprovalSuperseded, facts: Facts) -> None:
    facts.policy.settle(event, facts.now.at)
    facts.note("approval", event.id)


for _type in (ApprovalRefused, ApprovalWithdrawn, ApprovalSuperseded):
    fold_policy.register(_type, _settled)


@fold_policy.register(OverrideRequested)
def _(event: OverrideRequested, facts: Facts) -> None:
    facts.policy.ask(event, facts.now.at)
    facts.note("override", event.id)


@fold_policy.register(OverrideStarted)
def _(event: OverrideStarted, facts: Facts) -> None:
    facts.policy.start(event)
    facts.note("override", event.id)


@fold_policy.register(OverrideRevoked)
def _(event: OverrideRevoked, facts: Facts) -> None:
    facts.policy.revoke(event, facts.now.at)
    facts.note("override", event.id)


@fold_policy.register(OverrideUsed)
def _(event: OverrideUsed, facts: Facts) -> None:
    if event.part == 1:
        facts.policy.used(event.id)


@fold_policy.register(LooseningWithheld)
def _(event: LooseningWithheld, facts: Facts) -> None:
    policy, clusters = facts.policy, unpacked(event.clusters)
    among = ordinals(clusters)
    calendars = {
        name: (calendar, facts.bound("calendar", name) & clusters) for name, calendar in policy.calendars.items()
    }
    policy.withheld[event.id] = Withheld(
        event,
        facts.now.at,
        clusters,
        calendars,
        {name: facts.bound("freeze", name) & clusters for name in policy.freezes},
        {name: facts.bound("law", name) & clusters for name in policy.laws},
        facts.zone_of.values[among].copy(),
        facts.hours_of.values[among].copy(),
    )
    facts.note("withheld", event.id)
    policy.version += 1


@fold_policy.register(LooseningConfirmed)
def _(event: LooseningConfirmed, facts: Facts) -> None:
    gone = facts.policy.withheld.pop(event.id, None)
    if gone is not None:
        facts.note("withheld", event.id)
        facts.policy.version += 1
        for name in gone.laws:
            if name in facts.policy.laws:
                _retarget(facts, facts.policy.laws[name].applications)
