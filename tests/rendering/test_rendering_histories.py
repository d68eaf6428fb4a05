"""For every random history, the tree that grew step by step is the one that the log alone renders."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from libs.contracts import (
    ApplicationRemoved,
    ConfigurationDeclared,
    ConfigurationRemoved,
    GroupDeclared,
    GroupRemoved,
    RemovalsConfirmed,
    StoreRemoved,
)
from libs.gittree import Repository
from tests.support.renderer import MANIFEST, Renderer, application, choose, namespace, replay, store

STORES = [f"store-{number:02d}" for number in range(30)]
HOMES = ["pos", "kitchen", "menu"]
APPLICATIONS = [f"app-{number}" for number in range(8)]
VERSIONS = ["1.0.0", "1.1.0", "2.0.0"]
EXPRESSIONS = ["/c/*", "size = xl", "not size = xl", "/g/geo/us", 'side like "e*" or size = s', "none", "/c/store-01"]
MANIFESTS = {
    "1.0.0": MANIFEST,
    "1.1.0": MANIFEST + "  cluster: ${edge.cluster.name}\n",
    "2.0.0": MANIFEST.replace('store: "${edge.store.name}"', "grill: ${edge.labels.grill}"),
}


class History:
    """Draws commands that may or may not make sense; rendering must cope with all of them."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.renderer = Renderer()
        self.renderer.facts(
            *(self._store(name) for name in STORES), GroupDeclared("/geo/us", expression="size in (s, m)")
        )
        self.renderer.facts(*(namespace(home) for home in HOMES))
        for name in APPLICATIONS:
            home = self.home(name)
            self.renderer.facts(application(name, home))
            for version, manifest in MANIFESTS.items():
                self.renderer.facts(self.renderer.release(name, home, version, manifest))

    def home(self, name: str) -> str:
        return HOMES[APPLICATIONS.index(name) % len(HOMES)]

    def _store(self, name: str) -> object:
        labels = {"size": self.random.choice(["s", "m", "xl"]), "side": self.random.choice(["east", "west"])}
        if self.random.random() < 0.5:
            labels["grill"] = self.random.choice(["Acme3000", "Acme3001"])
        return store(
            name, self.random.choice(["America/Chicago", "America/Denver"]), self.random.choice(["", "2"]), **labels
        )

    def command(self) -> None:
        draw = self.random
        name, expression = draw.choice(APPLICATIONS), draw.choice(EXPRESSIONS)
        commands: list[Callable[[], object]] = [
            lambda: self._store(draw.choice(STORES)),
            lambda: self._store(draw.choice(STORES)),
            lambda: StoreRemoved(draw.choice(STORES)),
            lambda: GroupDeclared("/geo/us", [draw.choice(STORES)], expression=draw.choice(EXPRESSIONS[:2])),
            lambda: GroupDeclared("/geo/us/tx", [draw.choice(STORES)]),
            lambda: GroupRemoved("/geo/us/tx"),
            lambda: namespace(
                draw.choice(HOMES), draw.choice(EXPRESSIONS), draw.choice(["", "1", "1500m"]), owner=draw.choice("ab")
            ),
            lambda: application(name, self.home(name), draw.choice([None, expression])),
            lambda: ApplicationRemoved(name),
            lambda: ConfigurationDeclared(
                draw.choice(["one", "two", "three"]),
                expression,
                draw.choice([[], [name]]),
                draw.choice([None, "pos"]),
                draw.choice([0, 1]),
                {"level": draw.choice(["debug", "warn"])},
            ),
            lambda: ConfigurationRemoved(draw.choice(["one", "two", "three"])),
            lambda: choose(
                name, *((draw.choice(EXPRESSIONS), draw.choice(VERSIONS)) for _ in range(draw.randint(0, 3)))
            ),
            lambda: choose(name, ("/c/*", draw.choice(VERSIONS))),
        ]
        self.renderer.facts(draw.choice(commands)())

    async def run(self, commands: int) -> None:
        for _ in range(commands):
            self.command()
            self.renderer.now += timedelta(minutes=self.random.choice([0, 0, 1, 40]))
            if self.random.random() < 0.6:
                await self.renderer.step()
            hold = self.renderer.last.hold
            if hold is not None and self.random.random() < 0.3:
                self.renderer.record(RemovalsConfirmed("main", hold.plan), "hold-main")
            if self.random.random() < 0.05:
                self.renderer.restart()
        await self.renderer.settle(20)


@pytest.mark.parametrize("seed", range(12))
async def test_the_log_alone_renders_the_tree_that_grew_step_by_step(seed: int) -> None:
    history = History(seed)
    await history.run(200)
    renderer = history.renderer

    model, commits = await replay(renderer.history, renderer.blobs)

    assert commits == renderer.commits
    assert model.clusters_tree == renderer.model.clusters_tree
    assert len(set(commits)) > 10


@pytest.mark.parametrize("seed", range(4))
async def test_what_is_left_to_do_does_not_depend_on_the_steps_taken(seed: int) -> None:
    """A renderer that saw every fact at once has the same targets as one that was asked after each of them."""
    history = History(1000 + seed)
    await history.run(120)
    renderer = history.renderer
    fresh, _ = await replay(renderer.history, renderer.blobs)
    late = Renderer()
    late.blobs, late.model, late.history, late.now = renderer.blobs, fresh, list(renderer.history), renderer.now

    before = len(late.history)
    await late.step()

    assert late.last.empty
    assert len(late.history) == before
    assert late.refusals() == renderer.refusals()


@pytest.mark.parametrize("seed", range(3))
async def test_what_is_written_passes_fsck_and_every_directory_builds(seed: int, tmp_path: Path) -> None:
    repository = Repository.create(tmp_path / "gitops.git")
    history = History(2000 + seed)
    with repository.pack() as sink:
        history.renderer.sink = sink
        await history.run(60)
        sink.finish()
    repository.move(None, history.renderer.commits[-1])

    sound = repository.fsck()
    assert sound.ok, sound.problems
    check_directories(tmp_path / "gitops.git", tmp_path / "checkout")
    repository.close()


def check_directories(repository: Path, checkout: Path) -> None:
    subprocess.run(["git", "clone", "-q", str(repository), str(checkout)], check=True)
    directories = sorted({file.parent for file in checkout.rglob("kustomization.yaml")})
    assert directories
    for directory in directories[:: max(1, len(directories) // 6)]:
        built = subprocess.run(["kubectl", "kustomize", str(directory)], capture_output=True, text=True, check=False)
        assert built.returncode == 0, built.stderr
    for directory in directories:
        lines = (directory / "kustomization.yaml").read_text().splitlines()
        listed = {line[2:] for line in lines if line.startswith("- ")}
        assert listed == {file.name for file in directory.iterdir()} - {"kustomization.yaml"}
