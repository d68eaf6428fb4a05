"""The input of a gate: the pending changes of one placement at an instant, and one cluster of that placement.

Rendering makes these from its model; gates know nothing else of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from pyroaring import BitMap

from libs.fleet import Effect

if TYPE_CHECKING:
    from datetime import datetime

    import numpy as np
    from numpy.typing import NDArray

    from libs.fleet import Combination, Fact, Fleet
    from libs.gates.instant import Instant


class Unsettled(NamedTuple):
    """Removals that have been wanted together since one instant, and settle at another."""

    since: datetime
    until: datetime
    clusters: BitMap


@dataclass(frozen=True, slots=True)
class Held:
    """The removals of one placement in a plan that the fuse holds: `count` is that of the whole plan."""

    plan: str
    count: int
    cause: str
    clusters: BitMap


@dataclass(frozen=True, slots=True)
class Admitted:
    """The last admission of a placement on a cluster: the fact, the file, and the commit once it is written."""

    fact: Fact
    path: str
    commit: str


@dataclass(frozen=True, slots=True)
class Standing:
    """The state of a placement on one cluster.

    `runs` and `wanted` are versions, `variant` the digest of the wanted one; `fell_back`: it replaces a refused choice.
    `refusals` are codes with details. `unreadable` says why `values` cannot be read, if so.
    """

    runs: str | None
    wanted: str | None
    variant: str
    fell_back: bool
    refusals: Sequence[tuple[str, str]]
    values: Combination | None
    unreadable: str
    admitted: Admitted | None


@dataclass(eq=False)
class PendingChange:
    """The pending changes of an application in a namespace, `removals` among them, as bitmaps of clusters.

    `first` are the clusters that have been admitted nothing yet; `stands` says how the placement stands on a cluster,
    `variants` which variants some clusters are to get, by ascending ordinal (zeros: none).
    """

    instant: Instant
    first: BitMap
    namespace: str
    application: str
    pending: BitMap
    removals: BitMap
    unsettled: Sequence[Unsettled]
    held: Held | None
    stands: Callable[[int], Standing]
    variants: Callable[[BitMap], NDArray[np.uint64]]

    @property
    def fleet(self) -> Fleet:
        """The facts."""
        return self.instant.fleet

    @property
    def now(self) -> datetime:
        """The instant."""
        return self.instant.now

    @cached_property
    def forbidden_at_once(self) -> BitMap:
        """Where law whose enforcement is immediate forbids the application."""
        return self.fleet.forbidden_at_once(self.application, self.now)

    @cached_property
    def bound(self) -> BitMap:
        """The pending changes that gates may keep back: all but the removals that immediate law asks for."""
        return self.pending - (self.removals & self.forbidden_at_once)

    def wanted(self, clusters: BitMap) -> Effect:
        """Return what some clusters are to get."""
        return Effect(clusters, self.variants(clusters))

    def on(self, ordinal: int) -> Case:
        """Return one cluster of it."""
        return Case(self, ordinal)


@dataclass(eq=False)
class Case:
    """One placement on one cluster, which may have no pending change there."""

    change: PendingChange
    ordinal: int

    @property
    def fleet(self) -> Fleet:
        """The facts."""
        return self.change.fleet

    @property
    def now(self) -> datetime:
        """The instant."""
        return self.change.now

    @property
    def application(self) -> str:
        """The application's name."""
        return self.change.application

    @property
    def namespace(self) -> str:
        """The namespace's name."""
        return self.change.namespace

    @property
    def cluster(self) -> str:
        """The cluster's name."""
        return self.fleet.selection.name(self.ordinal)

    @property
    def first(self) -> bool:
        """Whether this would be the cluster's first admission."""
        return self.ordinal in self.change.first

    @property
    def removed_at_once(self) -> bool:
        """Whether immediate law asks for its removal, which waits for no gate but the fuse."""
        return self.ordinal in self.change.forbidden_at_once and self.ordinal in self.change.pending

    @cached_property
    def stands(self) -> Standing:
        """How the placement stands here."""
        return self.change.stands(self.ordinal)

    def refused(self, codes: Sequence[str]) -> tuple[str, str] | None:
        """Return the first refusal here that has one of these codes: the code and the detail."""
        return next((each for each in self.stands.refusals if each[0] in codes), None)
