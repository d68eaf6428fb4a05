"""What the log says, folded a second time: one dictionary a thing, one Python object a cluster, no bitmaps.

Who is selected is asked anew every time, of labels and groups as they are at that moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from libs.contracts import (
    ApplicationDeclared,
    ApplicationRemoved,
    CalendarDeclared,
    CalendarRemoved,
    ConfigurationDeclared,
    ConfigurationRemoved,
    Event,
    FreezeDeclared,
    FreezeRemoved,
    GroupDeclared,
    GroupRemoved,
    LooseningConfirmed,
    LooseningWithheld,
    NamespaceDeclared,
    PlacementPolicyDeclared,
    PlacementPolicyRemoved,
    Recorded,
    ReleaseChoicesSet,
    ReleasePublished,
    StoreDeclared,
    StoreRemoved,
)
from libs.fleet import unpacked
from tests.policy_model.model_time import Hours

if TYPE_CHECKING:
    from datetime import datetime

Variant = tuple[str, str, str, str]
"""What an application is on a cluster: release, and the zone, size and level that its template reads."""


@dataclass(frozen=True)
class Cluster:
    """A cluster as its store's document says it; `groups` are the paths that it was in when it went."""

    name: str
    store: str
    labels: dict[str, str]
    zone: str
    hours: Hours


Predicate = Callable[[Cluster, frozenset[str]], bool]


def _label(key: str, value: str) -> Predicate:
    return lambda cluster, _: cluster.labels.get(key) == value


def _group(path: str) -> Predicate:
    return lambda _, groups: path in groups


def _named(name: str) -> Predicate:
    return lambda cluster, _: cluster.name == name


def _everything(_cluster: Cluster, _groups: frozenset[str]) -> bool:
    return True


WEST, LARGE, UTAH, TEXAS = _group("/geo/west"), _label("size", "large"), _label("state", "ut"), _label("state", "tx")
STORES = [f"store-{number}" for number in range(8)]
EXPRESSIONS: dict[str, Predicate] = {
    "/c/*": _everything,
    "none": lambda _cluster, _groups: False,
    "state = ut": UTAH,
    "state = tx": TEXAS,
    "state != ut": lambda *each: not UTAH(*each),
    "size = large": LARGE,
    "/g/geo": _group("/geo"),
    "/g/geo/west": WEST,
    "/g/geo/west and size = large": lambda *each: WEST(*each) and LARGE(*each),
    "size = large or state = tx": lambda *each: LARGE(*each) or TEXAS(*each),
    "not /g/geo/west": lambda *each: not WEST(*each),
    **{f"/c/{name}": _named(name) for name in STORES[:3]},
}
"""Every expression of these histories, in canonical form, and what it means."""
GROUP_EXPRESSIONS = ["state = ut", "state = tx", "size = large", "state != ut"]


@dataclass(frozen=True)
class View:
    """What applies to one cluster: as things are, or as they were before a change that does not count yet."""

    zone: str
    hours: Hours
    freezes: frozenset[str]
    laws: frozenset[str]
    calendars: tuple[CalendarDeclared, ...]


@dataclass
class World:
    """The facts."""

    clusters: dict[str, Cluster] = field(default_factory=dict)
    gone: dict[str, tuple[Cluster, frozenset[str]]] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    groups: dict[str, GroupDeclared] = field(default_factory=dict)
    namespaces: dict[str, NamespaceDeclared] = field(default_factory=dict)
    applications: dict[str, ApplicationDeclared] = field(default_factory=dict)
    configurations: dict[str, ConfigurationDeclared] = field(default_factory=dict)
    choices: dict[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    releases: dict[tuple[str, str], str] = field(default_factory=dict)
    calendars: dict[str, CalendarDeclared] = field(default_factory=dict)
    freezes: dict[str, FreezeDeclared] = field(default_factory=dict)
    laws: dict[str, PlacementPolicyDeclared] = field(default_factory=dict)
    withheld: dict[str, dict[str, View]] = field(default_factory=dict)
    authors: dict[tuple[str, str], str] = field(default_factory=dict)
    incarnations: dict[int, int] = field(default_factory=dict)
    """The document (its `id`) → the one by which it came to exist since it last did not."""

    # --- folding -----------------------------------------------------------------------------------------------------

    def fold(self, recorded: Recorded) -> None:
        """Take one event."""
        event, actor = recorded.event, recorded.actor
        match event:
            case StoreDeclared():
                self._store(event)
            case StoreRemoved(name):
                self._drop(each.name for each in [*self.clusters.values()] if each.store == name)
            case GroupDeclared():
                self.groups[event.path] = event
            case GroupRemoved():
                self.groups.pop(event.path, None)
            case ReleaseChoicesSet():
                self.choices[event.application] = tuple((each.expression, each.version) for each in event.choices)
                self.authors["choices", event.application] = actor
            case ReleasePublished():
                self.releases[event.application, event.version] = event.digest
                self.authors["release", f"{event.application}/{event.version}"] = actor
            case ConfigurationDeclared() | ConfigurationRemoved():
                self._configured(event, actor)
            case LooseningWithheld():
                clusters = self.resolved(event.clusters)
                self.withheld[event.id] = {name: self.view(name) for name in clusters}
            case LooseningConfirmed():
                self.withheld.pop(event.id, None)
            case _:
                self._named(event)

    def _configured(self, event: ConfigurationDeclared | ConfigurationRemoved, actor: str) -> None:
        if isinstance(event, ConfigurationDeclared) or event.name in self.configurations:
            self.authors["configuration", event.name] = actor
        self._named(event)

    def _named(self, event: Event) -> None:
        """Take what is declared and removed by name."""
        kinds: tuple[tuple[type[Any], type[Any] | None, dict[str, Any]], ...] = (
            (NamespaceDeclared, None, self.namespaces),
            (ApplicationDeclared, ApplicationRemoved, self.applications),
            (ConfigurationDeclared, ConfigurationRemoved, self.configurations),
            (CalendarDeclared, CalendarRemoved, self.calendars),
            (FreezeDeclared, FreezeRemoved, self.freezes),
            (PlacementPolicyDeclared, PlacementPolicyRemoved, self.laws),
        )
        for declared, removed, known in kinds:
            if isinstance(event, declared):
                before = known.get(event.name)
                self.incarnations[id(event)] = id(event) if before is None else self.incarnations[id(before)]
                known[event.name] = event
            elif removed is not None and isinstance(event, removed):
                known.pop(event.name, None)

    def _store(self, event: StoreDeclared) -> None:
        named = {each.name for each in event.clusters}
        before = [each.name for each in self.clusters.values() if each.store == event.name]
        self._drop(name for name in before if name not in named)
        hours = tuple((tuple(each.days), each.open, each.close) for each in event.hours)
        for each in event.clusters:
            labels = {key: str(value) for key, value in {**event.labels, **each.labels}.items()}
            self.clusters[each.name] = Cluster(each.name, event.name, labels, event.timezone, hours)
            self.gone.pop(each.name, None)
            if each.name not in self.names:
                self.names.append(each.name)

    def _drop(self, names: Iterable[str]) -> None:
        for name in list(names):
            cluster = self.clusters[name]
            self.gone[name] = cluster, self.groups_of(cluster)
        for name in [each for each in self.gone if each in self.clusters]:
            del self.clusters[name]

    # --- selecting ---------------------------------------------------------------------------------------------------

    def groups_of(self, cluster: Cluster) -> frozenset[str]:
        """Return the groups of a cluster: those that say so, and all above them."""
        found = set[str]()
        for path, group in self.groups.items():
            by_name = cluster.name in group.clusters or cluster.store in group.stores
            by_expression = group.expression is not None and EXPRESSIONS[group.expression](cluster, frozenset())
            if by_name or by_expression:
                parts = path.split("/")
                found.update("/".join(parts[: end + 1]) for end in range(1, len(parts)))
        return frozenset(found)

    def selects(self, expression: str | None, name: str) -> bool:
        """Whether an expression selects a cluster that exists."""
        cluster = self.clusters.get(name)
        return cluster is not None and EXPRESSIONS[expression or "/c/*"](cluster, self.groups_of(cluster))

    def binds(self, expression: str | None, name: str) -> bool:
        """Whether an expression of policy applies to a cluster: one that is gone by what it was."""
        if name in self.clusters:
            return self.selects(expression, name)
        cluster, groups = self.gone[name]
        return EXPRESSIONS[expression or "/c/*"](cluster, groups)

    def resolved(self, clusters: bytes) -> set[str]:
        """Return the names of clusters of an event."""
        return {self.names[ordinal] for ordinal in unpacked(clusters)} if clusters else set()

    # --- policy ------------------------------------------------------------------------------------------------------

    def view(self, name: str) -> View:
        """Return what applies to a cluster as things are."""
        cluster = self.clusters.get(name) or self.gone[name][0]
        return View(
            cluster.zone,
            cluster.hours,
            frozenset(each.name for each in self.freezes.values() if self.binds(each.clusters, name)),
            frozenset(each.name for each in self.laws.values() if self.binds(each.clusters, name)),
            tuple(each for each in self.calendars.values() if self.binds(each.clusters, name)),
        )

    def views(self, name: str) -> list[View]:
        """Return what applies to a cluster, and what did before changes that do not count yet."""
        return [self.view(name), *(views[name] for views in self.withheld.values() if name in views)]

    def laws_on(self, application: str, name: str, at: datetime) -> list[PlacementPolicyDeclared]:
        """Return the laws that forbid an application on a cluster."""
        named = {law for view in self.views(name) for law in view.laws}
        return [
            law
            for law in self.laws.values()
            if law.name in named
            and application in law.applications
            and (law.begins is None or law.begins <= at)
            and (law.ends is None or at < law.ends)
        ]

    # --- applications ------------------------------------------------------------------------------------------------

    def placed(self, application: str, name: str) -> bool:
        """Whether an application's and its namespace's expressions select a cluster."""
        declared = self.applications.get(application)
        if declared is None:
            return False
        space = self.namespaces[declared.namespace]
        return self.selects(space.expression, name) and self.selects(declared.expression, name)

    def target(self, application: str, name: str, at: datetime) -> Variant | None:
        """Return what a cluster should have of an application, gates aside."""
        if not self.placed(application, name) or self.laws_on(application, name, at):
            return None
        chosen = [version for text, version in self.choices.get(application, ()) if self.selects(text, name)]
        if not chosen or (application, chosen[-1]) not in self.releases:
            return None
        cluster, level = self.clusters[name], "info"
        for layer in sorted(self.speaking(application), key=lambda each: (bool(each.applications), each.priority)):
            if self.selects(layer.expression, name):
                level = str(layer.values["level"])
        return chosen[-1], cluster.zone, cluster.labels.get("size", "unknown"), level

    def speaking(self, application: str) -> list[ConfigurationDeclared]:
        """Return the configurations that speak of an application."""
        every = self.configurations.values()
        return [each for each in every if not each.applications or application in each.applications]

    def content(self, application: str) -> dict[str, object]:
        """Return what an application's people wrote: releases, choices, configurations."""
        chosen = self.choices.get(application, ())
        parts: dict[str, object] = {"choices": chosen}
        for _, version in chosen:
            if (application, version) in self.releases:
                parts[f"release {version}"] = self.releases[application, version]
        return parts | {f"configuration {each.name}": each for each in self.speaking(application)}

    def signoff(self, application: str) -> str | None:
        """Return the process that an application's changes need."""
        declared = self.applications.get(application)
        return None if declared is None else declared.signoff or self.namespaces[declared.namespace].signoff
