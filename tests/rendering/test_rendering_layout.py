"""The layout of the tree is a fact in the log: new branches begin with the newest, older ones are moved by steps."""

from __future__ import annotations

import random
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from libs.contracts import FreezeDeclared, LayoutChosen, StoreRemoved
from libs.contracts.names import check_name
from libs.contracts.refusals import Invalid
from libs.contracts.tree import cluster_path
from libs.gittree import Repository
from services.rendering.deciding.laying import (
    LayoutState,
    LayoutStepGoesOn,
    LayoutStepTooSoon,
    UpgradeLayout,
    decide_next,
    next_step,
)
from services.rendering.timing import AT_ONCE, Timing
from services.rendering.writing.layout import LAYOUTS, NEWEST, OLDEST, kustomization_name
from tests.support.described import described
from tests.support.flux import BOOTSTRAP, Store
from tests.support.renderer import Renderer, application, choose, namespace, replay, store

DOCS = Path(__file__).parents[2] / "docs"
NAMES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)
DAY = timedelta(days=1)


def bootstraps() -> dict[str, str]:
    """Return the Kustomizations that the pages tell people to make, each with its page."""
    found = {}
    for page in DOCS.rglob("*.md"):
        for block in re.findall(r"```yaml[^\n]*\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
            if "kustomize.toolkit.fluxcd.io" not in block:
                continue
            for each in yaml.safe_load_all(block):
                if isinstance(each, dict) and str(each.get("apiVersion", "")).startswith("kustomize.toolkit.fluxcd.io"):
                    found[each["metadata"]["name"]] = page.name
    return found


BOOTSTRAPS = bootstraps()


@given(NAMES)
@example("store")
@example("flux-system")
@example("a" * 63)
def test_no_namespace_has_the_name_of_a_bootstrap_kustomization(name: str) -> None:
    ours = kustomization_name(name)
    assert len(ours) <= 63
    assert ours not in {"flux-system", *BOOTSTRAPS}


@given(NAMES, NAMES)
def test_no_two_namespaces_share_a_kustomization(one: str, other: str) -> None:
    assert one == other or kustomization_name(one) != kustomization_name(other)


def test_a_cut_name_is_none_that_another_namespace_could_have() -> None:
    cut = kustomization_name("a" * 63)
    assert "." in cut
    assert kustomization_name("a" * 62) != cut


def test_the_pages_name_their_bootstrap_so_that_no_namespace_can_be_called_so() -> None:
    assert BOOTSTRAP in bootstraps()
    for name in bootstraps():
        with pytest.raises(Invalid):
            check_name(name)


async def branch(*, layouts: bool, timing: Timing = AT_ONCE) -> Renderer:
    renderer = Renderer(layouts=layouts, timing=timing)
    renderer.facts(*(store(f"s-{number}") for number in range(3)))
    for home in ("pos", "pos-x", "store"):
        renderer.facts(namespace(home), *(application(f"{home}-{n}", home) for n in "ab"))
        for name in (f"{home}-a", f"{home}-b"):
            renderer.facts(renderer.release(name, home, "1.0.0"), choose(name, ("/c/*", "1.0.0")))
    return renderer


@asynccontextmanager
async def written(tmp_path: Path) -> AsyncIterator[Repository]:
    """Make a real repository, whose objects can be read after each `commit`."""
    repository = Repository.create(tmp_path / "gitops.git")
    yield repository
    repository.close()


async def commit(repository: Repository, renderer: Renderer) -> str:
    with repository.pack() as sink:
        renderer.sink = sink
        before = renderer.commits[-1] if renderer.commits else None
        await renderer.settle()
        sink.finish()
    if renderer.commits and renderer.commits[-1] != before:
        repository.move(before, renderer.commits[-1])
    return renderer.commits[-1]


def codes(renderer: Renderer) -> list[int]:
    model = renderer.model
    return [int(model.trees.layout.values[ordinal]) for ordinal in model.trees.registered]


async def test_a_new_branch_begins_with_the_newest_layout() -> None:
    renderer = await branch(layouts=True)
    await renderer.settle()
    assert codes(renderer) == [NEWEST.code] * 3


async def test_a_branch_from_before_layouts_keeps_the_first_until_it_is_moved() -> None:
    renderer = await branch(layouts=False)
    await renderer.settle()
    renderer.layouts = True
    renderer.facts(store("s-9"))
    await renderer.settle()
    assert codes(renderer) == [OLDEST.code] * 4


@pytest.mark.parametrize("seed", range(4))
async def test_no_object_is_ever_in_no_inventory_while_a_branch_is_moved(seed: int, tmp_path: Path) -> None:
    """Each store pulls each step at its own time; applications come and go in between."""
    draw = random.Random(seed)
    renderer = await branch(layouts=False)
    async with written(tmp_path) as repository:
        first = await commit(repository, renderer)
        stores = [Store(tmp_path / "gitops.git", cluster_path(f"s-{n}"), draw) for n in range(3)]
        for each in stores:
            each.pull(first)
        for step in list(LAYOUTS)[1:]:
            renderer.record(LayoutChosen("main", step), "layout-main")
            tips = [await commit(repository, renderer)]
            for _ in range(draw.randint(0, 3)):
                name = f"{draw.choice(['pos', 'pos-x', 'store'])}-{draw.choice('ab')}"
                renderer.facts(choose(name, (draw.choice(["/c/*", "none", "/c/s-0"]), "1.0.0")))
                tips.append(await commit(repository, renderer))
            for each in stores:
                for tip in sorted({0, len(tips) - 1, draw.randrange(len(tips))}):
                    each.pull(tips[tip])
                assert each.lost == []
                assert each.unowned() == [], f"after step {LAYOUTS[step].name}"
        assert codes(renderer) == [NEWEST.code] * 3
        assert all(len(each.objects) > 3 for each in stores) or seed
        for each in stores:
            assert all(name.startswith("resedge-") for name in each.kustomizations)


async def test_the_steps_are_needed(tmp_path: Path) -> None:
    """A store that goes from the first layout to the last at once loses what runs: the simulation is no straw man."""
    renderer = await branch(layouts=False)
    async with written(tmp_path) as repository:
        at_store = Store(tmp_path / "gitops.git", cluster_path("s-0"), random.Random(1))
        at_store.pull(await commit(repository, renderer))
        for step in list(LAYOUTS)[1:]:
            renderer.record(LayoutChosen("main", step), "layout-main")
            await commit(repository, renderer)
        at_store.pull(renderer.commits[-1])
    assert at_store.lost


async def test_a_step_waits_for_gates_and_the_next_one_for_all_clusters_and_for_the_stores() -> None:
    renderer = await branch(layouts=False, timing=Timing(timedelta(0), timedelta(0), DAY))
    await renderer.settle()
    freeze = FreezeDeclared("f", "2026-01-01T00:00:00Z", "2026-01-03T00:00:00Z", "/c/s-1", "stocktaking", "ops")
    renderer.facts(freeze)

    def upgrade(*, hurry: bool = False) -> None:
        command = UpgradeLayout("main", "new names", hurry, renderer.now)
        for event in decide_next(command, LayoutState.of(renderer.model)):
            renderer.record(event, "layout-main")

    assert next_step(renderer.model, renderer.now)["kept_back"] == 1
    upgrade()
    await renderer.settle()
    assert codes(renderer) == [2, 1, 2]
    with pytest.raises(LayoutStepGoesOn):
        upgrade(hurry=True)

    renderer.now += 2 * DAY
    await renderer.settle()
    assert codes(renderer) == [2, 2, 2]
    with pytest.raises(LayoutStepTooSoon):
        upgrade()
    renderer.now += DAY
    upgrade()
    await renderer.settle()
    upgrade(hurry=True)
    await renderer.settle()
    assert codes(renderer) == [NEWEST.code] * 3
    assert decide_next(UpgradeLayout("main", "", hurry=False, at=renderer.now), LayoutState.of(renderer.model)) == []


async def test_a_cluster_that_comes_while_a_branch_is_moved_has_nothing_to_hand_over() -> None:
    renderer = await branch(layouts=False)
    await renderer.settle()
    renderer.record(LayoutChosen("main", 2), "layout-main")
    renderer.facts(store("s-9"), StoreRemoved("s-0"))
    await renderer.settle()
    model = renderer.model
    layouts = model.trees.layout.values
    names = {model.fleet.selection.name(ordinal): int(layouts[ordinal]) for ordinal in model.trees.registered}
    assert names == {"s-1": 2, "s-2": 2, "s-9": NEWEST.code}

    cold, commits = await replay(renderer.history, renderer.blobs)
    assert commits == renderer.commits
    assert described(cold) == described(renderer.model)
