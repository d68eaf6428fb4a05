"""A fork shares nothing that either side changes, and a snapshot is the whole model, whatever has happened to it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pytest
from pyroaring import BitMap

from libs.contracts import ClusterSpec, LooseningConfirmed, Recorded, StoreDeclared, type_name
from libs.eventlog import EventLog
from libs.fleet import Fleet, FleetColumn, Policy
from libs.fleet.model import FleetModel
from libs.fleet.parts import GONE, PARTS
from libs.fleet.snapshots import dump_fleet, load_fleet
from libs.fleet.state import dump_parts
from libs.selection import Gone, Selection
from services.rendering.model import Model
from services.rendering.snapshot import dump_model, load_model
from tests.support.every_event import CASES, frozen
from tests.support.renderer import Renderer

OUTSIDE = {"blob", "extent"}
"""What is no part of a fleet's state: where bodies are read, and how long columns are, which is told by the names."""
SAVED_WORK = {"_gone_bound", "_layers", "_speaking", "current", "_facts", "gates", "inputs", "_shared", "_code"}
"""Attributes that only save work, and may begin empty."""


async def everything() -> Renderer:
    """A renderer to which an event of every type has happened, but for those that take all of a kind away."""
    renderer = await frozen()
    for case in CASES.values():
        for event in case(renderer):
            if not type(event).__name__.endswith("Removed") and not isinstance(event, LooseningConfirmed):
                renderer.record(event)
    return renderer


def differences(one: Any, other: Any, path: str = "") -> list[str]:
    """Return where two models differ, by walking everything that they hold."""
    inside = children(one)
    if isinstance(one, int | float) and one == other:
        return []  # JSON does not tell 24 from 24.0
    if type(one) is not type(other) or (inside is None and not same(one, other)):
        return [f"{path}: {one!r} is {other!r}"]
    if inside is None:
        return []
    others = children(other) or {}
    if list(inside) != list(others):
        return [f"{path}: {list(inside)} is {list(others)}"]
    return [each for name, it in inside.items() for each in differences(it, others[name], f"{path}/{name}")]


def same(one: Any, other: Any) -> bool:
    if isinstance(one, Selection):
        return bool(one.dump() == other.dump())
    if isinstance(one, np.ndarray):
        return bool(one.dtype == other.dtype and np.array_equal(one, other))
    return bool(one == other)


def children(it: Any) -> dict[Any, Any] | None:
    """Return what a thing consists of by name, or nothing where it is compared as a whole."""
    match it:
        case Selection() | BitMap() | str() | set() | frozenset():
            return None
        case FleetColumn():
            return {"values": it.values, "fill": it.fill}
        case dict():
            return it
        case list() | tuple() | deque():
            return dict(enumerate(it))
    named = [name for base in type(it).__mro__ for name in base.__dict__.get("__slots__", ())]
    named += getattr(it, "__dict__", {})
    kept = [name for name in named if name not in OUTSIDE | SAVED_WORK]
    return {name: getattr(it, name) for name in kept} or None


def test_a_fleet_has_no_attribute_beside_its_declared_parts() -> None:
    fleet = Fleet()
    assert {name for each in Fleet.__mro__ for name in getattr(each, "__slots__", ())} == OUTSIDE | set(PARTS)
    with pytest.raises(AttributeError):
        fleet.undeclared = 1  # type: ignore[attr-defined]  # that there is none is the test


def test_what_is_known_of_deleted_clusters_is_declared_whole() -> None:
    assert {each.name for each in fields(Gone)} == set(GONE)


async def test_a_snapshot_of_a_fleet_holds_all_that_has_happened() -> None:
    fleet = (await everything()).model.fleet
    twin = Fleet(fleet.blob)
    load_fleet(twin, dump_fleet(fleet))

    assert differences(fleet, twin) == []
    empty = [each.name for each in fields(Policy) if not getattr(fleet.policy, each.name)]
    assert empty == [], "the comparison would be of empty things"


async def test_a_snapshot_of_the_renderer_holds_all_that_has_happened() -> None:
    renderer = await everything()
    await renderer.step()
    model = renderer.model
    twin = Model(renderer.blobs.get)
    load_model(twin, dump_model(model))
    model.sharing.clear()  # a cache, which begins empty

    assert differences(model, twin) == []
    assert model.trees.registered
    assert model.placements.admissions


@pytest.mark.parametrize("event_type", CASES, ids=lambda each: each.__name__)
async def test_what_happens_to_a_fork_does_not_happen_to_the_fleet_nor_the_other_way_round(event_type: type) -> None:
    renderer = await frozen()
    fleet = renderer.model.fleet
    fleet.take_touched()
    before = state_of(fleet)
    twin, untouched = fleet.fork(), fleet.fork()
    assert differences(fleet, twin) == []

    for event in CASES[event_type](renderer):
        twin.assume(event)
    assert state_of(fleet) == before
    assert differences(fleet, untouched) == []

    for event in CASES[event_type](renderer):
        renderer.record(event)
    fleet.take_touched()
    assert state_of(untouched) == before
    assert state_of(fleet) != before or not says_something_of_the_fleet(twin, untouched)


def state_of(fleet: Fleet) -> Mapping[str, Any]:
    """Return the state, without where in the log it is."""
    return {name: plain for name, plain in dump_parts(fleet, PARTS).items() if name not in {"position", "now"}}


def says_something_of_the_fleet(after: Fleet, before: Fleet) -> bool:
    after.take_touched()
    return state_of(after) != state_of(before)


async def test_a_fleet_that_follows_the_log_does_not_grow_by_what_changed_and_changed_back() -> None:
    at, sizes = datetime(2026, 1, 1, tzinfo=UTC), []
    model = FleetModel(EventLog.open("sqlite://", clock=lambda: at))
    for start in (0, 1_024, 2_048):
        events = []
        for position in range(start + 1, start + 1_025):
            store = f"s-{position % 4}"
            event = StoreDeclared(
                store, "UTC", {"size": f"v{position % 8}"}, [], [ClusterSpec(f"c-{position // 4 % 2}")]
            )
            name, digest = type_name(event), position.to_bytes(32, "big")
            events.append(Recorded(position, "epoch", f"store-{store}", position, name, at, "ana", event, digest))
        await model.handle(events)
        sizes.append(len(msgspec.msgpack.encode(dump_fleet(model.fleet))))
    assert max(sizes) - min(sizes) < 200, sizes
