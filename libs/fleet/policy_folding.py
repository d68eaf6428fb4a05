"""How events change policy in memory.

The one rule: the facts that a withheld change would replace are remembered just before that change, in the same fold.
"""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING, Any, NamedTuple

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
from libs.fleet.policy import Withheld, kept_key
from libs.fleet.runs import whole_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from libs.fleet.contents import Contents


@singledispatch
def fold_policy(_event: Event, _facts: Contents) -> None:
    """Fold an event; events that do not concern policy change nothing."""


def _save(facts: Contents, kind: str, name: str, expression: str | None) -> None:
    """Save the clusters that a document applies to, or forget them."""
    if expression is None:
        facts.selection.forget((kind, name))
    else:
        facts.selection.save((kind, name), facts.parsed(expression))
    facts.policy.version += 1


class _Document(NamedTuple):
    """A kind of policy document: its name in evidence, its dictionary, and the key of its saved clusters."""

    kind: str
    held_in: str
    saved_as: str | None = None


_DOCUMENTS: Mapping[tuple[type, type], _Document] = {
    (CalendarDeclared, CalendarRemoved): _Document("calendar", "calendars", "calendar"),
    (FreezeDeclared, FreezeRemoved): _Document("freeze", "freezes", "freeze"),
    (SignOffDeclared, SignOffRemoved): _Document("signoff", "signoffs"),
    (RoleDeclared, RoleRemoved): _Document("role", "roles"),
    (RoleBindingDeclared, RoleBindingRemoved): _Document("rolebinding", "bindings", "binding"),
}


def _declared(document: _Document) -> Callable[[Any, Contents], None]:
    def fold(event: Any, facts: Contents) -> None:
        held = getattr(facts.policy, document.held_in)
        if event.name not in held:
            facts.policy.born[f"{document.kind}/{event.name}"] = facts.now.position
        held[event.name] = event
        facts.note(document.kind, event.name)
        if document.saved_as is not None:
            _save(facts, document.saved_as, event.name, event.clusters)

    return fold


def _removed(document: _Document) -> Callable[[Any, Contents], None]:
    def fold(event: Any, facts: Contents) -> None:
        if getattr(facts.policy, document.held_in).pop(event.name, None) is not None:
            facts.policy.born.pop(f"{document.kind}/{event.name}", None)
            facts.note(document.kind, event.name)
            if document.saved_as is not None:
                _save(facts, document.saved_as, event.name, None)

    return fold


for (_declares, _removes), _document in _DOCUMENTS.items():
    fold_policy.register(_declares, _declared(_document))
    fold_policy.register(_removes, _removed(_document))


@fold_policy.register(PlacementPolicyDeclared)
def _(event: PlacementPolicyDeclared, facts: Contents) -> None:
    before = facts.policy.laws.get(event.name)
    facts.policy.laws[event.name] = event
    facts.note("law", event.name)
    _save(facts, "law", event.name, event.clusters)
    _retarget(facts, [*([] if before is None else before.applications), *event.applications])


@fold_policy.register(PlacementPolicyRemoved)
def _(event: PlacementPolicyRemoved, facts: Contents) -> None:
    gone = facts.policy.laws.pop(event.name, None)
    if gone is not None:
        facts.note("law", event.name)
        _save(facts, "law", event.name, None)
        _retarget(facts, gone.applications)


def _retarget(facts: Contents, applications: Iterable[str]) -> None:
    facts.touched.whole.update(applications)


@fold_policy.register(TokenIssued)
def _(event: TokenIssued, facts: Contents) -> None:
    facts.policy.issue(event)


@fold_policy.register(TokenRevoked)
def _(event: TokenRevoked, facts: Contents) -> None:
    facts.policy.revoked[event.id] = facts.now.at


@fold_policy.register(ApprovalRequested)
def _(event: ApprovalRequested, facts: Contents) -> None:
    facts.policy.request(whole_run(event, facts.blob), facts.now.at)
    facts.note("approval", event.id)


@fold_policy.register(ApprovalGranted)
def _(event: ApprovalGranted, facts: Contents) -> None:
    facts.policy.vote(event)


@fold_policy.register(ApprovalCompleted)
def _(event: ApprovalCompleted, facts: Contents) -> None:
    facts.policy.complete(event, facts.now.at)
    facts.note("approval", event.id)


def _settled(event: ApprovalRefused | ApprovalWithdrawn | ApprovalSuperseded, facts: Contents) -> None:
    facts.policy.settle(event, facts.now.at)
    facts.note("approval", event.id)


for _type in (ApprovalRefused, ApprovalWithdrawn, ApprovalSuperseded):
    fold_policy.register(_type, _settled)


@fold_policy.register(OverrideRequested)
def _(event: OverrideRequested, facts: Contents) -> None:
    facts.policy.ask(event, facts.now.at)
    facts.note("override", event.id)


@fold_policy.register(OverrideStarted)
def _(event: OverrideStarted, facts: Contents) -> None:
    facts.policy.start(event)
    facts.note("override", event.id)


@fold_policy.register(OverrideRevoked)
def _(event: OverrideRevoked, facts: Contents) -> None:
    facts.policy.revoke(event, facts.now.at)
    facts.note("override", event.id)


@fold_policy.register(OverrideUsed)
def _(event: OverrideUsed, facts: Contents) -> None:
    if event.part == 1:
        facts.policy.used(event.id)


@fold_policy.register(LooseningWithheld)
def _(event: LooseningWithheld, facts: Contents) -> None:
    policy, clusters = facts.policy, unpacked(event.clusters)
    among = ordinals(clusters)
    kept = {kind: _kept(event, kind) for kind in ("freeze", "placementpolicy")}
    freezes = {name: policy.freezes[name] for name in kept["freeze"] if name in policy.freezes}
    laws = {name: policy.laws[name] for name in kept["placementpolicy"] if name in policy.laws}
    calendars = {
        name: (calendar, facts.bound("calendar", name) & clusters) for name, calendar in policy.calendars.items()
    }
    policy.withheld[event.id] = Withheld(
        event,
        facts.now.at,
        clusters,
        calendars,
        {key: facts.bound("freeze", key) & clusters for key in policy.every_freeze},
        {key: facts.bound("law", key) & clusters for key in policy.every_law},
        facts.zone_of.values[among].copy(),
        facts.hours_of.values[among].copy(),
        freezes,
        laws,
        dict(policy.born),
    )
    for name, freeze in freezes.items():
        _save(facts, "freeze", kept_key(name, event.id), freeze.clusters)
    for name, law in laws.items():
        _save(facts, "law", kept_key(name, event.id), law.clusters)
        _retarget(facts, law.applications)
    facts.note("withheld", event.id)
    policy.version += 1


@fold_policy.register(LooseningConfirmed)
def _(event: LooseningConfirmed, facts: Contents) -> None:
    gone = facts.policy.withheld.pop(event.id, None)
    if gone is not None:
        facts.note("withheld", event.id)
        facts.policy.version += 1
        for name in gone.kept_freezes:
            _save(facts, "freeze", kept_key(name, event.id), None)
        for name, law in gone.kept_laws.items():
            _save(facts, "law", kept_key(name, event.id), None)
            _retarget(facts, law.applications)
        laws = facts.policy.every_law
        for key in gone.laws:
            if key in laws:
                _retarget(facts, laws[key].applications)


def _kept(event: LooseningWithheld, kind: str) -> list[str]:
    """Return the names of those things of a kind whose content a withheld change keeps."""
    streams = (stream.partition("-") for stream in event.keeps)
    return [name for category, _, name in streams if category == kind]
