"""The interface of a gate: where it is closed, how it explains one case, what it reads, and when it changes next.

A new gate is a subclass in a file of its own and a row in `libs/gates/ordered.py`. All users of gates go through that
list: planning, `resedge why`, `resedge get blocked`, the guard of admissions, the next instant, the table in the docs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pyroaring import BitMap

from libs.gates.explained import Explained
from libs.gates.rules import Closed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from libs.gates.change import Case, PendingChange
    from libs.gates.instant import Instant

NOWHERE = Closed()


@dataclass(frozen=True, slots=True)
class Waiting:
    """Clusters on which a change waits for a gate: for what (`by`), until when if known, and why."""

    by: str
    until: datetime | None
    reason: str
    clusters: BitMap


class Gate(ABC):
    """One condition for admitting a change. It has no state: everything follows from the facts.

    A gate says where it is closed for an application (`closed_for`), or which clusters of a change it keeps back
    (`keeps_back`). What immediate law removes passes all gates but the fuse.
    """

    name: ClassVar[str]
    open_when: ClassVar[str]
    """When it is open, for the docs: it ends `open when …`."""
    reads: ClassVar[tuple[str, ...]] = ()
    """The categories of the log's streams whose facts it reads: an admission is guarded by those of all gates."""
    refusals: ClassVar[tuple[str, ...]] = ()
    """The codes of the refusals at rendering that it reports."""
    keeps: ClassVar[bool] = True
    """Whether it keeps changes back; the other gates decide the target of a cluster, or report its state."""
    lets_law_through: ClassVar[bool] = True
    """Whether removals by immediate law pass."""
    blocked_rank: ClassVar[int] = 2
    """Where `resedge get blocked` lists it, the lowest first; of equal ranks in the order of the list."""

    def closed_for(self, instant: Instant, application: str, first: BitMap) -> Closed:
        """Return where it is closed for an application, for any change; "" stands for things of no application.

        `first` are the clusters without any admission yet. The answer may be shared: never change it.
        """
        del instant, application, first
        return NOWHERE

    def keeps_back(self, change: PendingChange) -> Closed:
        """Return which clusters of a change it keeps back."""
        if not change.bound:
            return NOWHERE
        return self.closed_for(change.instant, change.application, change.first).among(change.bound)

    def next_change(self, instant: Instant) -> datetime | None:
        """Return when it changes next anywhere, after an instant; nothing: never, unless facts change.

        It may be too early, never too late: a plan counts on it.
        """
        del instant
        return None

    def explain(self, case: Case) -> Explained:
        """Return whether it is open for one case, and why; removals by immediate law pass."""
        said = self.told(case)
        if self.keeps and not said.open and case.removed_at_once and self.lets_law_through:
            reason = f"immediate law removes it, even though gates are closed: {said.reason}"
            return Explained(open=True, reason=reason, evidence=said.evidence)
        return said

    @abstractmethod
    def told(self, case: Case) -> Explained:
        """Return whether it is open for one case, and why, immediate law aside."""

    def waiting(self, change: PendingChange, clusters: BitMap) -> Iterator[Waiting]:
        """Return what waits on some of the clusters that it keeps back, grouped.

        Each group of `alike` is explained by one of its clusters.
        """
        found: dict[tuple[str, datetime | None, str], BitMap] = {}
        for alike in self.alike(change, clusters):
            said = self.told(change.on(alike.min()))
            key = said.by, said.opens_at, said.reason
            found[key] = found.get(key, BitMap()) | alike
        for (by, until, reason), where in found.items():
            yield Waiting(by, until, reason, where)

    def alike(self, change: PendingChange, clusters: BitMap) -> list[BitMap]:
        """Group some of the clusters that it keeps back; all clusters of a group have the same explanation."""
        del change
        return [clusters]
