"""However a fleet grows and shrinks after its first admission, the log alone gives the same commits and views.

After every step a model folds the whole log, one begins cold and plans, and one goes on from a snapshot of each earlier
step: all of them must say the same as the renderer that lived through it.
"""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from libs.contracts import (
    ClusterSpec,
    Event,
    FreezeDeclared,
    GroupDeclared,
    LayoutChosen,
    RemovalsConfirmed,
    StoreDeclared,
    StoreRemoved,
)
from services.rendering.deciding.plan import plan
from services.rendering.model import Model
from services.rendering.snapshot import dump_model, load_model
from services.rendering.writing.layout import NEWEST, OLDEST
from tests.support.described import described, targets
from tests.support.renderer import Renderer, application, choose, namespace, replay, store

EXPRESSIONS = ["/c/a-0", "size = s", "not size = s", "/g/geo/us", "none", "/c/*"]
SIZES = [1, 1, 2, 5, 30, 63, 64, 65, 128, 129, 500]


class Growing:
    """A fleet that begins with one store, and grows, shrinks and comes back by any number of clusters."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.renderer = Renderer(layouts=seed % 2 == 0)
        self.count = 1
        self.gone: list[str] = []
        self.live = ["a-0"]
        self.renderer.facts(store("a-0", size="s"), GroupDeclared("/geo/us", expression="size = m"))
        for home, text in (("pos", "/c/a-0"), ("menu", "size = s")):
            self.renderer.facts(namespace(home, text), application(f"{home}-app", home))
            self.renderer.facts(self.renderer.release(f"{home}-app", home, "1.0.0"))
            self.renderer.facts(choose(f"{home}-app", ("/c/*", "1.0.0")))

    def facts(self) -> list[Event]:
        draw = self.random
        grow, shrink, back, other = (draw.random() < share for share in (0.6, 0.3, 0.3, 0.5))
        found: list[Event] = []
        if grow:
            number = draw.choice(SIZES)
            new = [f"a-{self.count + place}" for place in range(number)]
            self.count += number
            self.live += new
            found += [store(name, size=draw.choice(["s", "m", "l"])) for name in new]
        if shrink and len(self.live) > 1:
            leaving = draw.sample(self.live, draw.randint(1, min(40, len(self.live) - 1)))
            self.live = [name for name in self.live if name not in leaving]
            self.gone += leaving
            found += [StoreRemoved(name) for name in leaving]
        if back and self.gone:
            returning = draw.sample(self.gone, draw.randint(1, min(40, len(self.gone))))
            self.gone = [name for name in self.gone if name not in returning]
            self.live += returning
            found += [store(name, size=draw.choice(["s", "m"])) for name in returning]
        if other:
            found.append(self._declared())
        return found

    def _declared(self) -> Event:
        draw = self.random
        home = draw.choice(["pos", "menu"])
        kitchen = [ClusterSpec(f"kitchen-{draw.randint(0, 3)}", {"role": "k"})]
        choices: list[Event] = [
            namespace(home, draw.choice(EXPRESSIONS), owner=draw.choice("ab")),
            application(f"{home}-app", home, draw.choice([None, *EXPRESSIONS])),
            choose(f"{home}-app", (draw.choice(EXPRESSIONS), "1.0.0")),
            StoreDeclared("kitchens", "America/Denver", {"size": "s"}, [], kitchen),
            FreezeDeclared(
                "f", "2026-01-01T00:00:00Z", f"2026-01-0{draw.randint(2, 9)}T00:00:00Z", "size = m", "r", "o"
            ),
        ]
        return draw.choice(choices)

    async def step(self) -> None:
        for event in self.facts():
            self.renderer.record(event)
        model = self.renderer.model
        if not self.renderer.layouts and model.layout < NEWEST.code and self.random.random() < 0.3:
            self.renderer.record(LayoutChosen("main", max(model.layout, OLDEST.code) + 1), "layout-main")
        self.renderer.now += timedelta(minutes=self.random.choice([0, 1, 70]))
        if self.random.random() < 0.8:
            await self.renderer.step()
        hold = self.renderer.last.hold
        if hold is not None and self.random.random() < 0.5:
            self.renderer.record(RemovalsConfirmed("main", hold.plan), "hold-main")
            await self.renderer.step()


async def gone_on(renderer: Renderer, snapshot: bytes) -> Model:
    """Return a model that starts from a snapshot and folds the rest of the log, as a new process does."""
    model = Model(renderer.blobs.get)
    load_model(model, snapshot)
    await replay(renderer.history[model.position :], renderer.blobs, model)
    return model


@pytest.mark.parametrize("seed", range(6))
async def test_a_fleet_that_grows_after_its_first_admission_is_folded_alike_from_everywhere(seed: int) -> None:
    growing = Growing(seed)
    renderer = growing.renderer
    await renderer.step()
    snapshots = [dump_model(renderer.model)]

    for _ in range(12):
        await growing.step()
        expected = described(renderer.model)

        cold, commits = await replay(renderer.history, renderer.blobs)
        assert described(cold) == expected
        assert commits == renderer.commits
        warm = [await gone_on(renderer, snapshot) for snapshot in snapshots]
        assert all(described(each) == expected for each in warm)

        planned = await plan(renderer.model, renderer.now)
        for model in (cold, *warm):
            again = await plan(model, renderer.now)
            assert targets(model) == targets(renderer.model)
            assert (again.applications, again.namespaces, again.clusters) == (
                planned.applications,
                planned.namespaces,
                planned.clusters,
            )
            assert again.layouts == planned.layouts
        snapshots.append(dump_model(renderer.model))
    assert len(set(renderer.commits)) > 2


async def test_stores_that_no_namespace_selects_are_folded_after_an_admission() -> None:
    """The smallest history that once ended in an index beyond an array, each way of starting again."""
    renderer = Renderer()
    renderer.facts(store("a-0"), namespace("pos", "/c/a-0"), application("app", "pos"))
    renderer.facts(renderer.release("app", "pos", "1.0.0"), choose("app", ("/c/*", "1.0.0")))
    await renderer.settle()
    before = dump_model(renderer.model)
    renderer.facts(*(store(f"b-{number}") for number in range(70)))
    await renderer.settle()

    cold, commits = await replay(renderer.history, renderer.blobs)
    assert commits == renderer.commits
    assert described(cold) == described(renderer.model) == described(await gone_on(renderer, before))
