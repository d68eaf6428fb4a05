"""What was appended together is planned on together, however the feed cuts it into batches.

Each round appends one submission that would be a massive removal, a refusal of approval or another release in the
middle of it, and brings it event by event, while the loop plans as often as it can.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from libs.contracts import (
    AdmissionDecided,
    ApprovalRequested,
    ConfigurationDeclared,
    GroupDeclared,
    RemovalsHeld,
    SignOffDeclared,
    SignOffStage,
    SourceDeclared,
)
from libs.eventlog import EventLog
from services.rendering.consumer import Rendering
from services.rendering.settings import RenderingSettings
from tests.support.feeds import append
from tests.support.renderer import Renderer, application, choose, namespace, store
from tests.support.waiting import eventually

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STORES = [f"s-{number}" for number in range(6)]
GROUPS = ("/geo/a", "/geo/b")


def groups(cut: int) -> list[tuple[str, Any]]:
    """Each store is in one of two groups, both of which the namespace selects."""
    parts = (STORES[:cut], STORES[cut:])
    return [(f"group-{path}", GroupDeclared(path, stores=part)) for path, part in zip(GROUPS, parts, strict=True)]


def begun(log: EventLog) -> None:
    """Stores in two groups, an application with a release on all of them, and a process of sign-off."""
    maker = Renderer()
    release = maker.release("pos-api", "pos", "1.0.0")
    append(log, *((f"store-{name}", store(name, size="l")) for name in STORES), *groups(3))
    append(log, ("signoff-two", SignOffDeclared("two", [SignOffStage(["managers"], 1)], 24)))
    append(log, ("namespace-pos", namespace("pos", "/g/geo/a or /g/geo/b")))
    append(log, ("application-pos-api", application("pos-api", "pos")))
    append(log, ("release-pos-api/1.0.0", release), blobs=maker.blobs)
    append(log, ("choices-pos-api", choose("pos-api", ("/c/*", "1.0.0"))))


def change(dice: random.Random, number: int) -> list[tuple[str, Any]]:
    """One submission that moves stores between the groups, and changes some for good."""
    moved = groups(dice.randint(0, len(STORES)))
    dice.shuffle(moved)
    level = ConfigurationDeclared("level", "/c/s-0", ["pos-api"], values={"level": f"l{number}"})
    signed = [("application-pos-api", application("pos-api", "pos"))]
    halves = [
        # In between the application asks for an approval that nobody asks for in the end.
        ("namespace-pos", replace(namespace("pos", "/g/geo/a or /g/geo/b"), signoff="two")),
        ("configuration-level", level),
        ("namespace-pos", namespace("pos", "/g/geo/a or /g/geo/b")),
    ]
    named = SourceDeclared("erp", f"urn:erp-{number}", "erp", [])
    return [*moved, *dice.choice(([], signed, [("configuration-level", level)], halves)), ("source-erp", named)]


def has_settled(rendering: Rendering, position: int) -> bool:
    return rendering.reconciler.settled_position >= position


async def bring(log: EventLog, rendering: Rendering, dice: random.Random) -> None:
    """Hand the log over in small batches, and let the loop look at each of them."""
    while True:
        some = log.read_recorded(rendering.position, dice.choice((1, 1, 1, 2, 3)))
        if some:
            await rendering.handle(some)
        await asyncio.sleep(dice.choice((0, 0.001, 0.01)))  # the loop looks at any moment between two batches


def ends(log: EventLog) -> set[int]:
    """Return the positions at which a submission ends."""
    return {each.position for each in log.read(0, 10_000) if not log.continues(each.position)}


@pytest.mark.parametrize("seed", range(3))
async def test_nothing_is_held_asked_or_admitted_on_half_of_a_change(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    log = EventLog.open(f"sqlite:///{tmp_path / 'log.db'}", clock=lambda: NOW)
    begun(log)
    settings = RenderingSettings(repository=tmp_path / "gitops.git")
    rendering = Rendering(log, tmp_path / "data", settings, lambda: NOW, lambda: 0.0, "first")
    await rendering.start()
    await rendering.begin()
    feeding = asyncio.create_task(bring(log, rendering, dice))
    try:
        for number in range(8):
            head = append(log, *change(dice, number)).last
            await eventually(partial(has_settled, rendering, head))
    finally:
        feeding.cancel()
        with suppress(asyncio.CancelledError):
            await feeding
        await rendering.end()
    recorded = [each.event for each in log.read_recorded(0, 10_000)]
    admissions = [each for each in recorded if isinstance(each, AdmissionDecided)]
    log_ends = ends(log)
    log.close()

    assert [each for each in recorded if isinstance(each, RemovalsHeld | ApprovalRequested)] == []
    assert len(admissions) > 1
    assert {each.model_position for each in admissions} <= log_ends


def test_the_log_tells_where_a_submission_goes_on(tmp_path: Path) -> None:
    log = EventLog.open(f"sqlite:///{tmp_path / 'log.db'}", clock=lambda: NOW)
    assert not log.continues(0)
    begun(log)
    append(log, *groups(1), key="same-actor:a-key")
    append(log, *groups(2), key="same-actor:another")
    append(log, ("namespace-pos", namespace("pos", "none")))
    head = log.head().position

    inner = [at for at in range(head + 3) if log.continues(at)]
    assert inner == [*range(1, 8), head - 4, head - 2]
    log.close()
