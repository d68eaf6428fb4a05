"""Role and role binding documents: rights, and who has them where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from libs.contracts.instants import instant_text, read_instant
from libs.contracts.names import check_name
from libs.contracts.people import GROUP_CHARACTERS_MAX, normal, person_name
from libs.contracts.refusals import Invalid
from libs.contracts.rights import ROLE_KINDS, ROLE_VERBS
from libs.web.schema import Spec, read_as
from services.policy.documents.rendering import document, one_of, saying
from services.policy.domain.bindings import DeclareRoleBinding
from services.policy.domain.checks import check_distinct, check_text
from services.policy.domain.roles import DeclareRole
from services.policy.events import RoleBindingDeclared, RoleDeclared, RoleRule, RoleSubject

if TYPE_CHECKING:
    from datetime import datetime

    from libs.commands.kinds import Make
    from libs.fleet import Fleet
    from services.policy.domain import bindings, roles

RULES_MAX = 100
SUBJECTS_MAX = 1_000
NAMESPACES_MAX = 1_000


class RuleItem(Spec):
    """These verbs on these kinds; `*` is all of them."""

    verbs: list[str] = Field(min_length=1)
    kinds: list[str] = Field(min_length=1)


class RoleSpec(Spec):
    """The rights of everybody who holds the role."""

    rules: list[RuleItem] = Field(min_length=1, max_length=RULES_MAX)


class SubjectItem(Spec):
    """Exactly one of them: a person, a group of the identity provider, a service account."""

    user: str | None = None
    group: str | None = None
    service_account: str | None = None


class RoleBindingSpec(Spec):
    """Who holds the role: everywhere, or on some clusters, or for things of some namespaces; until when."""

    role: str
    subjects: list[SubjectItem] = Field(min_length=1, max_length=SUBJECTS_MAX)
    clusters: str | None = None
    namespaces: list[str] = Field(default_factory=list)
    expires: str | None = None


def parse_role(written: Any, name: str | None) -> tuple[str, Make[roles.Command]]:
    """Return a role's name and what makes the command that declares it.

    Raises:
        Invalid: the document does not fit.
    """
    read = read_as(written, kind="Role", spec=RoleSpec, name=name)
    rules = [_rule(rule, f"/spec/rules/{index}") for index, rule in enumerate(read.spec.rules)]
    role = RoleDeclared(read.name, rules, read.labels)

    def make(actor: str, at: datetime) -> DeclareRole:
        return DeclareRole(role, actor, at)

    return read.name, make


def _rule(rule: RuleItem, pointer: str) -> RoleRule:
    for index, verb in enumerate(rule.verbs):
        one_of(verb, ROLE_VERBS, f"{pointer}/verbs/{index}")
    for index, kind in enumerate(rule.kinds):
        one_of(kind, ROLE_KINDS, f"{pointer}/kinds/{index}")
    check_distinct(rule.verbs, f"{pointer}/verbs", count_max=len(ROLE_VERBS))
    check_distinct(rule.kinds, f"{pointer}/kinds", count_max=len(ROLE_KINDS))
    return RoleRule(sorted(rule.verbs), sorted(rule.kinds))


def role_document(event: RoleDeclared, _facts: Fleet) -> dict[str, Any]:
    """Return the document of a role."""
    rules = [{"verbs": rule.verbs, "kinds": rule.kinds} for rule in event.rules]
    return document("Role", event.name, event.labels, {"rules": rules})


def parse_binding(written: Any, name: str | None) -> tuple[str, Make[bindings.Command]]:
    """Return a role binding's name and what makes the command that declares it.

    Raises:
        Invalid: the document does not fit.
    """
    read = read_as(written, kind="RoleBinding", spec=RoleBindingSpec, name=name)
    spec = read.spec
    check_distinct(spec.namespaces, "/spec/namespaces", count_max=NAMESPACES_MAX)
    binding = RoleBindingDeclared(
        name=read.name,
        role=spec.role,
        subjects=_subjects(spec.subjects),
        clusters=spec.clusters,
        namespaces=list(spec.namespaces),
        expires=None if spec.expires is None else read_instant(spec.expires, "/spec/expires"),
        labels=read.labels,
    )

    def make(actor: str, at: datetime) -> DeclareRoleBinding:
        return DeclareRoleBinding(binding, actor, at)

    return read.name, make


def _subjects(items: list[SubjectItem]) -> list[RoleSubject]:
    subjects: list[RoleSubject] = []
    for index, item in enumerate(items):
        subject = _subject(item, f"/spec/subjects/{index}")
        if subject in subjects:
            raise Invalid("the subject is named twice", pointer=f"/spec/subjects/{index}")
        subjects.append(subject)
    return subjects


def _subject(item: SubjectItem, pointer: str) -> RoleSubject:
    match item.user, item.group, item.service_account:
        case str(user), None, None:
            return RoleSubject(user=_person(user, f"{pointer}/user"))
        case None, str(group), None:
            return RoleSubject(group=normal(check_text(group, f"{pointer}/group", GROUP_CHARACTERS_MAX)))
        case None, None, str(account):
            return RoleSubject(service_account=check_name(account, f"{pointer}/service_account"))
        case _:
            raise Invalid("a subject is exactly one of user, group and service_account", pointer=pointer)


def _person(text: str, pointer: str) -> str:
    name = person_name(text)
    if name is None:
        raise Invalid(
            f"{text[:80]!r} is not the name of a person",
            pointer=pointer,
            fix="write the name that `resedge auth whoami` shows them as actor, such as ana@example.com",
        )
    return name


def binding_document(event: RoleBindingDeclared, _facts: Fleet) -> dict[str, Any]:
    """Return the document of a role binding."""
    spec: dict[str, Any] = {"role": event.role, "subjects": [_subject_item(each) for each in event.subjects]}
    spec |= saying(
        clusters=event.clusters,
        namespaces=event.namespaces,
        expires="" if event.expires is None else instant_text(event.expires),
    )
    return document("RoleBinding", event.name, event.labels, spec)


def _subject_item(subject: RoleSubject) -> dict[str, str]:
    said = saying(user=subject.user, group=subject.group, service_account=subject.service_account)
    return {name: str(value) for name, value in said.items()}
