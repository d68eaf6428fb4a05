"""The parts of a fleet, each with how it begins, is forked, and goes into a snapshot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from pyroaring import BitMap

from libs.contracts import ReleaseChoice, StoreDeclared
from libs.contracts.instants import UNIX_EPOCH
from libs.fleet.policy import Policy
from libs.fleet.state import (
    Parts,
    codes,
    column,
    columns,
    copied,
    events_by,
    made,
    mapping,
    remembered,
    typed,
    value,
    whole,
)
from libs.selection import Expression, Gone, Selection, parse
from libs.selection.gone import Remains

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNLIMITED = -1
EARLIER_CHOICES_MAX = 8

parsed: Callable[[str], Expression] = lru_cache(maxsize=16_384)(parse)
"""Parse an expression, remembering what was parsed before."""


class Store(NamedTuple):
    """A store as the fleet knows it: the fields of its event with these names, and the names of its clusters.

    A field that is added here (with a default) is folded and kept in snapshots.
    """

    name: str
    timezone: str
    clusters: tuple[str, ...]

    @classmethod
    def of(cls, event: StoreDeclared) -> Store:
        """Return the store that an event declares."""
        further: tuple[str, ...] = cls._fields[3:]
        plain = [getattr(event, name) for name in further]
        return cls(event.name, event.timezone, tuple([each.name for each in event.clusters]), *plain)


class Fact(NamedTuple):
    """The last event about a thing in the log, as evidence."""

    position: int
    at: datetime
    actor: str


@dataclass(slots=True)
class Touched:
    """The changes since they were last taken; a reader re-evaluates only those."""

    applications: dict[str, BitMap] = field(default_factory=dict)
    whole: set[str] = field(default_factory=set)
    namespaces: set[str] = field(default_factory=set)
    """Namespaces that reserve another capacity than before; the affected clusters are added when this is taken."""
    clusters: BitMap = field(default_factory=BitMap)
    labels: dict[str, BitMap] = field(default_factory=dict)

    def touch(self, application: str, clusters: BitMap) -> None:
        """Record that an application must be evaluated again on `clusters`."""
        known = self.applications.get(application)
        self.applications[application] = clusters.copy() if known is None else known | clusters


class Taken(NamedTuple):
    """What namespaces reserve of a resource: per ordinal, and for each namespace its clusters and milli-units."""

    total: NDArray[np.int64]
    counted: dict[str, tuple[BitMap, int]]


def _facts_plain(it: dict[tuple[str, str], Fact]) -> list[Any]:
    return [(*key, fact.position, fact.at.isoformat(), fact.actor) for key, fact in it.items()]


def _fact(position: int, at: str, actor: str) -> Fact:
    return Fact(position, datetime.fromisoformat(at), actor)


def _facts_of(plain: Any) -> dict[tuple[str, str], Fact]:
    return {(kind, name): _fact(*said) for kind, name, *said in plain}


GONE: Parts = {
    "remains": typed(dict[int, Remains], dict),
    "version": value(0),
    "_facts": remembered(lambda: None),
}
"""The parts of the memory of deleted clusters."""

PARTS: Parts = {
    "selection": made(Selection, Selection.dump, Selection.load, Selection.fork),
    "position": value(0),
    "now": value(Fact(0, UNIX_EPOCH, ""), lambda it: (it.position, it.at.isoformat(), it.actor), lambda it: _fact(*it)),
    "stores": mapping(
        lambda it: [tuple(each) for each in it.values()],
        lambda plain: {name: Store(name, zone, tuple(clusters), *more) for name, zone, clusters, *more in plain},
    ),
    "groups": events_by(lambda each: each.path),
    "namespaces": events_by(lambda each: each.name),
    "applications": events_by(lambda each: each.name),
    "configurations": events_by(lambda each: each.name),
    "choices": typed(dict[str, tuple[ReleaseChoice, ...]], dict),
    "earlier": typed(dict[str, tuple[tuple[ReleaseChoice, ...], ...]], dict),
    "releases": events_by(lambda each: (each.application, each.version)),
    "sources": events_by(lambda each: each.name),
    "facts": mapping(_facts_plain, _facts_of),
    "zones": codes(),
    "store_names": codes(),
    "hours": codes(),
    "kubernetes": codes(),
    "zone_of": column(np.int32),
    "hours_of": column(np.int32),
    "kubernetes_of": column(np.int32),
    "store_of": column(np.int32),
    "declared_position": column(np.int64),
    "declared_at": column(np.int64),
    "capacity": columns(),
    "policy": typed(Policy, copied),
    "gone": whole(lambda _: Gone(), GONE),
    "touched": typed(Touched, lambda _: Touched()),
    "_gone_bound": remembered(dict, dict),
    "_layers": remembered(dict),
    "_speaking": remembered(dict, lambda it: it),
    "_peers": remembered(dict, dict),
    "_taken": remembered(dict, dict),
}
"""All parts of a fleet, but for `extent` (how many ordinals it has given) and `blob` (the bodies of its log)."""


def microseconds(at: datetime) -> int:
    """Return an instant as microseconds since 1970, as columns hold it."""
    delta = at - UNIX_EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
