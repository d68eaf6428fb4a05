"""The gates of a whole fleet, in memory: what is closed for every application at an instant, and when that changes.

Warm: the gates were asked before, at an earlier instant. Cold: nothing is known yet, as after a restart.
"""

from __future__ import annotations

import gc
import os
import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from pyroaring import BitMap

from libs.contracts import (
    CalendarDeclared,
    CalendarWindow,
    ClosedWindow,
    ClusterSpec,
    Exclusion,
    FreezeDeclared,
    HoursException,
    LooseningWithheld,
    OpeningHours,
    OverrideRequested,
    OverrideStarted,
    PlacementPolicyDeclared,
    RecurringWindow,
    StoreDeclared,
    WeeklyWindow,
)
from libs.contracts.authors import By
from libs.fleet import Fleet, packed
from libs.gates import Gates

FIGURES = ("gates", "gates-next")
SCALE = float(os.environ.get("RESEDGE_BENCH_SCALE", "1"))
STORES = max(100, int(60_000 * SCALE))
APPLICATIONS = 25
HOURS = 40
ROUNDS = 48 * 9
NOW = datetime(2026, 11, 25, 3, 7, tzinfo=UTC)
STEP = timedelta(minutes=30)
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
ZONES = (
    *("America/" + city for city in ("New_York", "Chicago", "Denver", "Phoenix", "Los_Angeles", "Anchorage", "Boise")),
    *("America/" + city for city in ("Detroit", "Toronto", "Winnipeg", "Edmonton", "Vancouver", "Halifax", "St_Johns")),
    *("America/" + city for city in ("Mexico_City", "Puerto_Rico", "Sao_Paulo", "Bogota")),
    *("Europe/" + city for city in ("London", "Dublin", "Paris", "Berlin", "Madrid", "Helsinki")),
    *("Asia/Tokyo", "Asia/Seoul", "Asia/Kolkata", "Australia/Sydney", "Australia/Adelaide", "Pacific/Honolulu"),
)

Figure = dict[str, Any]


def hours(number: int) -> list[OpeningHours]:
    """Return one of the distinct opening hours: weekdays and, other than these, weekends."""
    opens, closes = 6 + number % 5, 19 + number // 5 % 4
    minutes = 30 * (number // 20 % 2)
    return [
        OpeningHours(DAYS[:5], f"{opens:02}:{minutes:02}", f"{closes:02}:00"),
        OpeningHours(DAYS[5:], f"{opens + 1:02}:00", f"{closes - 1:02}:30"),
    ]


def fleet() -> Fleet:
    """Return the fleet with its calendars, freezes, laws, overrides and withheld changes."""
    rng = random.Random(5)
    found = Fleet()
    for number in range(STORES):
        labels = {
            "size": rng.choice(["small", "large", "xl"]),
            "state": f"s{number % 50}",
            "owner": rng.choice(["corporate", "franchise"]),
        }
        zone = ZONES[rng.randrange(len(ZONES))]
        name, code = f"s{number:05}", rng.randrange(HOURS)
        holidays = [HoursException("2026-11-26"), HoursException("2026-12-25", "08:00", "14:00")] if code % 2 else []
        found.assume(StoreDeclared(name, zone, dict(labels), hours(code), [ClusterSpec(name)], holidays))
    for document in (*calendars(), *freezes(), *laws()):
        found.assume(document)
    for number in range(4):
        clusters = packed(BitMap(rng.sample(range(STORES), STORES // 200)))
        about: dict[str, Any] = {"calendar": "night-0"} if number % 2 else {"freeze": "migration"}
        asked = ["app-1"] if number == 3 else []
        name, by = f"o{number}", By("ana@example.com")
        found.assume(OverrideRequested(name, "", clusters, "", 240, "r", by, applications=asked, **about))
        found.assume(OverrideStarted(name, NOW, NOW + timedelta(hours=4 + number)))
    for number in range(2):
        found.assume(LooseningWithheld(f"w{number}", packed(BitMap(rng.sample(range(STORES), STORES // 100)))))
    return found


def calendars() -> Iterator[CalendarDeclared]:
    """Return ten calendars: weekly, recurring, by opening hours; two of them of applications."""
    owners = ("owner = corporate", "owner = franchise", "size = xl")
    for number, where in enumerate(owners):
        weekly = CalendarWindow(weekly=WeeklyWindow(DAYS[:4], f"0{number + 1}:00", "05:00"))
        yield CalendarDeclared(f"night-{number}", [weekly], [Exclusion("2026-12-24", "2026-12-27")], where)
    for number, where in enumerate(owners):
        closed = CalendarWindow(closed=ClosedWindow(30 + 15 * number, 60))
        yield CalendarDeclared(f"closed-{number}", [closed], [], where, cutoff_minutes=15)
    for number, where in enumerate(("state = s7", "state in (s1, s2, s3)")):
        sundays = CalendarWindow(recurring=RecurringWindow("FREQ=WEEKLY;BYDAY=SU", f"2{number}:00", 240))
        yield CalendarDeclared(f"sundays-{number}", [sundays], [], where)
    yield CalendarDeclared("pos", [CalendarWindow(closed=ClosedWindow())], [], None, ["app-1", "app-2"])
    monthly = CalendarWindow(recurring=RecurringWindow("FREQ=MONTHLY;BYDAY=2TU", "01:00", 180))
    yield CalendarDeclared("signage", [monthly], [], "size = large", ["app-3"])


def freezes() -> Iterator[FreezeDeclared]:
    """Return three freezes, one of them by the stores' clocks."""
    yield FreezeDeclared("black-friday", "2026-11-27T00:00:00", "2026-12-01T00:00:00", "/c/*", "r", "o", local=True)
    span = "2026-11-20T00:00:00Z", "2026-12-20T00:00:00Z"
    yield FreezeDeclared("migration", *span, clusters="state in (s4, s5)", reason="r", owner="o")
    where, pos = "owner = franchise", ["app-4"]
    yield FreezeDeclared("audit", *span, clusters=where, reason="r", owner="o", applications=pos, new_clusters="hold")


def laws() -> Iterator[PlacementPolicyDeclared]:
    """Return three laws, of which some begin or end."""
    for number in range(3):
        begins, ends = NOW - timedelta(days=200), None if number == 0 else NOW + timedelta(days=number)
        yield PlacementPolicyDeclared(f"law-{number}", [f"app-{number}"], f"state = s{number}", "Code", begins, ends)


def _milliseconds(ask: Callable[[], object]) -> float:
    started = time.perf_counter()
    ask()
    return (time.perf_counter() - started) * 1e3


def _all(gates: Gates, now: datetime, first: BitMap) -> None:
    instant = gates.at(now)
    for number in range(APPLICATIONS):
        instant.closed_by_freeze(f"app-{number}", first=first)
        instant.closed_by_window(f"app-{number}", first=first)


def closed(found: Fleet) -> Iterator[Figure]:
    """Freeze and window of every application, at one instant after the other through nine days."""
    gates, first = Gates(found), BitMap(range(0, STORES, 97))
    cold = _milliseconds(lambda: _all(gates, NOW, first))
    taken = sorted(_milliseconds(partial(_all, gates, NOW + STEP * n, first)) for n in range(1, ROUNDS + 1))
    again = _milliseconds(lambda: _all(gates, NOW + STEP * ROUNDS, first))
    name = f"gates of {STORES:,} stores x {APPLICATIONS}"
    yield _figure(f"{name}, half an hour later, median of nine days", taken[ROUNDS // 2], "ms", 50)
    yield _figure(f"{name}, half an hour later, p99 of nine days", taken[ROUNDS * 99 // 100], "ms", 50)
    yield _figure(f"{name}, the same instant again", again, "ms", 50)
    yield _figure(f"{name}, cold", cold, "ms", None)


def following(found: Fleet) -> Iterator[Figure]:
    """The next instant at which any gate changes."""
    gates = Gates(found)
    cold = _milliseconds(lambda: gates.next_change(NOW))
    taken = sorted(_milliseconds(partial(gates.next_change, NOW + STEP * n)) for n in range(1, ROUNDS + 1))
    name = f"the next instant at which a gate of {STORES:,} stores changes"
    yield _figure(f"{name}, cold", cold / 1e3, "s", 1)
    yield _figure(f"{name}, half an hour later, slowest of nine days", taken[-1] / 1e3, "s", 1)


def _figure(name: str, value: float, unit: str, target: float | None) -> Figure:
    return {"name": name, "value": round(value, 4), "unit": unit, "target": target, "baseline": None, "ratio": None}


SCENARIOS = {"gates": closed, "gates-next": following}


def run(names: tuple[str, ...] = FIGURES) -> Iterator[Figure]:
    """Measure the named scenarios on one fleet."""
    found = fleet()
    # As a server does when it is ready: what stays for good is not looked through again and again.
    gc.collect()
    gc.freeze()
    for name in names:
        yield from SCENARIOS[name](found)
