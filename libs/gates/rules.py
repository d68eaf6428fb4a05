"""Rules that close a gate at one instant and overrides that open it, as bitmaps, combined for an application.

Every rule must be open; an override opens only the rule that it names, only on its clusters.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from pyroaring import BitMap

if TYPE_CHECKING:
    from libs.fleet import Override


@dataclass(frozen=True, slots=True)
class Closed:
    """Where a gate is closed for an application, and which overrides opened it elsewhere.

    If two overrides open the same rule, both are `used`. `people` approved what passes, each with where; `until` is
    when some of `clusters` pass although the gate itself does not change then. Shared between applications: never
    change it.
    """

    clusters: BitMap = field(default_factory=BitMap)
    used: Mapping[str, BitMap] = field(default_factory=dict)
    people: Mapping[str, BitMap] = field(default_factory=dict)
    until: datetime | None = None

    def among(self, clusters: BitMap) -> Closed:
        """Return it limited to some clusters."""
        used = {each: here for each, where in self.used.items() if (here := where & clusters)}
        people = {each: here for each, where in self.people.items() if (here := where & clusters)}
        return Closed(self.clusters & clusters, used, people, self.until)


@dataclass(frozen=True, slots=True)
class GateRule:
    """One freeze, or one level of calendars: `closed` ignores overrides; each override opens a part of it.

    `applications` limit it (none: all); `passes_first`: a cluster's first admission passes.
    """

    closed: BitMap
    opened: Sequence[tuple[Override, BitMap]] = ()
    applications: Sequence[str] = ()
    passes_first: bool = True


def covers(override: Override, application: str) -> bool:
    """Whether an override is for an application."""
    return not override.request.applications or application in override.request.applications


def combined(rules: Iterable[GateRule], application: str, first: BitMap) -> Closed:
    """Combine rules for an application."""
    closed, used = BitMap(), dict[str, BitMap]()
    for rule in rules:
        if not rule.closed or (rule.applications and application not in rule.applications):
            continue
        left = rule.closed - first if rule.passes_first and first else rule.closed
        kept = left
        for override, where in rule.opened:
            opened = where & left
            if opened and covers(override, application):
                kept = kept - opened
                used[override.request.id] = used.get(override.request.id, BitMap()) | opened
        closed = closed | kept
    if closed:
        used = {each: open_now for each, where in used.items() if (open_now := where - closed)}
    return Closed(closed, used)
