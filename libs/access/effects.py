"""What the events of a proposal affect: the clusters that they change, and declared things without clusters.

The one rule: a change is judged by the clusters that it affects (in themselves, or as members of something), not by the
document that it edits. What cannot be attributed to clusters affects the whole fleet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
from pyroaring import BitMap

from libs.contracts import (
    ApplicationDeclared,
    ApplicationRemoved,
    CalendarDeclared,
    ConfigurationDeclared,
    ConfigurationRemoved,
    Event,
    FreezeDeclared,
    GroupDeclared,
    GroupRemoved,
    NamespaceDeclared,
    NamespaceRemoved,
    PlacementPolicyDeclared,
    ReleaseChoicesSet,
    ReleasePublished,
    StoreDeclared,
    StoreRemoved,
    meaning_of,
)
from libs.contracts.meaning import (
    APPLICATION,
    CALENDAR,
    CHOICES,
    CONFIGURATION,
    FLEET,
    FREEZE,
    GROUP,
    LAW,
    NAMESPACE,
    NOTHING,
    RELEASE,
    STORE,
    Reach,
)
from libs.fleet import Fleet
from libs.fleet.bitmaps import bitmap
from libs.fleet.forking import EVENTS_A_TURN, assume
from libs.fleet.parts import parsed
from libs.selection import Expression
from libs.selection.expression import InNamespace

Narrowing = tuple[Expression, ...]
"""Expressions; a cluster must match all of them."""


@dataclass(frozen=True, slots=True)
class Before:
    """A fleet before and after the events of a proposal; valid until other work of the event loop runs."""

    before: Fleet
    after: Fleet
    moved: BitMap
    """The clusters that are changed themselves, or whose memberships change."""


@dataclass(frozen=True, slots=True)
class ReachedPart:
    """What one event affects: a thing of some namespaces (empty: of none).

    `clusters` is `None` where the thing has no clusters; `said` are the expressions that were added or removed.
    `fleetwide`: it applies to every cluster, those of the future included.
    """

    what: str
    clusters: BitMap | None
    said: Sequence[Narrowing] = ()
    namespaces: frozenset[str] = field(default_factory=frozenset)
    fleetwide: bool = False


async def tried(facts: Fleet, events: Sequence[Event]) -> Before:
    """Return the facts before and after `events`; with many events, other work of the event loop runs in between.

    Use the result before the next `await`: for a few events, `before` is the live facts themselves.
    """
    before = facts if len(events) < EVENTS_A_TURN else facts.fork()
    after = facts.fork()
    after.selection.settle()
    known = dict(after.selection.node_members)
    await assume(after, events)
    changes = after.selection.settle()
    moved = changes.clusters | after.touched.clusters | _hours_changed(before, after)
    for each in changes.labels.values():
        moved |= each
    members = after.selection.node_members
    # What expressions select changes with the facts of a cluster, or is declared: the parts tell of that.
    for key in (each for each in known.keys() | members.keys() if each.kind != "saved"):
        was, now = known.get(key, _NOBODY), members.get(key, _NOBODY)
        if was is not now:
            moved |= was ^ now
    return Before(before, after, moved)


_NOBODY = BitMap()


def _hours_changed(before: Fleet, after: Fleet) -> BitMap:
    size = before.selection.size
    return bitmap(np.flatnonzero(before.hours_of.values[:size] != after.hours_of.values[:size]))


def parts(events: Iterable[Event], change: Before) -> list[ReachedPart]:
    """Return what each event reaches."""
    return [_PARTS[meaning_of(event).reaches](event, change) for event in events]


def _fleet(event: Event, _change: Before) -> ReachedPart:
    return ReachedPart(type(event).__name__, None)


def _nothing(event: Event, _change: Before) -> ReachedPart:
    return ReachedPart(type(event).__name__, _NOBODY)


def _own(fleet: Fleet, names: Iterable[str]) -> BitMap:
    found = (fleet.selection.ordinal(name) for name in names)
    return BitMap([each for each in found if each is not None])


def _some(clusters: BitMap) -> BitMap | None:
    return clusters or None


def _said(*expressions: str | None, by: Sequence[Expression] = ()) -> list[Narrowing]:
    """Return the narrowing expressions; none if they are the same before and after."""
    first, second = expressions
    if first == second:
        return []
    return [(parsed(each), *by) for each in expressions if each is not None]


def _store(event: StoreDeclared | StoreRemoved, change: Before) -> ReachedPart:
    clusters = BitMap()
    for fleet in (change.before, change.after):
        store = fleet.stores.get(event.name)
        clusters |= _own(fleet, () if store is None else store.clusters)
    seen = clusters & change.moved
    return ReachedPart(f"store {event.name}", _some(seen or clusters))


def _group(event: GroupDeclared | GroupRemoved, change: Before) -> ReachedPart:
    was, now = (fleet.groups.get(event.path) for fleet in (change.before, change.after))
    listed = BitMap()
    bare = False
    old = set() if was is None else {*was.clusters, *was.stores}
    stores = () if now is None else now.stores
    for name in () if now is None else (each for each in chain(now.clusters, stores) if each not in old):
        store = change.after.stores.get(name) if name in stores else None
        found = _own(change.after, (name,) if store is None else store.clusters)
        bare |= not found
        listed |= found
    reached = listed | change.moved
    if not reached:
        reached = change.before.selection.members(event.path) | change.after.selection.members(event.path)
    said = _said(None if was is None else was.expression, None if now is None else now.expression)
    return ReachedPart(f"group {event.path}", None if bare else _some(reached), said)


def _namespace(event: NamespaceDeclared | NamespaceRemoved, change: Before) -> ReachedPart:
    was, now = (fleet.namespaces.get(event.name) for fleet in (change.before, change.after))
    clusters = change.before.selection.namespace_members(event.name)
    clusters = clusters | change.after.selection.namespace_members(event.name)
    said = _said(None if was is None else was.expression, None if now is None else now.expression)
    return ReachedPart(f"namespace {event.name}", _some(clusters), said)


def _of_namespace(fleet: Fleet, namespace: str) -> list[Expression]:
    declared = fleet.namespaces.get(namespace)
    return [InNamespace(namespace), *([] if declared is None else [parsed(declared.expression)])]


def _narrowing(fleet: Fleet, application: str) -> list[Expression]:
    """Return the expressions that narrow an application: its namespace's and its own."""
    declared = fleet.applications.get(application)
    if declared is None:
        return []
    own = [] if declared.expression is None else [parsed(declared.expression)]
    return [*_of_namespace(fleet, declared.namespace), *own]


def _namespaces(change: Before, applications: Iterable[str]) -> frozenset[str]:
    found = (
        fleet.applications[name].namespace
        for name in applications
        for fleet in (change.before, change.after)
        if name in fleet.applications
    )
    return frozenset(found)


def _application(event: ApplicationDeclared | ApplicationRemoved, change: Before) -> ReachedPart:
    said: list[Narrowing] = []
    was, now = (fleet.applications.get(event.name) for fleet in (change.before, change.after))
    if was is None or now is None or (was.namespace, was.expression) != (now.namespace, now.expression):
        narrowed = (_narrowing(fleet, event.name) for fleet in (change.before, change.after))
        said = [tuple(each) for each in narrowed if each]
    clusters = change.before.placed(event.name) | change.after.placed(event.name)
    return ReachedPart(f"application {event.name}", _some(clusters), said, _namespaces(change, [event.name]))


def _configuration(event: ConfigurationDeclared | ConfigurationRemoved, change: Before) -> ReachedPart:
    key = ("configuration", event.name)
    clusters = change.before.selection.saved(key) | change.after.selection.saved(key)
    namespaces: set[str] = set()
    bound = True
    for fleet in (change.before, change.after):
        layer = fleet.configurations.get(event.name)
        if layer is not None and layer.applications:
            namespaces |= _namespaces(change, layer.applications)
        elif layer is not None and layer.namespace is not None:
            namespaces.add(layer.namespace)
        elif layer is not None:
            bound = False
    was, now = (fleet.configurations.get(event.name) for fleet in (change.before, change.after))
    said = _said(None if was is None else was.expression, None if now is None else now.expression)
    # A layer for all applications belongs to no namespace, whatever it was before.
    of = frozenset(namespaces) if bound else frozenset()
    return ReachedPart(f"configuration {event.name}", _some(clusters), said, of)


def _choices(event: ReleaseChoicesSet, change: Before) -> ReachedPart:
    application = event.application
    was, now = (dict(_chosen(fleet, application)) for fleet in (change.before, change.after))
    clusters = BitMap()
    for version in was.keys() | now.keys():
        clusters |= was.get(version, _NOBODY) ^ now.get(version, _NOBODY)
    before, after = (fleet.choices.get(application, ()) for fleet in (change.before, change.after))
    differing = [each for each in (*before, *after) if (each in before) != (each in after)]
    narrowing = _narrowing(change.after, application) or _narrowing(change.before, application)
    said = [(parsed(each.expression), *narrowing) for each in differing]
    placed = change.before.placed(application) | change.after.placed(application)
    for each in differing:
        clusters |= change.after.selection.select(parsed(each.expression))
    return ReachedPart(
        f"release choices of {application}", _some(clusters & placed), said, _namespaces(change, [application])
    )


def _chosen(fleet: Fleet, application: str) -> Iterable[tuple[str, BitMap]]:
    found: dict[str, BitMap] = {}
    for version, members in fleet.chosen(application):
        found[version] = found.get(version, _NOBODY) | members
    return found.items()


def chosen_and_placed(fleet: Fleet, application: str) -> dict[str, BitMap]:
    """Return where each version of an application is chosen, among the clusters on which it is placed."""
    placed = fleet.placed(application)
    return {version: here for version, members in _chosen(fleet, application) if (here := members & placed)}


def _release(event: ReleasePublished, change: Before) -> ReachedPart:
    namespaces = _namespaces(change, [event.application])
    return ReachedPart(f"release {event.application} {event.version}", None, (), namespaces)


def _binding(kind: str) -> Callable[[Any, Before], ReachedPart]:
    """Return how the clusters are found of a kind that selects them by an expression."""

    def found(event: Event, change: Before) -> ReachedPart:
        declared = [_bound_by(fleet, kind, event.name) for fleet in (change.before, change.after)]
        clusters = change.before.bound(kind, event.name) | change.after.bound(kind, event.name)
        texts = [None if each is None else each.clusters for each in declared]
        fleetwide = any(each is not None and each.clusters is None for each in declared)
        return ReachedPart(
            f"{kind} {event.name}", None if fleetwide else _some(clusters), _said(*texts), fleetwide=fleetwide
        )

    return found


def _bound_by(fleet: Fleet, kind: str, name: str) -> CalendarDeclared | FreezeDeclared | PlacementPolicyDeclared | None:
    policy = fleet.policy
    known: Mapping[str, Mapping[str, CalendarDeclared | FreezeDeclared | PlacementPolicyDeclared]] = {
        "calendar": policy.calendars,
        "freeze": policy.freezes,
        "law": policy.laws,
    }
    return known[kind].get(name)


_PARTS: Mapping[Reach, Callable[[Any, Before], ReachedPart]] = {
    FLEET: _fleet,
    NOTHING: _nothing,
    STORE: _store,
    GROUP: _group,
    NAMESPACE: _namespace,
    APPLICATION: _application,
    CONFIGURATION: _configuration,
    CHOICES: _choices,
    RELEASE: _release,
    CALENDAR: _binding("calendar"),
    FREEZE: _binding("freeze"),
    LAW: _binding("law"),
}
"""How the clusters of each kind are found; an event type names the kind that it affects in its definition."""
