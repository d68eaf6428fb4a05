"""Whether the API servers of a release's clusters would accept its objects.

A release that can never be applied is refused before it is in the log; other findings are warnings or, with `strict`,
refusals too. Checks that depend on a cluster's values are kept with the release, and evaluated where the values are
known.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from libs import kubernetes
from libs.contracts.names import nearest
from libs.contracts.problems import Problem
from libs.kubernetes import FindingsReport, Manifest, OpenSlot
from libs.templates import MISSING, Reference, Template, outline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libs.fleet import Fleet
    from libs.templates import ObjectIdentity, Outline, Slot

PROBLEMS_SHOWN_MAX = 20
_MADE_BY_KUBERNETES = frozenset({"default", "kube-system", "kube-public", "kube-node-lease"})
_DEFINITION = "CustomResourceDefinition"
_SCALER = "HorizontalPodAutoscaler"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The environment of a release: Kubernetes versions, custom kinds, and who creates the namespaces that it names.

    `named` tells whether the version of each of its clusters is declared; `others` are the digests of the templates of
    other applications that the release may depend on.
    """

    versions: tuple[str, ...]
    named: bool
    registered: tuple[tuple[str, str], ...]
    others: tuple[str, ...]
    lacking: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Checked:
    """The findings; `body` holds the checks of the release's slots, None if nothing depends on them."""

    report: FindingsReport
    body: bytes | None


def surroundings(facts: Fleet, application: str, allow: Sequence[str]) -> Surroundings:
    """Return the environment of a release on the clusters where its application is placed."""
    declared = facts.applications[application]
    namespace = facts.namespaces[declared.namespace]
    placed = facts.placed(application)
    on = facts.kubernetes_on(declared.namespace, placed)
    said = {minor for minor in on if minor} or ({namespace.kubernetes} if namespace.kubernetes else set())
    known = sorted(said & set(kubernetes.minors()))
    named = bool(known) and "" not in on and len(known) == len(said)
    if not named:
        known.append(kubernetes.newest())
    registered = filter(None, map(kubernetes.registered_kind, namespace.crds))
    lacking = []
    for entry in allow:
        kind, _, other = entry.partition("/")
        if kind == "namespace" and other not in _MADE_BY_KUBERNETES:
            without = placed - facts.selection.namespace_members(other) if other in facts.namespaces else placed
            if other not in facts.namespaces or without:
                lacking.append((other, _lacking(other, len(without), facts)))
    return Surroundings(tuple(known), named, tuple(registered), _others(facts, application), tuple(lacking))


def _lacking(namespace: str, clusters: int, facts: Fleet) -> str:
    if namespace in facts.namespaces:
        return f"the Namespace {namespace} is not declared for {clusters:,} of its clusters"
    near = nearest(namespace, facts.namespaces)
    return f"no Namespace {namespace} is declared" + (f"; did you mean {near}?" if near else "")


def _others(facts: Fleet, application: str) -> tuple[str, ...]:
    """Return the templates in force of other applications that this one's objects may depend on."""
    namespace = facts.applications[application].namespace
    chosen = {(name, choice.version) for name, choices in facts.choices.items() for choice in choices}
    found = (
        release.template
        for key, release in facts.releases.items()
        if key in chosen
        and key[0] != application
        and any(_matters(each.kind, each.namespace == namespace) for each in release.objects)
    )
    return tuple(sorted(set(found)))


def _matters(kind: str, beside: bool) -> bool:
    return kind == _DEFINITION or (kind == _SCALER and beside)


def check_release(
    template: Template, objects: Outline, meets: Surroundings, application: str, others: Sequence[bytes]
) -> Checked:
    """Return how the API servers would judge a release; `others` are the bodies that `meets` names."""
    manifests = manifests_of(template.objects, objects, template)
    known = [each for body in others for each in _read(body)]
    registered = [*meets.registered, *(kind for each in known for kind in kubernetes.kinds_of(each.value))]
    report = kubernetes.check_objects(manifests, meets.versions, registered, known, named=meets.named)
    for each in manifests:
        for namespace, why in meets.lacking:
            if each.namespace == namespace:
                report.doubt(
                    str(each), "/metadata/namespace", why, "declare it, or make sure that something else creates it"
                )
    if file := kubernetes.ignored_as(application):
        report.doubt(f"Application {application}", "/metadata/name", f"Flux leaves {file} out of what it fetches")
    return Checked(report, _kept(report, kubernetes.missing_apis(manifests, registered)))


def manifests_of(references: Sequence[ObjectIdentity], objects: Outline, template: Template) -> list[Manifest]:
    """Return the objects of a template as the check reads them."""
    first: dict[Slot, int] = {}
    for place, slot in enumerate(template.slots):
        first.setdefault(slot, place)
    values = objects.values(lambda place: _open(template.slots[place], first))
    return [
        Manifest(each.api_version, each.kind, each.namespace, each.name, value)
        for each, value in zip(references, values, strict=True)
    ]


def _open(slot: Slot, first: dict[Slot, int]) -> OpenSlot:
    """Return the placeholder of a slot: equal slots have equal ones."""
    only = slot.parts[0]
    if slot.mode == "text" or not isinstance(only, Reference) or only.default is not MISSING:
        return OpenSlot(first[slot], slot.mode == "text")
    source = only.input.source
    return OpenSlot(first[slot], source not in ("config", "labels"), source == "labels")


@lru_cache(maxsize=64)
def _read(body: bytes) -> list[Manifest]:
    template = Template.from_bytes(body)
    found = manifests_of(template.objects, outline(template), template)
    return [each for each in found if each.kind in (_DEFINITION, _SCALER)]


def _kept(report: FindingsReport, missing: dict[str, list[str]]) -> bytes | None:
    """Return what rendering needs to judge a cluster: see services/rendering/target/applying."""
    asked: dict[tuple[int, str], list[Any]] = {}
    for each in report.demands:
        asked.setdefault((each.slot, repr(each.wanted)), [each.slot, each.object, each.pointer, dict(each.wanted)])
    demands = list(asked.values())
    relations = [[each.rule, each.object, each.pointer, _written(each.value)] for each in report.relations]
    if not demands and not relations and not missing:
        return None
    kept = {"format": 1, "demands": demands, "relations": relations, "missing": missing}
    return msgspec.json.encode(kept, order="deterministic")


def _written(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _written(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_written(each) for each in value]
    return {kubernetes.SLOT: value.number} if isinstance(value, OpenSlot) else value


def refuse(checked: Checked, *, strict: bool) -> None:
    """Refuse a release that can never be applied, and with `strict` one that is doubtful.

    Raises:
        Problem: 409, with the first object and path, and a sentence for each.
    """
    report = checked.report
    if report.refused:
        raise _named(report, Problem(409, "never-applies", "No API server would accept this release.", ""))
    if strict and report.doubtful:
        raise _named(report, Problem(409, "doubtful-manifests", "The release may not do what you intend.", ""))


def _named(report: FindingsReport, problem: Problem) -> Problem:
    """Return a refusal with the first finding as its place, and all of them as far as they are shown."""
    found = report.refused or report.doubtful
    first, others = found[0], len(found) - 1 + report.left_out
    return replace(
        problem,
        detail=f"{first.object} {first.pointer}: {first.detail}" + (f" (and {others} more)" if others else ""),
        pointer=first.pointer or None,
        fix=first.fix or None,
        extra={"object": first.object, "problems": [str(each) for each in found[:PROBLEMS_SHOWN_MAX]]},
    )


def warnings(checked: Checked) -> list[str]:
    """Return the warnings: accepted, but probably not intended."""
    found = [str(each) for each in checked.report.doubtful]
    if checked.report.left_out:
        found.append(f"{checked.report.left_out:,} more are not shown")
    return found
