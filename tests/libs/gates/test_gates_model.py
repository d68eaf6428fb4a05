"""For every history: bitmaps say what the sentences say of each cluster, and nothing changes before it is said to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from libs.contracts import (
    CalendarDeclared,
    CalendarRemoved,
    CalendarWindow,
    FreezeDeclared,
    FreezeRemoved,
    LooseningConfirmed,
    LooseningWithheld,
    OverrideRequested,
    OverrideRevoked,
    OverrideStarted,
    StoreDeclared,
    StoreRemoved,
)
from libs.fleet import Fleet, packed
from libs.gates import Gates
from tests.libs.gates.gates_naive import Naive
from tests.libs.gates.gates_words import BY, DAYS, MICROSECOND, at, calendar, store, weekly, while_closed

START = at("2026-11-24T00:00")
NAMES = ["a", "b", "c", "d"]
ZONES = ["America/Chicago", "America/New_York", "Australia/Lord_Howe", "UTC"]
APPLICATIONS = ["pos", "signage", "lottery", ""]
EXPRESSIONS = ["/c/*", "size = large", "size = small"]
CLOCKS = ["00:00", "01:30", "06:00", "12:00", "20:00", "22:00"]
Event = Any

instants = st.integers(0, 6 * 24 * 2).map(lambda halves: START + timedelta(minutes=30 * halves))
some_applications = st.sampled_from([[], [], ["pos"], ["pos", "signage"]])
some_clusters = st.sets(st.integers(0, 3), min_size=1).map(lambda found: packed(BitMap(found)))


@st.composite
def stores(draw: st.DrawFn) -> StoreDeclared:
    hours = draw(st.sampled_from([None, ("06:00", "22:00"), ("12:00", "01:30")]))
    return store(
        draw(st.sampled_from(NAMES)),
        draw(st.sampled_from(ZONES)),
        hours=hours,
        size=draw(st.sampled_from(["large", "small"])),
    )


@st.composite
def windows(draw: st.DrawFn) -> CalendarWindow:
    if draw(st.booleans()):
        return while_closed(draw(st.sampled_from([0, 30])), draw(st.sampled_from([0, 60])))
    days = draw(st.lists(st.sampled_from(DAYS), min_size=1, unique=True))
    return weekly(draw(st.sampled_from(CLOCKS)), draw(st.sampled_from(CLOCKS)), *days)


@st.composite
def calendars(draw: st.DrawFn) -> CalendarDeclared:
    applications = draw(some_applications)
    clusters = draw(st.sampled_from([*EXPRESSIONS, *([None] if applications else [])]))
    name = draw(st.sampled_from(["one", "two", "three"]))
    found = draw(st.lists(windows(), max_size=2))
    return calendar(name, *found, clusters=clusters, applications=applications, require=draw(st.booleans()))


@st.composite
def freezes(draw: st.DrawFn) -> FreezeDeclared:
    begins = draw(instants)
    ends = begins + timedelta(hours=draw(st.integers(1, 60)))
    local = draw(st.booleans())
    shape = "%Y-%m-%dT%H:%M:%S" if local else "%Y-%m-%dT%H:%M:%SZ"
    return FreezeDeclared(
        draw(st.sampled_from(["one", "two"])),
        begins.strftime(shape),
        ends.strftime(shape),
        draw(st.sampled_from(EXPRESSIONS)),
        "reason",
        "owner",
        local=local,
        applications=draw(some_applications),
        new_clusters=draw(st.sampled_from(["pass", "hold"])),
    )


@st.composite
def overrides(draw: st.DrawFn) -> list[Event]:
    name = draw(st.sampled_from(["x", "y", "z"]))
    about = draw(st.sampled_from(["freeze", "calendar"]))
    begins = draw(instants)
    asked: dict[str, Any] = {about: draw(st.sampled_from(["one", "two", "three"]))}
    asked["applications"] = draw(some_applications)
    return [
        OverrideRequested(name, "", draw(some_clusters), "", 60, "reason", BY, **asked),
        OverrideStarted(name, begins, begins + timedelta(hours=draw(st.integers(1, 72)))),
    ]


@dataclass(frozen=True)
class Relabelled:
    """A store gets another size, and nothing else changes."""

    name: str
    size: str


several = st.one_of(
    st.builds(lambda name, size: [Relabelled(name, size)], st.sampled_from(NAMES), st.sampled_from(["large", "small"])),
    stores().map(lambda event: [event]),
    calendars().map(lambda event: [event]),
    freezes().map(lambda event: [event]),
    overrides(),
    st.sampled_from(NAMES).map(lambda name: [StoreRemoved(name)]),
    st.sampled_from(["one", "two", "three"]).map(lambda name: [CalendarRemoved(name)]),
    st.sampled_from(["one", "two"]).map(lambda name: [FreezeRemoved(name)]),
    st.sampled_from("xyz").map(lambda name: [OverrideRevoked(name, "", BY)]),
    st.builds(lambda name, clusters: [LooseningWithheld(name, clusters)], st.sampled_from("vw"), some_clusters),
    st.sampled_from("vw").map(lambda name: [LooseningConfirmed(name, "", BY)]),
)


@st.composite
def histories(draw: st.DrawFn) -> list[list[Event]]:
    """Chunks of events: all the stores and some documents first, then whatever comes."""
    begin = [
        store(
            name, draw(st.sampled_from(ZONES)), hours=("06:00", "22:00"), size=draw(st.sampled_from(["large", "small"]))
        )
        for name in NAMES
    ]
    documents = [draw(calendars()), draw(freezes()), *draw(overrides())]
    return [[*begin, *documents], *draw(st.lists(st.lists(several, min_size=1, max_size=4).map(_flat), max_size=4))]


def _flat(chunks: list[list[Event]]) -> list[Event]:
    return [event for chunk in chunks for event in chunk]


class Told:
    """Everything that gates say at an instant, to be compared."""

    def __init__(self, gates: Gates, now: datetime, first: BitMap) -> None:
        instant = gates.at(now)
        self.until = instant.until
        self.said = {
            (gate, application): (set(found.clusters), {name: set(where) for name, where in found.used.items()})
            for application in APPLICATIONS
            for gate, found in (
                ("freeze", instant.closed_by_freeze(application, first=first)),
                ("window", instant.closed_by_window(application, first=first)),
            )
        }


def naively(naive: Naive, now: datetime, first: BitMap) -> dict[tuple[str, str], Any]:
    said: dict[tuple[str, str], Any] = {}
    for application in APPLICATIONS:
        for gate, ask in (("freeze", naive.frozen), ("window", naive.shut)):
            closed, used = set(), dict[str, set[int]]()
            for cluster in naive.facts.stores:
                is_closed, openers = ask(application, cluster, now, first=cluster in first)
                if is_closed:
                    closed.add(cluster)
                for opener in openers:
                    used.setdefault(opener, set()).add(cluster)
            said[gate, application] = closed, used
    return said


def _fold(fleet: Fleet, naive: Naive, chunk: list[Event]) -> None:
    for each in chunk:
        event = each
        if isinstance(event, Relabelled):
            event = replace(naive.facts.stores[naive.ordinals[event.name]], labels={"size": event.size})
        if isinstance(event, OverrideStarted | OverrideRevoked) and event.id not in naive.overrides:
            continue
        fleet.assume(event)
        naive.take(event)


def _near(now: datetime) -> list[datetime]:
    return [now - MICROSECOND, now, now + MICROSECOND]


firsts = st.sets(st.integers(0, 3), max_size=2).map(BitMap)
patient = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@patient
@given(histories(), st.lists(instants, min_size=1, max_size=3), firsts)
def test_bitmaps_say_what_the_sentences_say(history: list[list[Event]], asked: list[datetime], first: BitMap) -> None:
    fleet, naive = Fleet(), Naive()
    known = Gates(fleet)
    for chunk in history:
        _fold(fleet, naive, chunk)
        for now in (each for one in asked for each in _near(one)):
            told = Told(known, now, first)
            assert told.said == naively(naive, now, first)
            assert told.until == Gates(fleet).at(now).until


@patient
@given(histories(), instants, firsts, st.lists(st.floats(0, 1), min_size=1, max_size=3))
def test_nothing_changes_before_it_is_said_to(
    history: list[list[Event]], begin: datetime, first: BitMap, parts: list[float]
) -> None:
    fleet, naive = Fleet(), Naive()
    for chunk in history:
        _fold(fleet, naive, chunk)
    known, now = Gates(fleet), begin
    for _ in range(4):
        told = Told(known, now, first)
        until = told.until
        if until is None:
            until = now + timedelta(days=30)
        assert until > now
        for between in (until - MICROSECOND, *(now + (until - now) * part for part in parts)):
            if now <= between < until:
                assert naively(naive, between, first) == told.said
        now = until


@patient
@given(histories(), instants, firsts, st.sampled_from(APPLICATIONS), st.integers(0, 3))
def test_one_cluster_is_explained_as_the_bitmaps_say(
    history: list[list[Event]], now: datetime, first: BitMap, application: str, cluster: int
) -> None:
    fleet, naive = Fleet(), Naive()
    for chunk in history:
        _fold(fleet, naive, chunk)
    gates, is_first = Gates(fleet), cluster in first
    instant = gates.at(now)

    frozen = instant.explain_freeze(application, cluster, is_first)
    shut = instant.explain_window(application, cluster, is_first)
    assert frozen.open == (cluster not in instant.closed_by_freeze(application, first=first).clusters)
    assert shut.open == (cluster not in instant.closed_by_window(application, first=first).clusters)

    def held(at: datetime) -> bool:
        return any(ask(application, cluster, at, first=is_first)[0] for ask in (naive.frozen, naive.shut))

    opens_at = instant.opens_at(application, cluster, first=is_first)
    assert instant.earliest(application, cluster, now, first=is_first)[0] == opens_at
    if frozen.open and shut.open:
        assert opens_at == now
    elif opens_at is not None:
        assert not held(opens_at)
        assert held(opens_at - MICROSECOND)
        at: datetime | None = now
        for _ in range(20):
            if at is None or at >= opens_at:
                break
            assert held(at)
            at = gates.next_change(at)


HALF_HOUR = timedelta(minutes=30)
"""Every edge of these histories is a multiple of it, on every clock."""
LOOKED_AT = 9 * 48


@patient
@given(histories(), instants, st.sampled_from(APPLICATIONS), st.integers(0, 3), st.booleans())
def test_the_earliest_instant_and_all_openings_are_what_stepping_through_the_gates_finds(
    history: list[list[Event]], now: datetime, application: str, cluster: int, is_first: bool
) -> None:
    fleet, naive = Fleet(), Naive()
    for chunk in history:
        _fold(fleet, naive, chunk)
    instant = Gates(fleet).at(now)
    steps = [now + HALF_HOUR * step for step in range(LOOKED_AT)]
    end = steps[-1] + HALF_HOUR

    def passes(at: datetime, *, first: bool) -> bool:
        return not any(ask(application, cluster, at, first=first)[0] for ask in (naive.frozen, naive.shut))

    opens, waits = instant.earliest(application, cluster, now, first=is_first)
    found = next((at for at in steps if passes(at, first=is_first)), None)
    assert found == (opens if opens is not None and opens < end else None)
    assert bool(waits) == (opens != now)

    openings, _ = instant.open_for(application, cluster, now, end)
    told = [at for at in steps if any(begins <= at and (ends is None or at < ends) for begins, ends in openings)]
    assert told == [at for at in steps if passes(at, first=False)]
