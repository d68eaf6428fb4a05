"""The changes of an import, as its answer and its dry run show them.

Removals come before additions, each by name: label, field, application.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from libs.access.effects import Before
from libs.contracts import ClusterSpec
from libs.contracts.meaning import counted
from libs.contracts.problems import Problem
from libs.fleet.fuse import fuse_trips
from libs.fleet.moving import moved
from services.inventory.events import StoreDeclared

_ZONES_SHOWN_MAX = 1_000
VALUES_SHOWN_MAX = 20
APPLICATIONS_NAMED_MAX = 5
_PLAIN = tuple(each.name for each in fields(StoreDeclared) if each.name not in {"name", "labels", "clusters"})
"""The fields that are reported as changed or not; for labels each key, for clusters their capacity."""
_DIFFERENCES = ("removed", "changed", "set")


@dataclass(slots=True)
class ChangeReport:
    """Counts the changes of rows to existing stores, and the placements that move.

    `meant` are zones that never change their clocks, each with the zone that is most likely meant.
    """

    meant: Mapping[str, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=lambda: Counter(created=0, configured=0, unchanged=0))
    labels: dict[str, Counter[str]] = field(default_factory=dict)
    fields: Counter[str] = field(default_factory=Counter)
    zones: list[dict[str, Any]] = field(default_factory=list)
    zones_count: int = 0
    placements: dict[str, dict[str, int]] = field(default_factory=dict)
    removed: int = 0
    placed: int = 0
    never_changing: Counter[str] = field(default_factory=Counter)

    def store(self, before: StoreDeclared | None, after: StoreDeclared) -> None:
        """Count the changes of one row to its store."""
        word = "created" if before is None else "unchanged" if before == after else "configured"
        self.counts[word] += 1
        if (before is None or before.timezone != after.timezone) and after.timezone in self.meant:
            self.never_changing[after.timezone] += 1
        if before is None or before == after:
            return
        if before.labels != after.labels:
            for key in before.labels.keys() | after.labels.keys():
                was, now = before.labels.get(key), after.labels.get(key)
                if was != now:
                    self._label(key)["set" if was is None else "removed" if now is None else "changed"] += 1
        for name in _PLAIN:
            self.fields[name] += getattr(before, name) != getattr(after, name)
        self.fields["capacity"] += _capacities(before.clusters) != _capacities(after.clusters)

    def zone(self, row: int, store: str, zone: str, source: str) -> None:
        """Record a time zone that was derived from a place."""
        self.zones_count += 1
        if len(self.zones) < _ZONES_SHOWN_MAX:
            self.zones.append({"row": row, "store": store, "timezone": zone, "from": source})

    def moves(self, change: Before, at: datetime) -> None:
        """Count the placements that the change moves."""
        for each, had in moved(change.before, change.after, at):
            self.placed += had
            self.removed += len(each.removed)
            if each:
                self.placements[each.application] = {
                    "removed": len(each.removed),
                    "other_release": len(each.other_release),
                    "added": len(each.added),
                }

    @property
    def asks(self) -> bool:
        """Whether it removes so many placements that somebody must confirm it."""
        return fuse_trips(self.removed, 0, self.placed)

    def body(self, unusual: Sequence[str]) -> dict[str, Any]:
        """Return the answer's members; `unusual` are sentences about cells."""
        labels = {key: {word: self.labels[key][word] for word in _DIFFERENCES} for key in sorted(self.labels)}
        warned = [
            f"the zone {zone} of {counted(count, 'store')} never changes its clocks; is {self.meant[zone]} meant?"
            for zone, count in sorted(self.never_changing.items())
        ]
        return {
            **self.counts,
            "labels": labels,
            "fields": {name: count for name, count in sorted(self.fields.items()) if count},
            "placements": self.placements,
            "zones": self.zones,
            "zones_count": self.zones_count,
            "needs_confirmation": self.asks,
            "warnings": [*warned, *unusual],
        }

    def question(self, body: dict[str, Any]) -> Problem:
        """Return the 409 that asks for a confirmation."""
        losing = sorted(
            ((each["removed"], name) for name, each in self.placements.items() if each["removed"]), reverse=True
        )
        named = ", ".join(f"{name} from {count:,}" for count, name in losing[:APPLICATIONS_NAMED_MAX])
        rest = f" and {len(losing) - APPLICATIONS_NAMED_MAX} more" if len(losing) > APPLICATIONS_NAMED_MAX else ""
        return Problem(
            409,
            "needs-confirmation",
            "The import removes many placements, so it needs a confirmation.",
            f"it would remove {self.removed:,} of {self.placed:,} placements: {named}{rest}",
            fix="check it with ?dry_run=true; send it again with ?confirmed=true if this is intended",
            extra={"removed": self.removed, "placed": self.placed, "report": body},
        )

    def _label(self, key: str) -> Counter[str]:
        return self.labels.setdefault(key, Counter())


def _capacities(clusters: Sequence[ClusterSpec]) -> list[tuple[str, dict[str, str]]]:
    return [(each.name, each.capacity) for each in clusters]


def unusual_values(found: dict[tuple[str, str], str]) -> list[str]:
    """Return a sentence for each label value that looks like a number, but is text to every comparison."""
    sentences = [
        f"label {column}: {value!r} is text, not a number, to expressions: {why}"
        for (column, value), why in sorted(found.items())[:VALUES_SHOWN_MAX]
    ]
    rest = len(found) - VALUES_SHOWN_MAX
    return [*sentences, f"{rest} more values look like numbers but are text"] if rest > 0 else sentences
