"""The words in which tests of the gates speak: a small fleet, its documents and its overrides."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from pyroaring import BitMap

from libs.contracts import (
    CalendarDeclared,
    CalendarWindow,
    ClosedWindow,
    ClusterSpec,
    FreezeDeclared,
    OpeningHours,
    OverrideRequested,
    OverrideStarted,
    PlacementPolicyDeclared,
    StoreDeclared,
    WeeklyWindow,
)
from libs.contracts.authors import By
from libs.fleet import Fleet, packed
from libs.gates import Gates, Instant

NOBODY = BitMap()
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
MICROSECOND = timedelta(microseconds=1)
BY = By("ana@example.com")
CHICAGO, NEW_YORK, BERLIN = "America/Chicago", "America/New_York", "Europe/Berlin"


def at(text: str) -> datetime:
    """An instant in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def store(name: str, zone: str = CHICAGO, *, hours: tuple[str, str] | None = None, **labels: str) -> StoreDeclared:
    """A store whose one cluster has its name."""
    opening = [] if hours is None else [OpeningHours(DAYS, *hours)]
    return StoreDeclared(name, zone, dict(labels), opening, [ClusterSpec(name)])


def weekly(opens: str, closes: str, *days: str) -> CalendarWindow:
    return CalendarWindow(weekly=WeeklyWindow(list(days) or DAYS, opens, closes))


def while_closed(after: int = 0, before: int = 0) -> CalendarWindow:
    return CalendarWindow(closed=ClosedWindow(after, before))


def calendar(name: str, *windows: CalendarWindow, clusters: str | None = "/c/*", **more: Any) -> CalendarDeclared:
    return CalendarDeclared(name, list(windows), clusters=clusters, **more)


def freeze(name: str, begins: str, ends: str, clusters: str = "/c/*", **more: Any) -> FreezeDeclared:
    return FreezeDeclared(name, begins, ends, clusters, f"reason of {name}", "operations", **more)


def law(name: str, begins: datetime | None, ends: datetime | None) -> PlacementPolicyDeclared:
    return PlacementPolicyDeclared(name, ["lottery"], "/c/*", "Code 76", begins, ends)


def override(fleet: Fleet, name: str, clusters: list[str], begins: datetime, ends: datetime, **asked: Any) -> None:
    """Ask for an override and start it."""
    ordinals = BitMap([ordinal(fleet, each) for each in clusters])
    minutes = (ends - begins) / timedelta(minutes=1)
    fleet.assume(OverrideRequested(name, "digest", packed(ordinals), "", minutes, f"reason of {name}", BY, **asked))
    fleet.assume(OverrideStarted(name, begins, ends, ["bo@example.com"]))


def fleet_of(*events: Any) -> Fleet:
    fleet = Fleet()
    for event in events:
        fleet.assume(event)
    return fleet


def ordinal(fleet: Fleet, name: str) -> int:
    found = fleet.selection.ordinal_ever(name)
    assert found is not None
    return found


def names(fleet: Fleet, clusters: BitMap) -> set[str]:
    return {fleet.selection.name(each) for each in clusters}


def frozen(fleet: Fleet, now: datetime, application: str = "pos", first: BitMap = NOBODY) -> set[str]:
    """The clusters on which a freeze keeps an application back."""
    return names(fleet, gates(fleet, now).closed_by_freeze(application, first=first).clusters)


def closed(fleet: Fleet, now: datetime, application: str = "pos", first: BitMap = NOBODY) -> set[str]:
    """The clusters on which calendars keep an application back."""
    return names(fleet, gates(fleet, now).closed_by_window(application, first=first).clusters)


def gates(fleet: Fleet, now: datetime) -> Instant:
    return Gates(fleet).at(now)
