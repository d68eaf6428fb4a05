"""Events of the inventory: stores and their clusters."""

from __future__ import annotations

from dataclasses import dataclass, field

from libs.contracts.authors import NOBODY, By, removed
from libs.contracts.envelope import published
from libs.contracts.meaning import STORE, Subject, counted

Labels = dict[str, str | list[str]]
"""Label key → value, or several values; as declared."""


@dataclass(frozen=True, slots=True)
class OpeningHours:
    """Wall-clock opening times on some weekdays (`mon` … `sun`); `close` before `open` is the next morning."""

    days: list[str]
    open: str
    close: str


@dataclass(frozen=True, slots=True)
class HoursException:
    """Other opening times on one local date `YYYY-MM-DD`; without `open` and `close` the store is closed that day."""

    date: str
    open: str = ""
    close: str = ""


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """A cluster of a store: its own labels (each replaces the store's of that key) and its capacity (quantities).

    `kubernetes` is the minor version that it runs (`1.31`), empty if unknown.
    """

    name: str
    labels: Labels = field(default_factory=dict)
    capacity: dict[str, str] = field(default_factory=dict)
    kubernetes: str = ""


def _store(event: StoreDeclared) -> str:
    if len(event.clusters) == 1 and event.clusters[0].name == event.name:
        return f"declared store {event.name}"
    return f"declared store {event.name} with {counted(len(event.clusters), 'cluster')}"


def _clusters_of(event: StoreDeclared) -> list[Subject]:
    return [("cluster", each.name) for each in event.clusters if each.name != event.name]


@published("inventory", _store, STORE, _clusters_of)
@dataclass(frozen=True, slots=True)
class StoreDeclared:
    """The complete description of a store: fields that are missing here are removed. Stream `store-<name>`."""

    name: str
    timezone: str
    labels: Labels = field(default_factory=dict)
    hours: list[OpeningHours] = field(default_factory=list)
    clusters: list[ClusterSpec] = field(default_factory=list)
    exceptions: list[HoursException] = field(default_factory=list)


@published("inventory", removed("store {name}"), STORE)
@dataclass(frozen=True, slots=True)
class StoreRemoved:
    """A store and its clusters were removed."""

    name: str
    by: By = NOBODY
    reason: str = ""
