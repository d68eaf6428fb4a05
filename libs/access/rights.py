"""What a principal may do, and where: built-in roles of file tokens, and the bindings of declared roles.

A right is a verb on a kind. Nobody has a right without a binding that gives it; a binding gives nothing after its end,
or if its expression selects nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pyroaring import BitMap

from libs.access.principals import Principal
from libs.contracts import RoleBindingDeclared, RoleRule, RoleSubject
from libs.contracts.people import normal
from libs.contracts.rights import RELAY_VERBS
from libs.fleet import Fleet
from libs.fleet.parts import parsed

ALL = "*"
AFFECT = "policy:affect"
"""The verb that makes a change of facts count at once for the gates that it opens."""
EVERY_KIND = "Document"
"""The kind of `POST /v1/documents`: whoever may apply anything may send it, and each document is judged as its kind."""
OF_EVERYBODY = frozenset({("get", "Principal"), ("get", "Kind")})
"""Everybody with an accepted token may ask who they are, what they may do and which kinds exist."""

USER_VERBS: Mapping[str, str] = {
    "read": "get",
    "list": "get",
    "count": "get",
    "explain": "get",
    "declare": "apply",
    "import": "apply",
    "label": "apply",
    "remove": "delete",
}
"""The verb of a route → the verb that a role names; the others are called the same."""

BUILT_IN: Mapping[str, frozenset[str] | None] = {
    "admin": None,
    "viewer": frozenset({"get"}),
    "source": frozenset({"send"}),
    "relay": frozenset({"get", "apply", "delete", "publish", *RELAY_VERBS}),
}
"""Role → the verbs that it allows on every kind; `None` is every verb.

`source` is a system outside that sends events; what they may say stands in its `Source` document. `relay` is the one
service that acts for others.
"""
READING = frozenset({"get"})
BINDABLE = frozenset({"admin", "viewer"})
"""The built-in roles that a binding can give; the others belong to tokens of the token file."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a right is held: `everywhere`, or on `clusters`; removed clusters count with their last facts.

    `namespaces` is `None` if it is held for things of every namespace; otherwise only for things of these.
    """

    everywhere: bool = False
    clusters: BitMap = field(default_factory=BitMap)
    namespaces: frozenset[str] | None = None
    expressions: tuple[str, ...] = ()
    """The expressions that select `clusters`, apart from removed ones."""

    def covers(self, clusters: BitMap) -> bool:
        """Whether it is held on all of `clusters`."""
        return self.everywhere or clusters <= self.clusters


_EVERYWHERE = Scope(everywhere=True)


@dataclass(frozen=True, slots=True)
class Rights:
    """The roles and bindings of a process: its fleet, and the clock by which bindings end."""

    fleet: Callable[[], Fleet]
    clock: Callable[[], datetime]

    def may(self, principal: Principal, verb: str, kind: str) -> bool:
        """Tell whether somebody may do something somewhere."""
        return may(self.fleet(), principal, verb, kind, self.clock())


def user_verb(verb: str) -> str:
    """Return the verb of roles for the verb of a route."""
    return USER_VERBS.get(verb, verb)


def held_by_token(principal: Principal, verb: str, kind: str) -> bool:
    """Tell whether the principal's token itself gives a right, for everything and everywhere."""
    asked = user_verb(verb)
    if (asked, kind) in OF_EVERYBODY:
        return True
    return any(_built_in(role, asked) for role in principal.roles)


def may(fleet: Fleet, principal: Principal, verb: str, kind: str, now: datetime) -> bool:
    """Tell whether `principal` may do `verb` to things of `kind`, wherever that is."""
    return held_by_token(principal, verb, kind) or any(_giving(fleet, principal, verb, kind, now))


def scope(
    fleet: Fleet, principal: Principal, verb: str, kind: str, now: datetime, namespace: str | None = None
) -> Scope:
    """Return where `principal` may do `verb` to things of `kind`: of `namespace`, or (`None`) of no namespace."""
    if held_by_token(principal, verb, kind):
        return _EVERYWHERE
    return _where(fleet, _giving(fleet, principal, verb, kind, now), namespace)


def holds(fleet: Fleet, principal: Principal, role: str, now: datetime, namespace: str | None = None) -> Scope:
    """Return where `principal` holds a role, for things of `namespace` or (`None`) of no namespace.

    A built-in role of a token is held everywhere, and includes no other role.
    """
    if role in principal.roles:
        return _EVERYWHERE
    return _where(fleet, (each for each in bindings_of(fleet, principal, now) if each.role == role), namespace)


def bindings_of(fleet: Fleet, principal: Principal, now: datetime) -> Iterator[RoleBindingDeclared]:
    """Yield the bindings in force at `now` that name `principal`."""
    for binding in fleet.policy.bindings.values():
        ended = binding.expires is not None and binding.expires <= now
        if not ended and any(_is(subject, principal) for subject in binding.subjects):
            yield binding


def _is(subject: RoleSubject, principal: Principal) -> bool:
    if principal.service_account:
        return bool(subject.service_account) and subject.service_account == principal.name
    if subject.user:
        return subject.user == principal.name
    return bool(subject.group) and normal(subject.group) in principal.groups


def _giving(fleet: Fleet, principal: Principal, verb: str, kind: str, now: datetime) -> Iterator[RoleBindingDeclared]:
    asked = user_verb(verb)
    return (binding for binding in bindings_of(fleet, principal, now) if role_gives(fleet, binding.role, asked, kind))


def role_gives(fleet: Fleet, role: str, verb: str, kind: str) -> bool:
    """Tell whether a role that a binding names gives a (user's) verb on a kind; one that is gone gives nothing."""
    if role in BUILT_IN:
        return role in BINDABLE and _built_in(role, verb)
    declared = fleet.policy.roles.get(role)
    return declared is not None and any(_rule_gives(rule, verb, kind) for rule in declared.rules)


def reads_only(fleet: Fleet, role: str) -> bool:
    """Tell whether a role that a binding names gives no more than reading, and no vote in a sign-off."""
    if any(role in stage.roles for process in fleet.policy.signoffs.values() for stage in process.stages):
        return False
    if role in BUILT_IN:
        return role not in BINDABLE or BUILT_IN[role] == READING
    declared = fleet.policy.roles.get(role)
    return declared is None or all(READING.issuperset(rule.verbs) for rule in declared.rules)


def _built_in(role: str, verb: str) -> bool:
    allowed = BUILT_IN.get(role, frozenset())
    return allowed is None or verb in allowed


def _rule_gives(rule: RoleRule, verb: str, kind: str) -> bool:
    if verb not in rule.verbs and ALL not in rule.verbs:
        return False
    return kind in rule.kinds or ALL in rule.kinds or (kind == EVERY_KIND and bool(rule.kinds))


def _where(fleet: Fleet, bindings: Iterator[RoleBindingDeclared], namespace: str | None) -> Scope:
    clusters = BitMap()
    expressions: list[str] = []
    elsewhere: set[str] = set()
    everywhere = found = False
    for binding in bindings:
        if binding.namespaces and namespace not in binding.namespaces:
            elsewhere.update(binding.namespaces)
            continue
        found = True
        if binding.clusters is None:
            everywhere = True
        else:
            clusters |= fleet.selection.saved(("binding", binding.name))
            clusters |= fleet.gone.select(parsed(binding.clusters))
            expressions.append(binding.clusters)
    limited = frozenset(elsewhere) if elsewhere and not found else None
    return Scope(everywhere, clusters, limited, tuple(dict.fromkeys(expressions)))
