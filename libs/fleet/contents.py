"""The contents of a fleet in memory, before anything is folded into it.

The modules that fold events into it (`libs/fleet/facts.py`, `libs/fleet/policy_folding.py`) import this one, and not
each other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from libs.fleet.columns import Extent
from libs.fleet.parts import PARTS, parsed
from libs.fleet.state import begin_parts

if TYPE_CHECKING:
    from pyroaring import BitMap

    from libs.contracts import (
        ApplicationDeclared,
        ConfigurationDeclared,
        GroupDeclared,
        NamespaceDeclared,
        ReleaseChoice,
        ReleasePublished,
        SourceDeclared,
    )
    from libs.fleet.columns import Codes, FleetColumn
    from libs.fleet.layers import Layers, Peers
    from libs.fleet.parts import Fact, Store, Taken, Touched
    from libs.fleet.policy import Policy
    from libs.selection import Expression, Gone, Selection


class Contents:
    """The contents of a fleet: its parts, its extent, and access to the bodies of its log."""

    __slots__ = ("blob", "extent", *PARTS)

    selection: Selection
    position: int
    now: Fact
    """The position in the log of the event that is being folded."""
    stores: dict[str, Store]
    groups: dict[str, GroupDeclared]
    namespaces: dict[str, NamespaceDeclared]
    applications: dict[str, ApplicationDeclared]
    configurations: dict[str, ConfigurationDeclared]
    choices: dict[str, tuple[ReleaseChoice, ...]]
    earlier: dict[str, tuple[tuple[ReleaseChoice, ...], ...]]
    """The release choices of each application before the present ones, the newest first."""
    releases: dict[tuple[str, str], ReleasePublished]
    sources: dict[str, SourceDeclared]
    facts: dict[tuple[str, str], Fact]
    zones: Codes
    store_names: Codes
    hours: Codes
    zone_of: FleetColumn
    hours_of: FleetColumn
    kubernetes: Codes
    kubernetes_of: FleetColumn
    store_of: FleetColumn
    declared_position: FleetColumn
    declared_at: FleetColumn
    capacity: dict[str, FleetColumn]
    policy: Policy
    gone: Gone
    touched: Touched
    _gone_bound: dict[tuple[str, str], tuple[str, int, BitMap]]
    _layers: dict[str, Layers]
    _speaking: dict[str, list[ConfigurationDeclared]]
    """Application → the configurations that name it; replaced, never changed, so that forks share it."""
    _peers: dict[Peers, dict[str, ConfigurationDeclared]]
    """Configurations by rank and by what they name; each group is replaced, never changed."""
    _taken: dict[str, Taken]
    """Resource → what namespaces reserve of it; computed on demand."""

    def __init__(self, blob: Callable[[str], bytes | None] = lambda _: None) -> None:
        """`blob` gives a body of the log by its digest, or nothing."""
        self.blob = blob
        self.extent = Extent()
        begin_parts(self, PARTS, self.extent)

    def note(self, kind: str, name: str) -> None:
        """Record the current event as the last one about a thing."""
        self.facts[kind, name] = self.now

    @staticmethod
    def parsed(text: str) -> Expression:
        """Parse an expression, with a cache."""
        return parsed(text)

    def bound(self, kind: str, name: str) -> BitMap:
        """Return the clusters that a calendar, freeze, law or binding selects, removed ones included."""
        members = self.selection.saved((kind, name))
        if not self.gone.remains:
            return members
        text = self._bound_by(kind, name)
        if text is None:
            return members
        known = self._gone_bound.get((kind, name))
        if known is None or known[:2] != (text, self.gone.version):
            known = self._gone_bound[kind, name] = (text, self.gone.version, self.gone.select(parsed(text)))
        return members | known[2]

    def _bound_by(self, kind: str, name: str) -> str | None:
        policy = self.policy
        match kind:
            case "calendar" if name in policy.calendars:
                return policy.calendars[name].clusters
            case "freeze" if (freeze := policy.every_freeze.get(name)) is not None:
                return freeze.clusters
            case "law" if (law := policy.every_law.get(name)) is not None:
                return law.clusters
        return None
