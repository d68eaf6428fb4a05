"""How events change the fleet in memory.

The one rule: only events change it, in the order of the log; what each event changes is recorded, so that readers
re-evaluate only that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache, lru_cache, singledispatchmethod

import msgspec
import numpy as np

from libs.calendars import Timetable
from libs.calendars.hours import DISTINCT_KEPT_MAX
from libs.contracts import (
    ApplicationDeclared,
    ApplicationRemoved,
    ClusterSpec,
    ConfigurationDeclared,
    ConfigurationRemoved,
    Event,
    GroupDeclared,
    GroupRemoved,
    HoursException,
    NamespaceDeclared,
    NamespaceRemoved,
    OpeningHours,
    Recorded,
    ReleaseChoicesSet,
    ReleasePublished,
    SourceDeclared,
    SourceRemoved,
    StoreDeclared,
    StoreRemoved,
    encode,
)
from libs.contracts.instants import UNIX_EPOCH
from libs.contracts.quantities import milli
from libs.fleet.columns import FleetColumn
from libs.fleet.contents import Contents
from libs.fleet.layers import peers_of
from libs.fleet.parts import EARLIER_CHOICES_MAX, UNLIMITED, Fact, Store, Touched, microseconds, parsed
from libs.fleet.policy_folding import fold_policy


class Facts(Contents):
    """Stores, clusters, groups, namespaces, applications, configurations, releases, release choices and sources.

    Reading while another thread folds is not allowed; `fork` is cheap (milliseconds at 60,000 clusters).
    """

    __slots__ = ()

    # --- folding -----------------------------------------------------------------------------------------------

    def fold(self, recorded: Recorded) -> None:
        """Fold one event of the log; unrelated events only move the position."""
        self.now = Fact(recorded.position, recorded.at, recorded.actor)
        _taker(type(recorded.event))(self, recorded.event)
        self.position = recorded.position

    def assume(self, event: Event) -> None:
        """Fold an event that is not in the log (on a fork)."""
        self.now = Fact(self.position, UNIX_EPOCH, "")
        _taker(type(event))(self, event)

    @singledispatchmethod
    def _take(self, event: Event) -> None:
        """Events that do not concern the fleet change nothing here; the remaining ones are about policy."""
        fold_policy(event, self)

    @_take.register
    def _(self, event: StoreDeclared) -> None:
        before = self.stores.get(event.name)
        store = self.stores[event.name] = Store.of(event)
        if before is not None:
            self._drop(event.name, set(before.clusters) - set(store.clusters))
        hours = self.hours.code(_hours_text(event)) if event.hours or event.exceptions else 0
        for cluster in event.clusters:
            self._put(event, cluster, hours)

    @_take.register
    def _(self, event: StoreRemoved) -> None:
        before = self.stores.pop(event.name, None)
        if before is not None:
            self._drop(event.name, before.clusters)

    def _put(self, store: StoreDeclared, cluster: ClusterSpec, hours: int) -> None:
        labels = {**store.labels, **cluster.labels} if cluster.labels else store.labels
        ordinal = self.selection.put_cluster(cluster.name, store.name, labels)
        self.extent.reach(ordinal + 1)
        self.gone.forget(ordinal)
        self.declared_position.values[ordinal] = self.now.position
        self.declared_at.values[ordinal] = microseconds(self.now.at)
        changed = self.zone_of.put(ordinal, self.zones.code(store.timezone))
        if changed:
            self.policy.version += 1
        if self.hours_of.put(ordinal, hours):
            self.policy.version += 1
        changed |= self.kubernetes_of.put(ordinal, self.kubernetes.code(cluster.kubernetes))
        changed |= self.store_of.put(ordinal, self.store_names.code(store.name))
        for resource in cluster.capacity:
            if resource not in self.capacity:
                self.capacity[resource] = FleetColumn(self.extent, np.int64, fill=UNLIMITED)
        for resource, limits in self.capacity.items():
            text = cluster.capacity.get(resource)
            changed |= limits.put(ordinal, UNLIMITED if text is None else milli(text))
        if changed:
            self.touched.clusters.add(ordinal)

    def _drop(self, store: str, names: Iterable[str]) -> None:
        for name in names:
            ordinal = self.selection.ordinal(name)
            # A cluster that another store has taken over meanwhile is that store's.
            if ordinal is not None and self.selection.store_of(ordinal) == store:
                self.gone.remember(self.selection, ordinal)
                self.selection.drop_cluster(name)
                self.declared_position.values[ordinal] = self.now.position
                self.declared_at.values[ordinal] = microseconds(self.now.at)
                self.touched.clusters.add(ordinal)

    @_take.register
    def _(self, event: GroupDeclared) -> None:
        self.groups[event.path] = event
        self.facts["group", event.path] = self.now
        expression = None if event.expression is None else parsed(event.expression)
        self.selection.put_group(event.path, event.clusters, event.stores, expression)

    @_take.register
    def _(self, event: GroupRemoved) -> None:
        if self.groups.pop(event.path, None) is not None:
            self.facts["group", event.path] = self.now
            self.selection.drop_group(event.path)

    @_take.register
    def _(self, event: NamespaceDeclared) -> None:
        before = self.namespaces.get(event.name)
        if before is not None and before.kubernetes != event.kubernetes:
            self.touched.whole.update(self.applications_of(event.name))
        self.namespaces[event.name] = event
        self.facts["namespace", event.name] = self.now
        self.selection.put_namespace(event.name, parsed(event.expression))
        self.selection.save(("in", event.name), parsed(f"/n/{event.name}"))
        if before is None or before.capacity != event.capacity:
            self.touched.namespaces.add(event.name)

    @_take.register
    def _(self, event: NamespaceRemoved) -> None:
        if self.namespaces.pop(event.name, None) is not None:
            self.facts["namespace", event.name] = self.now
            self.selection.forget(("in", event.name))
            self.selection.drop_namespace(event.name)

    @_take.register
    def _(self, event: ApplicationDeclared) -> None:
        self.applications[event.name] = event
        self.facts["application", event.name] = self.now
        narrowed = f"/n/{event.namespace}" + (f" and ({event.expression})" if event.expression is not None else "")
        self.selection.save(("placed", event.name), parsed(narrowed))
        self._layers.pop(event.name, None)
        self._speaking = {}
        self.touched.whole.add(event.name)

    @_take.register
    def _(self, event: ApplicationRemoved) -> None:
        if self.applications.pop(event.name, None) is not None:
            self.facts["application", event.name] = self.now
            self.selection.forget(("placed", event.name))
            self._layers.pop(event.name, None)
            self._speaking = {}
            self.touched.whole.add(event.name)

    @_take.register
    def _(self, event: ConfigurationDeclared) -> None:
        before = self.configurations.get(event.name)
        self.configurations[event.name] = event
        self.facts["configuration", event.name] = self.now
        self.selection.save(("configuration", event.name), parsed(event.expression))
        if self._peers:
            self._regroup(before, event)
        for each in (before, event):
            self._reconfigured(each)

    @_take.register
    def _(self, event: ConfigurationRemoved) -> None:
        gone = self.configurations.pop(event.name, None)
        if gone is not None:
            self.facts["configuration", event.name] = self.now
            self.selection.forget(("configuration", event.name))
            if self._peers:
                self._regroup(gone, None)
            self._reconfigured(gone)

    def _regroup(self, before: ConfigurationDeclared | None, after: ConfigurationDeclared | None) -> None:
        """Add a configuration to its peers, or replace it there."""
        if before is not None:
            for group in peers_of(before):
                self._peers[group] = {name: each for name, each in self._peers[group].items() if each is not before}
        if after is not None:
            for group in peers_of(after):
                self._peers[group] = {**self._peers.get(group, {}), after.name: after}

    def peers(self, configuration: ConfigurationDeclared) -> list[ConfigurationDeclared]:
        """Return the other configurations of its rank that name the same applications, sorted by name."""
        if not self._peers:
            for each in self.configurations.values():
                for group in peers_of(each):
                    self._peers.setdefault(group, {})[each.name] = each
        found = {name: each for group in peers_of(configuration) for name, each in self._peers.get(group, {}).items()}
        return [found[name] for name in sorted(found) if name != configuration.name]

    def _reconfigured(self, configuration: ConfigurationDeclared | None) -> None:
        if configuration is not None:
            self._speaking = {}
            for application in self.configured_by(configuration):
                self._layers.pop(application, None)
                self.touched.whole.add(application)

    @_take.register
    def _(self, event: ReleasePublished) -> None:
        self.releases[event.application, event.version] = event
        self.facts["release", f"{event.application}/{event.version}"] = self.now

    @_take.register
    def _(self, event: SourceDeclared) -> None:
        self.sources[event.name] = event

    @_take.register
    def _(self, event: SourceRemoved) -> None:
        self.sources.pop(event.name, None)

    @_take.register
    def _(self, event: ReleaseChoicesSet) -> None:
        before = self.choices.get(event.application, ())
        if before and before != tuple(event.choices):
            older = self.earlier.get(event.application, ())
            self.earlier[event.application] = (before, *older)[:EARLIER_CHOICES_MAX]
        for choice in before:
            self.selection.forget(("choice", event.application, choice.expression))
        for choice in event.choices:
            self.selection.save(("choice", event.application, choice.expression), parsed(choice.expression))
        if event.choices:
            self.choices[event.application] = tuple(event.choices)
        else:
            self.choices.pop(event.application, None)
        self.facts["choices", event.application] = self.now
        self.touched.whole.add(event.application)

    def take_touched(self) -> Touched:
        """Return what changed since the last call, and start again."""
        touched, self.touched = self.touched, Touched()
        changes = self.selection.settle()
        touched.clusters |= changes.clusters
        touched.labels = dict(changes.labels)
        # Which namespaces fit on a cluster depends on the capacity that all of them reserve there.
        for name in touched.namespaces & self.namespaces.keys():
            touched.clusters |= self.selection.saved(("in", name))
        for key, members in changes.saved.items():
            match key:
                case ("placed" | "choice", str(application), *_):
                    touched.touch(application, members)
                case ("configuration", str(name)) if name in self.configurations:
                    for application in self.configured_by(self.configurations[name]):
                        touched.touch(application, members)
                case ("law", str(known)) if (law := self.policy.every_law.get(known)) is not None:
                    for application in law.applications:
                        touched.touch(application, members)
                case ("in", _):
                    touched.clusters |= members
        return touched

    def forget_touched(self) -> None:
        """Forget the changes so far: only later ones are returned."""
        self.touched = Touched()
        self.selection.forget_changes()

    def applications_of(self, namespace: str) -> list[str]:
        """Return the applications of a namespace, sorted."""
        return sorted(name for name, each in self.applications.items() if each.namespace == namespace)

    def configured_by(self, configuration: ConfigurationDeclared) -> list[str]:
        """Return the applications that a configuration names."""
        if configuration.applications:
            return list(configuration.applications)
        if configuration.namespace is not None:
            return self.applications_of(configuration.namespace)
        return list(self.applications)


_taker: Callable[[type], Callable[[Facts, Event], None]] = cache(Facts.__dict__["_take"].dispatcher.dispatch)
"""Returns the folding function of an event class; cached, so that `_take` does not look it up for each event."""


def _hours_text(store: StoreDeclared) -> str:
    """Return a store's opening hours as one text, equal for equal hours."""
    return _text_of_hours(encode((store.hours, store.exceptions)))


@lru_cache(maxsize=DISTINCT_KEPT_MAX)
def _text_of_hours(encoded: bytes) -> str:
    # A fleet has few distinct hours, which are compared fastest as bytes.
    return Timetable.of(*msgspec.json.decode(encoded, type=tuple[list[OpeningHours], list[HoursException]])).text()


def is_folded(event_type: type) -> bool:
    """Tell whether events of a type change the fleet."""
    return _taker(event_type) is not _taker(object) or fold_policy.dispatch(event_type) is not fold_policy.dispatch(
        object
    )
