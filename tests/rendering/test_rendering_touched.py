"""A plan looks only at what a change can concern; looking at everything anew finds nothing else.

Facts of every kind come at random, capacity and refusals among them; after each step a twin evaluates every placement
on every cluster, and must want, refuse and wait for the same.
"""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest

from libs.contracts import (
    ApplicationRemoved,
    ConfigurationDeclared,
    ConfigurationRemoved,
    Event,
    NamespaceRemoved,
    RemovalsConfirmed,
    StoreRemoved,
)
from services.rendering.deciding.plan import plan
from services.rendering.model import Model
from services.rendering.snapshot import dump_model, load_model
from tests.support.described import targets
from tests.support.renderer import Renderer, application, choose, namespace, store

STORES, HOMES, SIZES = 12, ("menu", "pos", "till"), ("s", "m", "l")
EXPRESSIONS = ("/c/*", "size = s", "size in (m, l)", "not size = s", "/c/a-1", "none", "/n/pos or size = l")
CPU = ("", "1", "2", "3")
PICKY = """\
apiVersion: v1
kind: ConfigMap
metadata: {name: NAME}
data: {level: "${edge.config.level}", size: "${edge.labels.size}"}
"""


class Declaring:
    """Declares, changes and removes whatever a target follows from."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.renderer = Renderer()
        self.renderer.facts(*(self.store(number) for number in range(STORES)))
        for home in HOMES:
            for version, manifest in (("1.0.0", PICKY), ("2.0.0", PICKY.replace("config.level", "config.other:-x"))):
                self.renderer.facts(self.renderer.release(f"{home}-app", home, version, manifest))
            self.renderer.facts(self.namespace(home), application(f"{home}-app", home), self.choice(home))

    def store(self, number: int) -> Event:
        return store(f"a-{number}", cpu=self.draw.choice(CPU), size=self.draw.choice(SIZES))

    def namespace(self, home: str) -> Event:
        expression = self.draw.choice(EXPRESSIONS[:-1] if home == "pos" else EXPRESSIONS)
        return namespace(home, expression, self.draw.choice(CPU), owner=self.draw.choice("ab"))

    def choice(self, home: str) -> Event:
        choices = [(self.draw.choice(EXPRESSIONS[:-1]), self.draw.choice(("1.0.0", "2.0.0"))) for _ in range(2)]
        return choose(f"{home}-app", *dict(choices).items())

    def layer(self) -> Event:
        kinds: tuple[dict[str, Any], ...] = (
            {"applications": [f"{self.draw.choice(HOMES)}-app"]},
            {"namespace": self.draw.choice(HOMES)},
            {},
        )
        speaks = self.draw.choice(kinds)
        values = {self.draw.choice(("level", "other")): self.draw.choice("xy")}
        name = f"layer-{self.draw.randrange(4)}"
        return ConfigurationDeclared(name, self.draw.choice(EXPRESSIONS[:-1]), values=values, **speaks)

    def fact(self) -> Event:
        home = self.draw.choice(HOMES)
        number = self.draw.randrange(STORES + 4)
        return self.draw.choice(
            (
                lambda: self.store(number),
                lambda: self.store(number),
                lambda: StoreRemoved(f"a-{number}"),
                lambda: self.namespace(home),
                lambda: self.namespace(home),
                lambda: NamespaceRemoved(home),
                lambda: application(f"{home}-app", home, self.draw.choice((None, *EXPRESSIONS[:-1]))),
                lambda: application(f"{home}-app", self.draw.choice(HOMES)),
                lambda: ApplicationRemoved(f"{home}-app"),
                lambda: self.choice(home),
                self.layer,
                self.layer,
                lambda: ConfigurationRemoved(f"layer-{self.draw.randrange(4)}"),
            )
        )()

    async def step(self) -> None:
        for _ in range(self.draw.randint(1, 3)):
            self.renderer.record(self.fact())
        self.renderer.now += timedelta(minutes=70)
        if self.draw.random() < 0.7:
            await self.renderer.step()
        hold = self.renderer.last.hold
        if hold is not None and self.draw.random() < 0.7:
            self.renderer.record(RemovalsConfirmed("main", hold.plan), "hold-main")
            await self.renderer.step()


async def anew(renderer: Renderer) -> Model:
    """Return a twin of the renderer's model in which everything was evaluated."""
    twin = Model(renderer.blobs.get)
    load_model(twin, dump_model(renderer.model))
    twin.fleet.touched.clusters.add_range(0, twin.size)
    twin.fleet.touched.whole |= set(twin.fleet.applications)
    await plan(twin, renderer.now)
    return twin


@pytest.mark.parametrize("seed", range(12))
async def test_looking_at_everything_anew_finds_nothing_else_than_a_plan_of_what_changed(seed: int) -> None:
    declaring = Declaring(seed)
    renderer = declaring.renderer
    await renderer.step()
    refused = set()
    for _ in range(30):
        await declaring.step()
        planned = await plan(renderer.model, renderer.now)
        refused |= {code for _, code in renderer.refusals()}
        twin = await anew(renderer)

        assert targets(twin) == targets(renderer.model)
        assert (await plan(twin, renderer.now)).digest("", 0) == planned.digest("", 0)
    assert {"capacity-exceeded", "unresolved-placeholder"} <= refused, "the history asked too little"


async def test_a_namespace_that_gets_its_old_labels_back_at_once_is_written_again() -> None:
    renderer = Declaring(0).renderer
    renderer.facts(namespace("pos", "/c/*", owner="a"), choose("pos-app", ("/c/*", "2.0.0")))
    await renderer.settle()
    renderer.record(namespace("pos", "/c/*", owner="b"))
    first = await renderer.step()
    renderer.record(namespace("pos", "/c/*", owner="a"))
    second = await renderer.step()

    assert first.namespaces["pos"]
    assert second.namespaces == first.namespaces
