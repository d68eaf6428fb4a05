"""A namespace is a team's share of every cluster that its expression selects, with its capacity there.

A declaration that reserves more of a cluster than is free is refused; one that reserves no more than before is not,
even if later facts have made the cluster too small.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, assert_never

from libs.contracts import NamespaceDeclared, NamespaceRemoved
from libs.contracts.absent import Absent
from libs.contracts.meaning import counted
from libs.contracts.names import check_name, escape
from libs.contracts.refusals import Invalid, Rejected
from libs.fleet.checks import check_expression, check_signoff, check_unreferenced, read_expression, some
from libs.kubernetes import ignored_as, registered_kind
from libs.selection import canonical
from libs.templates import allow_problems
from services.catalog.domain.lawful import check_placements, placement_warnings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from pyroaring import BitMap

    from libs.fleet import Fleet

_EXAMPLES = 3
"""Clusters that a refusal names; the count says how many there are."""

OWNERS_MAX = 64
CRDS_MAX = 500
_RESERVED = ("default", "flux-system")
_LABEL_KEY = re.compile(r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
_LABELS_OF_OTHERS = ("toolkit.fluxcd.io/", "kubernetes.io/metadata.name")

State = Absent | NamespaceDeclared
Event = NamespaceDeclared | NamespaceRemoved


class NameReserved(Rejected):
    """The name is reserved for files that Resilient Edge writes."""

    code = "name-reserved"


class CapacityExceeded(Rejected):
    """The namespaces would need more capacity than some clusters have."""

    code = "capacity-exceeded"


@dataclass(frozen=True, slots=True)
class DeclareNamespace:
    """Declare the namespace, whole; `capacity` in Kubernetes quantities per cluster."""

    namespace: NamespaceDeclared
    actor: str
    at: datetime


@dataclass(frozen=True, slots=True)
class RemoveNamespace:
    """Remove the namespace, which has no applications any more."""

    name: str
    actor: str
    at: datetime


Command = DeclareNamespace | RemoveNamespace


def decide(command: Command, state: State, facts: Fleet) -> Sequence[Event]:
    """Return what follows from `command`; nothing, if the namespace is so already.

    Raises:
        Invalid, NameReserved, UnknownReference, Cycle, SelectsNothing, CapacityExceeded, StillReferenced,
        LawLeavesNothing, LawForbids: why not.
    """
    match command:
        case DeclareNamespace():
            return _declare(command, state, facts)
        case RemoveNamespace():
            if isinstance(state, Absent):
                return []
            check_unreferenced("namespace", command.name, facts.referrers("namespace", command.name))
            return [NamespaceRemoved(command.name)]
        case _:
            assert_never(command)


def warnings(command: Command, facts: Fleet) -> list[str]:
    """Return how many placements law removes from the namespace's applications."""
    if not isinstance(command, DeclareNamespace):
        return []
    declared = _normal(command.namespace)
    return placement_warnings(declared, facts.applications_of(declared.name), facts, command.at)


def _normal(asked: NamespaceDeclared) -> NamespaceDeclared:
    return replace(
        asked,
        expression=canonical(read_expression(asked.expression)),
        owners=sorted(set(asked.owners)),
        capacity=dict(sorted(asked.capacity.items())),
        namespace_labels=dict(sorted(asked.namespace_labels.items())),
        allow=sorted(set(asked.allow)),
        crds=sorted(set(asked.crds)),
    )


def _declare(command: DeclareNamespace, state: State, facts: Fleet) -> Sequence[Event]:
    _check_document(command.namespace)
    declared = _normal(command.namespace)
    if declared == state:
        return []
    if isinstance(state, Absent) and (file := ignored_as(declared.name)):
        raise NameReserved(
            f"a namespace cannot be called {declared.name!r}",
            pointer="/metadata/name",
            fix=f"choose another name: Flux does not fetch {file}, so a store would never get it",
        )
    check_signoff(declared.signoff, facts)
    if isinstance(state, Absent) or (state.expression, state.allow_empty) != (
        declared.expression,
        declared.allow_empty,
    ):
        check_expression(
            read_expression(command.namespace.expression),
            facts,
            inside=("namespace", declared.name),
            allow_empty=declared.allow_empty,
        )
    _check_capacity(declared, facts)
    check_placements(declared, facts.applications_of(declared.name), facts, command.at, "/spec/expression")
    return [declared]


def _check_document(asked: NamespaceDeclared) -> None:
    check_name(asked.name)
    if asked.name in _RESERVED or asked.name.startswith("kube-"):
        raise NameReserved(
            f"a namespace cannot be called {asked.name!r}",
            pointer="/metadata/name",
            fix="choose another name: flux-system, default and kube-* belong to the cluster",
        )
    for key, value in asked.namespace_labels.items():
        _check_label(key, value)
    for index, entry in enumerate(asked.allow):
        if problems := allow_problems([entry]):
            raise Invalid(problems[0], pointer=f"/spec/allow/{index}")
    for index, entry in enumerate(asked.crds):
        if registered_kind(entry) is None:
            raise Invalid(
                f"{entry[:80]!r} does not name a custom kind",
                pointer=f"/spec/crds/{index}",
                fix="write <Kind>.<version>.<group>, such as Certificate.v1.cert-manager.io",
            )
    if len(asked.crds) > CRDS_MAX:
        raise Invalid(f"a namespace can name at most {CRDS_MAX} custom kinds", pointer="/spec/crds")
    if len(asked.owners) > OWNERS_MAX:
        raise Invalid(f"a namespace can have at most {OWNERS_MAX} owners", pointer="/spec/owners")


def _check_label(key: str, value: str) -> None:
    """Refuse labels that Kubernetes would not accept, and those by which Kubernetes and Flux find objects."""
    pointer = f"/spec/labels/{escape(key)}"
    if not _LABEL_KEY.fullmatch(key) or not _LABEL_VALUE.fullmatch(value):
        raise Invalid(
            f"{key[:80]}: {value[:80]!r} is not a Kubernetes label",
            pointer=pointer,
            fix="letters, digits and inner '-', '_' and '.', at most 63; a key may have a DNS prefix and '/'",
        )
    if any(owned in key for owned in _LABELS_OF_OTHERS):
        raise Invalid(f"the label {key} is set by Kubernetes or Flux", pointer=pointer, fix="leave it out")


def _check_capacity(declared: NamespaceDeclared, facts: Fleet) -> None:
    for resource, clusters in sorted(facts.oversubscribed(declared).items()):
        if clusters:
            raise _exceeded(declared, resource, clusters, facts)


def _exceeded(declared: NamespaceDeclared, resource: str, clusters: BitMap, facts: Fleet) -> CapacityExceeded:
    names = [facts.selection.name(ordinal) for ordinal in clusters[:_EXAMPLES]]
    return CapacityExceeded(
        f"there is too little {resource} on {counted(len(clusters), 'cluster')} for all their namespaces together with "
        f"{declared.capacity.get(resource, '0')} for {declared.name}: {some(names)}"
        + (f" and {len(clusters) - len(names):,} more" if len(clusters) > len(names) else ""),
        pointer=f"/spec/capacity/{escape(resource)}",
        fix="lower its capacity, narrow its expression, or lower the capacity of another namespace first",
        resource=resource,
        clusters=names,
        count=len(clusters),
    )
