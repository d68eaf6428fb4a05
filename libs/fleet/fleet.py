"""The facts of the fleet, and the questions that deciders and the renderer ask about them.

The one rule: answers depend on the folded events alone, so that a fork with assumed events answers "what if".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from pyroaring import BitMap

from libs.contracts.instants import UNIX_EPOCH
from libs.contracts.quantities import milli
from libs.fleet.bitmaps import bitmap, is_member, ordinals
from libs.fleet.facts import Facts
from libs.fleet.layers import Layers, rank
from libs.fleet.parts import PARTS, UNLIMITED, Fact, Store, Taken, Touched, parsed
from libs.fleet.policy import Forbidding, change_of
from libs.fleet.state import fork_parts
from libs.selection import references

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from numpy.typing import NDArray

    from libs.contracts import ConfigurationDeclared, NamespaceDeclared, SignOffDeclared
    from libs.fleet.layers import Combination


class Fleet(Facts):
    """Stores, clusters, groups, namespaces, applications, configurations, releases and release choices.

    Reading while another thread folds is not allowed; `fork` is cheap (milliseconds at 60,000 clusters).
    """

    __slots__ = ()

    def store(self, name: str) -> Store | None:
        """Return a store, if it exists."""
        return self.stores.get(name)

    def placed(self, application: str) -> BitMap:
        """Return the clusters that the namespace's and the application's expressions select."""
        return self.selection.saved(("placed", application)) if application in self.applications else BitMap()

    def laws_of(self, application: str, at: datetime) -> Iterator[Forbidding]:
        """Yield the laws in force at an instant that name an application, with the clusters on which they forbid it.

        Every question about law in force comes through here.
        """
        for key, law in self.policy.laws_in_force(at).items():
            if application in law.applications:
                bound, kept_by = self.bound("law", key), change_of(key)
                withheld = {} if kept_by is None else {kept_by: bound}
                for name, each in self.policy.withheld.items():
                    if members := each.forbade(key):
                        withheld[name] = withheld.get(name, BitMap()) | members
                yield Forbidding(law, bound if kept_by is None else BitMap(), withheld)

    def forbidden(self, application: str, at: datetime) -> BitMap:
        """Return the clusters on which law in force at an instant forbids an application."""
        return BitMap.union(BitMap(), *(each.clusters for each in self.laws_of(application, at)))

    def forbidden_at_once(self, application: str, at: datetime) -> BitMap:
        """Return where law whose enforcement is immediate forbids an application: such removals wait for no gate."""
        immediate = (each for each in self.laws_of(application, at) if each.law.enforcement == "immediate")
        return BitMap.union(BitMap(), *(each.clusters for each in immediate))

    def signoff_of(self, application: str, namespace: str | None = None) -> str | None:
        """Return the process by which an application's changes are approved: its own, or its namespace's.

        `namespace` is where it is placed, if that is not where it is declared (any more). Every question about which
        sign-off applies comes through here.
        """
        declared = self.applications.get(application)
        if declared is not None and declared.signoff:
            return declared.signoff
        return self.signoff_in(namespace or ("" if declared is None else declared.namespace))

    def signoff_in(self, namespace: str) -> str | None:
        """Return the process of a namespace, which its applications have that name none of their own."""
        space = self.namespaces.get(namespace)
        return None if space is None else space.signoff

    def process_of(self, application: str, namespace: str | None = None) -> SignOffDeclared | None:
        """Return the declared process that `signoff_of` names; nothing where there is none."""
        return self.policy.signoffs.get(self.signoff_of(application, namespace) or "")

    def layers(self, application: str) -> Layers:
        """Return an application's configuration layers in ascending rank."""
        known = self._layers.get(application)
        if known is None:
            known = self._layers[application] = Layers(self._speaking_of(application), [])
        known.covered = [self.selection.saved(("configuration", each.name)) for each in known.configurations]
        return known

    def _speaking_of(self, application: str) -> list[ConfigurationDeclared]:
        """Return the configurations that speak of an application, in ascending rank."""
        if not self._speaking and self.configurations:
            found: dict[str, list[ConfigurationDeclared]] = {}
            for each in self.configurations.values():
                for name in dict.fromkeys(self.configured_by(each)):
                    found.setdefault(name, []).append(each)
            self._speaking = found
        return sorted(self._speaking.get(application, ()), key=lambda each: (rank(each), each.name))

    def chosen(self, application: str) -> list[tuple[str, BitMap]]:
        """Return (version, clusters) for each release choice, without the clusters that a later choice selects."""
        later = BitMap()
        answer = []
        for choice in reversed(self.choices.get(application, ())):
            selected = self.selection.saved(("choice", application, choice.expression))
            answer.append((choice.version, selected - later))
            later |= selected
        return answer[::-1]

    def fallbacks(self, application: str) -> Iterator[tuple[str, BitMap]]:
        """Yield (version, clusters) of earlier choices, the newest first: a refused choice falls back to them.

        First the choices of the present list that a later one overrides, then earlier lists, each in its own order.
        """
        present = self.choices.get(application, ())
        for choice in reversed(present):
            yield choice.version, self.selection.saved(("choice", application, choice.expression))
        for choices in self.earlier.get(application, ()):
            for choice in reversed(choices):
                yield choice.version, self.selection.select(parsed(choice.expression))

    def release_on(self, application: str, ordinal: int) -> str | None:
        """Return the version that the release choices give a cluster."""
        return next((version for version, members in self.chosen(application) if ordinal in members), None)

    def combine(self, application: str, version: str, among: BitMap) -> tuple[Any, list[Combination]]:
        """Return for each cluster of `among` (ascending) a code into the distinct combinations of layers there."""
        release = self.releases.get((application, version))
        defaults = schema = None
        if release is not None:
            raw = self.blob(release.defaults) if release.defaults else None
            defaults = msgspec.json.decode(raw) if raw else None
            schema = self.blob(release.schema) if release.schema else None
        return self.layers(application).combine(ordinals(among), self.selection.size, f"{version}", defaults, schema)

    def kubernetes_on(self, namespace: str, among: BitMap) -> dict[str, BitMap]:
        """Return per minor version the clusters of `among` that run it, by their own declaration or their namespace's.

        Clusters without a declared version are under an empty text.
        """
        declared = self.namespaces.get(namespace)
        members = ordinals(among)
        codes = self.kubernetes_of.values[members]
        answer: dict[str, BitMap] = {}
        for code in np.unique(codes).tolist():
            said = self.kubernetes.names[code] or ("" if declared is None else declared.kubernetes)
            here = bitmap(members[codes == code])
            answer[said] = answer.get(said, BitMap()) | here
        return answer

    def fork(self) -> Fleet:
        """Return a fleet that starts as this one; changes to one never show in the other."""
        twin = Fleet.__new__(Fleet)
        twin.blob, twin.extent = self.blob, self.extent.copy()
        fork_parts(self, twin, PARTS, twin.extent)
        return twin

    def declared(self, ordinal: int) -> Fact:
        """Return the last event of the log about a cluster's store."""
        at = UNIX_EPOCH + np.timedelta64(int(self.declared_at.values[ordinal]), "us").item()
        return Fact(int(self.declared_position.values[ordinal]), at, "")

    # --- questions of deciders ---------------------------------------------------------------------------------

    def cluster_capacity(self, ordinal: int) -> dict[str, int]:
        """Return a cluster's capacity by resource (milli-units); a resource without a figure is unlimited."""
        figures = {resource: int(column.values[ordinal]) for resource, column in self.capacity.items()}
        return {resource: figure for resource, figure in figures.items() if figure != UNLIMITED}

    def taken(self, resource: str, *, without: str | None = None) -> NDArray[np.int64]:
        """Return per ordinal how much of a resource the namespaces that select it reserve (milli-units)."""
        counted = {
            name: (self.selection.saved(("in", name)), milli(namespace.capacity[resource]))
            for name, namespace in self.namespaces.items()
            if resource in namespace.capacity
        }
        total = np.zeros(self.selection.size, np.int64)
        known = self._taken.get(resource)
        if known is not None:
            total[: len(known.total)] = known.total
        # A selection is a new object only if it changed.
        had = {} if known is None else known.counted
        for name in had.keys() | counted.keys():
            before, now = had.get(name), counted.get(name)
            if before is None or now is None or before[0] is not now[0] or before[1] != now[1]:
                _count(total, before, -1)
                _count(total, now, 1)
        total.flags.writeable = False
        self._taken[resource] = Taken(total, counted)
        if without not in counted:
            return total
        others = total.copy()
        _count(others, counted[without], -1)
        return others

    def oversubscribed(self, namespace: NamespaceDeclared) -> dict[str, BitMap]:
        """Return per resource the clusters that would be over-subscribed after this declaration of a namespace.

        Clusters on which it reserves no more than now do not count.
        """
        members = self.selection.select(parsed(namespace.expression)) & self.selection.everything
        before = self.namespaces.get(namespace.name)
        answer = {}
        for resource, text in namespace.capacity.items():
            limits = self.capacity.get(resource)
            if limits is None:
                continue
            wanted = milli(text)
            among = ordinals(members)
            had = np.zeros(len(among), np.int64)
            if before is not None and resource in before.capacity:
                was_member = is_member(self.selection.saved(("in", namespace.name)), among, self.selection.size)
                had = was_member * milli(before.capacity[resource])
            limit = limits.values[among]
            total = self.taken(resource, without=namespace.name)[among] + wanted
            over = (limit != UNLIMITED) & (total > limit) & (wanted > had)
            if over.any():
                answer[resource] = bitmap(among[over])
        return answer

    def resolve(self, application: str, ordinal: int) -> Combination | None:
        """Return the configuration of an application on one cluster, under the release chosen there."""
        version = self.release_on(application, ordinal)
        if application not in self.applications:
            return None
        return self.combine(application, version or "", BitMap([ordinal]))[1][0]

    def values_problems(self, application: str, version: str, among: BitMap) -> list[tuple[str, int, int]]:
        """Return how the values on `among` violate a release's schema: (problem, example, clusters)."""
        if not among:
            return []
        codes, combinations = self.combine(application, version, among)
        members = ordinals(among)
        return [
            (problem, int(members[codes == code][0]), int((codes == code).sum()))
            for code, combination in enumerate(combinations)
            for problem in combination.problems
        ]

    def referrers(self, kind: str, name: str) -> list[str]:
        """Return what refers to a group (path), namespace, cluster, application, signoff or role, in words, sorted."""
        found = set(self._naming(kind, name))
        for owner, text in self._expressions():
            if (kind, name) != tuple(owner.split(" ", 1)) and _mentions(text, kind, name):
                found.add(owner)
        return sorted(found)

    def _naming(self, kind: str, name: str) -> Iterator[str]:
        """Yield the things that have the name of a thing in one of their fields."""
        policy = self.policy
        match kind:
            case "application":
                yield from (f"configuration {each.name}" for each in _with(self.configurations, "applications", name))
                yield from (f"calendar {each.name}" for each in _with(policy.calendars, "applications", name))
                yield from (f"freeze {each.name}" for each in _with(policy.every_freeze, "applications", name))
                yield from (f"placement policy {each.name}" for each in _with(policy.every_law, "applications", name))
            case "namespace":
                yield from (f"role binding {each.name}" for each in _with(policy.bindings, "namespaces", name))
                yield from (f"application {each}" for each in self.applications_of(name))
                yield from (f"configuration {each.name}" for each in _of(self.configurations, "namespace", name))
            case "signoff":
                yield from (f"calendar {each.name}" for each in _of(policy.calendars, "signoff", name))
                yield from (f"freeze {each.name}" for each in _of(policy.every_freeze, "signoff", name))
                yield from (f"placement policy {each.name}" for each in _of(policy.every_law, "signoff", name))
                waiting = (each.event for each in policy.withheld.values() if name in each.event.signoffs)
                yield from (f"withheld change {each.id}" for each in waiting)
                yield from (f"namespace {each.name}" for each in _of(self.namespaces, "signoff", name))
                yield from (f"application {each.name}" for each in _of(self.applications, "signoff", name))
            case "role":
                yield from (f"role binding {each.name}" for each in _of(policy.bindings, "role", name))
                for signoff in policy.signoffs.values():
                    if any(name in stage.roles for stage in signoff.stages):
                        yield f"sign-off {signoff.name}"

    def _expressions(self) -> list[tuple[str, str]]:
        saved = [(f"group {each.path}", each.expression) for each in self.groups.values()]
        saved += [(f"namespace {each.name}", each.expression) for each in self.namespaces.values()]
        saved += [(f"application {each.name}", each.expression) for each in self.applications.values()]
        saved += [(f"configuration {each.name}", each.expression) for each in self.configurations.values()]
        saved += [
            (f"release choices of {application}", choice.expression)
            for application, choices in self.choices.items()
            for choice in choices
        ]
        policy = self.policy
        saved += [(f"calendar {each.name}", each.clusters) for each in policy.calendars.values()]
        saved += [(f"freeze {each.name}", each.clusters) for each in policy.every_freeze.values()]
        saved += [(f"placement policy {each.name}", each.clusters) for each in policy.every_law.values()]
        saved += [(f"role binding {each.name}", each.clusters) for each in policy.bindings.values()]
        return [(owner, text) for owner, text in saved if text is not None]


def _with(things: Mapping[str, Any], names: str, name: str) -> list[Any]:
    """Return the things that list a name in a field."""
    return [each for each in things.values() if name in getattr(each, names)]


def _of(things: Mapping[str, Any], of: str, name: str) -> list[Any]:
    """Return the things that have a name in a field."""
    return [each for each in things.values() if getattr(each, of) == name]


def _mentions(text: str, kind: str, name: str) -> bool:
    if name not in text:
        return False
    used = references(parsed(text))
    named = {"group": used.groups, "namespace": used.namespaces, "cluster": used.clusters}
    return name in named.get(kind, ())


__all__ = ["UNLIMITED", "Fact", "Fleet", "Store", "Touched", "is_member", "parsed"]


def _count(total: NDArray[np.int64], namespace: tuple[BitMap, int] | None, sign: int) -> None:
    if namespace is not None:
        clusters, figure = namespace
        total[ordinals(clusters)] += sign * figure
