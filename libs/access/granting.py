"""Whether somebody grants more than they hold: by a role, by a role binding, or by a token for somebody else.

The one rule, as in Kubernetes: who grants a right holds it themselves, there and for as long, or has the verb for
granting more: `escalate` on Role for what a role gives, `bind` on Role for role bindings, `impersonate` on Principal
for tokens of others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from libs.access.bounds import within
from libs.access.principals import Principal
from libs.access.rights import ALL, BINDABLE, BUILT_IN, Scope, bindings_of, holds, scope
from libs.contracts import Event, RoleBindingDeclared, RoleDeclared
from libs.contracts.problems import Problem
from libs.fleet import Fleet
from libs.fleet.parts import parsed

ESCALATE = ("escalate", "Role")
BIND = ("bind", "Role")
IMPERSONATE = ("impersonate", "Principal")
EVENT = "event"
"""The member of a refusal that says which of several events it is about."""
_FOR_GOOD = datetime.max.replace(tzinfo=UTC)
_INSTANT = timedelta(microseconds=1)
_Right = tuple[str, str]


def check_grants(events: Iterable[Event], facts: Fleet, sender: Principal, now: datetime) -> None:
    """Refuse roles and role bindings that give more than `sender` holds by the facts before them.

    Raises:
        Problem: 403; `event` in it is the number of the event that gives more.
    """
    roles = dict(facts.policy.roles)
    for number, event in enumerate(events):
        if isinstance(event, RoleDeclared):
            _check_role(number, event, facts, sender)
            roles[event.name] = event
    for number, event in enumerate(events):
        if isinstance(event, RoleBindingDeclared) and _widens(facts.policy.bindings.get(event.name), event):
            beyond = _beyond(event, roles, facts, sender, now)
            if beyond:
                raise _refused(
                    f"{sender.name} cannot bind the role {event.role} in {event.name}: {sender.name} does not hold "
                    f"{beyond} wherever, and for as long as, the binding would give it",
                    "bind only roles that you hold, there and for as long; or ask for a role with "
                    f"{' '.join(BIND)} that is bound without clusters",
                    BIND,
                    number,
                )


def check_token(facts: Fleet, sender: Principal, user: str, *, service_account: bool, now: datetime) -> None:
    """Refuse a token for somebody who may do more than `sender`.

    Raises:
        Problem: 403.
    """
    if user == sender.name and service_account == sender.service_account:
        return
    if scope(facts, sender, *IMPERSONATE, now).everywhere:
        return
    beyond = ""
    if service_account and any(each.service_account == user for each in facts.sources.values()):
        beyond = "the right to speak for its source"
    holder = Principal(user, frozenset(), service_account=service_account)
    for binding in bindings_of(facts, holder, now):
        beyond = beyond or _beyond(binding, facts.policy.roles, facts, sender, now)
    if beyond:
        raise _refused(
            f"{sender.name} cannot issue a token for {user}, who has {beyond} by a role binding: {sender.name} does "
            "not hold it wherever, and for as long as, that binding gives it",
            f"let {user} sign in themselves, or ask for a role with {' '.join(IMPERSONATE)}",
            IMPERSONATE,
            0,
        )


def rights_of(role: str, roles: Mapping[str, RoleDeclared]) -> set[_Right]:
    """Return the rights (verb, kind) that a role gives where it is bound; `*` stands for all."""
    if role in BUILT_IN:
        verbs = BUILT_IN[role] if role in BINDABLE else frozenset[str]()
        return {(verb, ALL) for verb in ({ALL} if verbs is None else verbs)}
    declared = roles.get(role)
    return set() if declared is None else _rights(declared)


def _rights(role: RoleDeclared) -> set[_Right]:
    return {(verb, kind) for rule in role.rules for verb in rule.verbs for kind in rule.kinds}


def _check_role(number: int, role: RoleDeclared, facts: Fleet, sender: Principal) -> None:
    known = facts.policy.roles.get(role.name)
    fresh = _rights(role) - (set() if known is None else _rights(known))
    if not fresh or scope(facts, sender, *ESCALATE, _FOR_GOOD).everywhere:
        return
    for verb, kind in sorted(fresh):
        if not scope(facts, sender, verb, kind, _FOR_GOOD).everywhere:
            raise _refused(
                f"{sender.name} cannot let the role {role.name} give {verb} {kind}, which {sender.name} does not hold "
                "everywhere and without an end",
                f"leave it out, or ask for a role with {' '.join(ESCALATE)}",
                ESCALATE,
                number,
            )


def _widens(before: RoleBindingDeclared | None, after: RoleBindingDeclared) -> bool:
    """Whether a binding gives anybody anything that it did not give before."""
    if before is None or (before.role, before.clusters) != (after.role, after.clusters):
        return True
    spaces = set(after.namespaces) <= set(before.namespaces) and bool(after.namespaces) if before.namespaces else True
    ends = before.expires is None or (after.expires is not None and after.expires <= before.expires)
    return not (spaces and ends and all(each in before.subjects for each in after.subjects))


def _beyond(
    binding: RoleBindingDeclared,
    roles: Mapping[str, RoleDeclared],
    facts: Fleet,
    sender: Principal,
    now: datetime,
) -> str:
    """Return, in words, something that a binding gives and `sender` does not hold there as long; empty: nothing."""
    until = _FOR_GOOD if binding.expires is None else max(now, binding.expires - _INSTANT)
    spaces: Sequence[str | None] = binding.namespaces or [None]
    if all(_covers(scope(facts, sender, *BIND, until, space), binding, facts) for space in spaces):
        return ""
    for what, held in _held(binding.role, roles, facts, sender, until, spaces):
        if not _covers(held, binding, facts):
            return what
    return ""


def _held(
    role: str,
    roles: Mapping[str, RoleDeclared],
    facts: Fleet,
    sender: Principal,
    until: datetime,
    spaces: Sequence[str | None],
) -> Iterator[tuple[str, Scope]]:
    """Yield all that a role gives, in words, with where `sender` holds it: its rights, and its vote if it has one."""
    for space in spaces:
        if any(role in stage.roles for process in facts.policy.signoffs.values() for stage in process.stages):
            yield f"the role {role}, which votes in a sign-off", holds(facts, sender, role, until, space)
        for verb, kind in sorted(rights_of(role, roles)):
            yield f"{verb} {kind}", scope(facts, sender, verb, kind, until, space)


def _covers(held: Scope, binding: RoleBindingDeclared, facts: Fleet) -> bool:
    """Whether what is held reaches all that a binding does, now and whatever is labelled later."""
    if held.everywhere:
        return True
    if binding.clusters is None:
        return False
    wanted = parsed(binding.clusters)
    if not held.covers(facts.selection.select(wanted) | facts.gone.select(wanted)):
        return False
    return within((wanted,), [parsed(each) for each in held.expressions], held.clusters, facts.selection)


def _refused(detail: str, fix: str, right: _Right, number: int) -> Problem:
    extra = {"verb": right[0], "kind": right[1], EVENT: number}
    return Problem(403, "out-of-scope", "This is outside your rights.", detail, fix=fix, extra=extra)
