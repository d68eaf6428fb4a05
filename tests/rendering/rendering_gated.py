"""A small fleet under freezes, calendars and law, and a clock that only goes on."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pyroaring import BitMap

from libs.contracts import (
    CalendarDeclared,
    CalendarWindow,
    FreezeDeclared,
    WeeklyWindow,
)
from libs.fleet import packed
from libs.gates import GATES
from services.rendering.asking.why import Why
from tests.support.renderer import Renderer, application, choose, namespace, store

KEY = "pos/pos-api"
FREEZE = FreezeDeclared(
    "black-friday", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "/c/*", "Black Friday", "operations"
)
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


async def fleet_of(count: int) -> Renderer:
    renderer = Renderer()
    renderer.facts(*(store(f"store-{number:03}", size="small") for number in range(count)))
    renderer.facts(namespace("pos"), application("pos-api", "pos"), renderer.release("pos-api", "pos", "1.0.0"))
    renderer.facts(renderer.release("pos-api", "pos", "2.0.0"), choose("pos-api", ("/c/*", "1.0.0")))
    await renderer.settle()
    return renderer


def nightly(name: str, opens: str, closes: str, **more: object) -> CalendarDeclared:
    window = CalendarWindow(weekly=WeeklyWindow(DAYS, opens, closes))
    return CalendarDeclared(name, [window], clusters="/c/*", **more)  # type: ignore[arg-type]  # mypy cannot tell which field each value is for


def ordinals_of(renderer: Renderer, *names: str) -> bytes:
    found = [renderer.model.fleet.selection.ordinal_ever(name) for name in names]
    return packed(BitMap([each for each in found if each is not None]))


async def at(renderer: Renderer, instant: datetime) -> None:
    """Move the clock, never back, and settle."""
    renderer.now = max(renderer.now, instant)
    await renderer.settle()


def why(renderer: Renderer, cluster: str) -> dict[str, Any]:
    ordinal = renderer.model.fleet.selection.ordinal_ever(cluster)
    assert ordinal is not None
    answer = Why(renderer.model, renderer.last.hold, ordinal, "pos-api", renderer.now).answer()
    assert [gate["gate"] for gate in answer["gates"]] == [gate.name for gate in GATES]
    return answer
