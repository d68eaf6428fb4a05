"""Under a freeze on all clusters no event of any published type changes the tree: there is no second door."""

from __future__ import annotations

import pytest

from libs import contracts as c
from tests.support.every_event import CASES, OURS, frozen


def test_every_published_type_has_its_case() -> None:
    published = set(c.event_types().values())
    assert published - OURS == set(CASES)


@pytest.mark.parametrize("event_type", CASES, ids=lambda each: each.__name__)
async def test_no_event_changes_the_tree_under_a_freeze(event_type: type) -> None:
    renderer = await frozen()
    before = renderer.model.clusters_tree
    assert before is not None

    events = CASES[event_type](renderer)
    assert event_type in {type(event) for event in events}
    renderer.facts(*events)
    await renderer.settle()
    renderer.restart()
    await renderer.settle()

    assert renderer.model.clusters_tree == before


async def test_the_same_events_change_it_without_the_freeze() -> None:
    """The cases are no straw men: most of them change the tree where nothing is frozen."""
    changing = set()
    for event_type, case in CASES.items():
        renderer = await frozen()
        renderer.facts(c.FreezeRemoved("all"))
        await renderer.settle()
        before = renderer.model.clusters_tree
        renderer.facts(*case(renderer))
        renderer.facts(c.FreezeRemoved("more"), c.CalendarRemoved("night"))
        await renderer.settle()
        if renderer.last.hold is not None or renderer.model.clusters_tree != before:
            changing.add(event_type)
    assert len(changing) >= len(CASES) * 3 // 4
