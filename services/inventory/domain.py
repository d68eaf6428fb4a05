"""A store and its clusters: time zone, labels, opening hours. The last declaration replaces it whole.

Facts about the world are accepted, even if they make something else impossible. Only two things are refused: a cluster
name that another store has, and removing a cluster that an expression names.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

from libs.contracts import Labels, stream_id
from libs.contracts.absent import Absent
from libs.contracts.refusals import Rejected, StillReferenced
from libs.fleet import Fleet
from libs.kinds.categories import REFERRING
from services.inventory.events import StoreDeclared, StoreRemoved

State = Absent | StoreDeclared


@dataclass(frozen=True, slots=True)
class DeclareStore:
    """Declare the store, whole."""

    store: StoreDeclared
    actor: str
    at: datetime


@dataclass(frozen=True, slots=True)
class RemoveStore:
    """Remove the store and its clusters."""

    name: str
    actor: str
    at: datetime


Command = DeclareStore | RemoveStore
Event = StoreDeclared | StoreRemoved


class ClusterNameTaken(Rejected):
    """Cluster names are unique in the fleet, and another store has this one."""

    code = "cluster-name-taken"


class ClusterStillNamed(StillReferenced):
    """An expression names the cluster, so it cannot be deleted."""


def decide(command: Command, state: State, facts: Fleet) -> Sequence[Event]:
    """Return what follows from `command`; nothing, if it has happened already."""
    match command:
        case DeclareStore():
            return _declare(command.store, state, facts)
        case RemoveStore():
            return _remove(command, state, facts)
        case _:
            assert_never(command)


def guards(command: Command, state: State) -> tuple[str, ...]:
    """Return the categories that `decide` reads: others' cluster names, others' expressions."""
    had = _cluster_names(state)
    wanted = _cluster_names(command.store) if isinstance(command, DeclareStore) else set()
    return (("store",) if wanted - had else ()) + (REFERRING if had - wanted else ())


def without_cluster(store: StoreDeclared, cluster: str, actor: str, at: datetime) -> DeclareStore:
    """Return the command that deletes one cluster of a store."""
    left = [each for each in store.clusters if each.name != cluster]
    return DeclareStore(replace(store, clusters=left), actor, at)


def relabelled(store: StoreDeclared, put: Labels, remove: Iterable[str]) -> StoreDeclared:
    """Return the store with some labels set and some removed; clusters' own labels stay."""
    gone = set(remove)
    labels = {key: value for key, value in store.labels.items() if key not in gone} | put
    return replace(store, labels=labels)


def store_stream(name: str) -> str:
    """Return the stream of a store."""
    return stream_id("store", name)


def _cluster_names(state: State) -> set[str]:
    return {each.name for each in state.clusters} if isinstance(state, StoreDeclared) else set()


def _declare(declared: StoreDeclared, state: State, facts: Fleet) -> Sequence[Event]:
    if declared == state:
        return []
    had = _cluster_names(state)
    wanted = [each.name for each in declared.clusters]
    for index, name in enumerate(wanted):
        if name not in had:
            _check_free(name, declared.name, f"/spec/clusters/{index}/name", facts)
    _check_unnamed(had.difference(wanted), facts)
    return [declared]


def _check_free(cluster: str, store: str, pointer: str, facts: Fleet) -> None:
    ordinal = facts.selection.ordinal(cluster)
    if ordinal is None or facts.selection.store_of(ordinal) == store:
        return
    raise ClusterNameTaken(
        f"cluster {cluster} belongs to store {facts.selection.store_of(ordinal)}",
        pointer=pointer,
        fix="give the cluster another name, or delete it there first",
        store=facts.selection.store_of(ordinal),
    )


def _check_unnamed(clusters: Iterable[str], facts: Fleet) -> None:
    for cluster in sorted(clusters):
        referrers = facts.referrers("cluster", cluster)
        if referrers:
            raise ClusterStillNamed(
                f"cluster {cluster} is named in the expression of {', '.join(referrers)}",
                fix=f"change those expressions so that they no longer name /c/{cluster}",
                referrers=referrers,
            )


def _remove(command: RemoveStore, state: State, facts: Fleet) -> Sequence[Event]:
    if isinstance(state, Absent):
        return []
    _check_unnamed(_cluster_names(state), facts)
    return [StoreRemoved(command.name)]
