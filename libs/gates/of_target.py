"""The gates that decide the target of a cluster, in order: whether it gets the application, and which release.

Each reports how the target was determined; a closed one means that there is no change which later gates could keep
back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from libs.fleet import parsed
from libs.gates.explained import Explained, opened, shut
from libs.gates.gate import Gate
from libs.gates.refusals import (
    CAPACITY,
    CONFLICT,
    INVALID,
    NEVER_APPLIES,
    OBJECT_CONFLICT,
    OTHER_NAMESPACE,
    SET_ASIDE,
    UNRESOLVED,
)
from libs.kinds.categories import PLACES
from libs.selection import references

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from libs.gates.change import Case
    from libs.gates.instant import Instant


class Registered(Gate):
    """The cluster exists."""

    name = "registered"
    open_when = "the cluster exists"
    reads = ("store",)
    keeps = False

    def told(self, case: Case) -> Explained:
        """Say whether the cluster exists, or was removed."""
        live = case.ordinal in case.fleet.selection.everything
        store = case.fleet.selection.store_of(case.ordinal)
        reason = f"cluster of store {store}" if live else "the cluster was removed, or its store"
        return Explained(live, reason).cite(f"store {store}", case.fleet.declared(case.ordinal))


class NamespaceGate(Gate):
    """The namespace's expression selects the cluster."""

    name = "namespace"
    open_when = "the expression of the namespace selects the cluster"
    reads = PLACES
    keeps = False

    def told(self, case: Case) -> Explained:
        """Say which terms of the expression decided."""
        declared = case.fleet.namespaces[case.namespace]
        said = _selected(case, f"namespace {case.namespace}", declared.expression)
        return said.cite(f"namespace {case.namespace}", ("namespace", case.namespace))


class InApplication(Gate):
    """The application's expression selects the cluster."""

    name = "application"
    open_when = "the expression of the application, if it has one, selects the cluster"
    reads = (*PLACES, "application")
    keeps = False

    def told(self, case: Case) -> Explained:
        """Say which terms of the expression decided."""
        expression = case.fleet.applications[case.application].expression
        if expression is None:
            said = opened(f"it runs wherever namespace {case.namespace} does")
        else:
            said = _selected(case, f"application {case.application}", expression)
        return said.cite(f"application {case.application}", ("application", case.application))


class Lawful(Gate):
    """No law in force forbids the application."""

    name = "law"
    open_when = "no placement policy in force forbids the application there"
    reads = (*PLACES, "placementpolicy", "withheld")
    keeps = False

    def told(self, case: Case) -> Explained:
        """Say which laws forbid it, and until when."""
        laws = [each for each in case.fleet.laws_of(case.application, case.now) if case.ordinal in each.clusters]
        if not laws:
            return opened(f"no law forbids {case.application} here")
        told = "; ".join(
            f"{each.law.name} forbids it here ({each.law.basis}){_before(each.withheld_on(case.ordinal))}"
            for each in laws
        )
        ends = [each.law.ends for each in laws if each.law.ends is not None]
        said = shut(told, max(ends) if len(ends) == len(laws) else None)
        for each in laws:
            law = each.law
            more = {"basis": law.basis, "enforcement": law.enforcement}
            said.cite(f"placement policy {law.name}", ("law", law.name), **more)
            for change in each.withheld_on(case.ordinal):
                said.cite(f"withheld change {change}", ("withheld", change))
        return said

    def next_change(self, instant: Instant) -> datetime | None:
        """Return when a law begins or ends."""
        laws = instant.fleet.policy.every_law.values()
        return instant.next_of("law", ((law.begins, law.ends) for law in laws))


class Fitting(Gate):
    """The namespace fits into the cluster's capacity."""

    name = "capacity"
    open_when = "the cluster has the capacity that the namespace takes"
    reads = ("store", "namespace")
    refusals = (CAPACITY,)
    keeps = False

    def told(self, case: Case) -> Explained:
        """Name the capacity that the namespace reserves, and that of the cluster."""
        fleet, namespace = case.fleet, case.namespace
        refused = case.refused(self.refusals)
        takes = fleet.namespaces[namespace].capacity
        if refused is not None:
            said = shut(refused[1])
        elif not takes:
            said = opened(f"namespace {namespace} takes no capacity")
        else:
            told = ", ".join(f"{resource} {figure}" for resource, figure in sorted(takes.items()))
            said = opened(f"namespace {namespace} takes {told}, which fits")
        for resource, limit in sorted(fleet.cluster_capacity(case.ordinal).items()):
            taken = int(fleet.taken(resource)[case.ordinal])
            said.cite(f"{resource} of {case.cluster}", None, limit=_whole(limit), taken=_whole(taken))
        said.cite(f"namespace {namespace}", ("namespace", namespace))
        return said.cite(f"capacity of {case.cluster}", fleet.declared(case.ordinal))


class Released(Gate):
    """A release is chosen for the cluster."""

    name = "release"
    open_when = "a release is chosen for the cluster"
    reads = (*PLACES, "release", "choices")
    keeps = False

    def told(self, case: Case) -> Explained:
        """Say which choice gives which release."""
        choices, source = case.fleet.choices.get(case.application, ()), ("choices", case.application)
        for number, choice in reversed(list(enumerate(choices, 1))):
            if case.fleet.selection.explain(parsed(choice.expression), case.ordinal).holds:
                said = opened(f"choice {number} of {len(choices)} ({choice.expression}) gives {choice.version}")
                said.cite(f"release choices of {case.application}", source, expression=choice.expression)
                return said.cite(f"release {choice.version}", ("release", f"{case.application}/{choice.version}"))
        reason = "no release is chosen" if not choices else "no release choice selects this cluster"
        return shut(reason).cite(f"release choices of {case.application}", source)


class Valued(Gate):
    """Configuration gives all values that the release needs."""

    name = "values"
    open_when = "configuration gives every value that the release needs, none of them refused"
    reads = (*PLACES, "configuration", "release")
    refusals = (UNRESOLVED, CONFLICT, INVALID, NEVER_APPLIES)
    keeps = False

    def told(self, case: Case) -> Explained:
        """Say which layers the values come from."""
        if case.stands.unreadable:
            return opened(f"they cannot be read (see rendered): {case.stands.unreadable}")
        values = case.stands.values
        layers = [] if values is None else values.layers
        refused = case.refused(self.refusals)
        if refused is not None:
            said = shut(f"{refused[0]}: {refused[1]}{_still_runs(case)}")
        else:
            said = opened(f"values come from {', '.join(layers)}" if layers else "it takes no values")
        for layer in layers:
            said.cite(f"configuration {layer}", ("configuration", layer))
        if values is not None:
            for pointer, layer in sorted(values.merged.origins.items()):
                said.cite(f"value {pointer}", None, layer=layer)
        return said.cite(f"labels of {case.cluster}", case.fleet.declared(case.ordinal))


class Rendered(Gate):
    """The release renders."""

    name = "rendered"
    open_when = "the release renders, and no other application has the same objects"
    reads = ("application", "release")
    refusals = (OBJECT_CONFLICT, OTHER_NAMESPACE, SET_ASIDE)
    keeps = False

    def told(self, case: Case) -> Explained:
        """Name the rendered release, or say why there is none."""
        refused, wanted = case.refused(self.refusals), case.stands.wanted
        chosen = case.fleet.release_on(case.application, case.ordinal)
        release = case.fleet.releases.get((case.application, chosen or ""))
        if refused is not None:
            said = shut(f"{refused[0]}: {refused[1]}{_still_runs(case)}")
        elif wanted is None:
            said = opened("no release is wanted here")
        elif wanted != chosen and chosen is not None and case.stands.fell_back:
            told = f"{chosen} is refused (see values); {wanted} is used instead (fallback: previous)"
            said = opened(told)
        else:
            said = opened(f"release {wanted} renders, as variant {case.stands.variant[:12]}")
        digest = {} if release is None else {"digest": release.digest}
        return said.cite(f"release {chosen or 'none'}", ("release", f"{case.application}/{chosen}"), **digest)


def _selected(case: Case, owner: str, text: str) -> Explained:
    """Explain an expression: the terms that decided, and the facts behind them."""
    expression = parsed(text)
    found = case.fleet.selection.explain(expression, case.ordinal)
    deciding = [term for term in found.terms if term[1] == found.holds] or list(found.terms)
    why = "; ".join(each for _, _, each in deciding[:3])
    said = Explained(found.holds, f"{owner} {'selects' if found.holds else 'does not select'} it: {why}")
    for term, holds, each in found.terms:
        said.cite(term, None, holds=holds, why=each)
    for path in sorted(references(expression).groups):
        for declared in _groups_behind(case, path):
            said.cite(f"group {declared}", ("group", declared))
    return said.cite(f"labels of {case.cluster}", case.fleet.declared(case.ordinal))


def _groups_behind(case: Case, path: str) -> list[str]:
    """Return the declared groups through which the cluster is in `path`; the group itself if it is not in it."""
    inside = case.fleet.selection.groups_of(case.ordinal)
    found = [each for each in inside if each in case.fleet.groups and f"{each}/".startswith(f"{path}/")]
    return found or [path]


def _before(changes: Sequence[str]) -> str:
    return f" (as it was before withheld change {', '.join(changes)})" if changes else ""


def _still_runs(case: Case) -> str:
    return f"; {case.stands.runs} stays, as a refusal never removes" if case.stands.runs else ""


def _whole(milli: int) -> int | float:
    """Return an amount in units, with a fraction only if it has one."""
    return milli // 1000 if milli % 1000 == 0 else milli / 1000
