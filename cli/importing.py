"""The changes of an import, as lines for people: losses first, then additions.

Each line can be understood alone, so that grep can find it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_ZONES_SHOWN_MAX = 20
_FIELDS = {
    "timezone": "time zone",
    "hours": "hours of the week",
    "exceptions": "hours on dates",
    "capacity": "capacity of a cluster",
}
_LABEL_WORDS = {"removed": "removed from", "changed": "changed on", "set": "set on"}
_PLACEMENT_WORDS = {"removed": "removed from", "other_release": "another release on", "added": "added to"}


def report_lines(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield the changes of an import to existing stores, the placements that move, and zones derived from places."""
    for key, counts in (report.get("labels") or {}).items():
        yield f"label {key}: {_counted(counts, _LABEL_WORDS, 'store')}"
    for name, count in (report.get("fields") or {}).items():
        yield f"{_FIELDS.get(name, name)}: changed on {_many(count, 'store')}"
    for application, counts in (report.get("placements") or {}).items():
        yield f"application {application}: {_counted(counts, _PLACEMENT_WORDS, 'cluster')}"
    zones = report.get("zones") or []
    for each in zones[:_ZONES_SHOWN_MAX]:
        yield f"time zone of {each.get('store')}: {each.get('timezone')} ({each.get('from')})"
    more = int(report.get("zones_count") or 0) - min(len(zones), _ZONES_SHOWN_MAX)
    if more > 0:
        yield f"time zones of {_many(more, 'more store')}: see -o json"


def _counted(counts: Mapping[str, Any], words: Mapping[str, str], what: str) -> str:
    return ", ".join(f"{said} {_many(counts[word], what)}" for word, said in words.items() if counts.get(word))


def _many(count: Any, what: str) -> str:
    return f"1 {what}" if count == 1 else f"{int(count):,} {what}s"
