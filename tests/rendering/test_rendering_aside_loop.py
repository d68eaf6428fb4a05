"""The loop itself goes on where the log does not take a question or a hold: all else is decided and written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from libs.bus import LogFeed
from libs.contracts import ApprovalRequested, Event, RemovalsHeld, SignOffDeclared, SignOffStage, encode, type_name
from libs.eventlog import EventLog, EventTooLarge, NewEvent, Outcome, Submission
from libs.gates.refusals import SET_ASIDE
from services.rendering.consumer import Rendering
from services.rendering.settings import RenderingSettings
from tests.support.renderer import Renderer, application, choose, namespace, store

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECONDS_MAX = 60.0


class Choosy:
    """A log that takes no event of one type, as if it were too large, for as long as `refuses` names one."""

    def __init__(self, log: EventLog) -> None:
        self.log = log
        self.refuses: type | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.log, name)

    async def append_async(self, submission: Submission) -> Outcome:
        for each in submission.events:
            if self.refuses is not None and each.type.split(".")[-2] == self.refuses.__name__:
                raise EventTooLarge(each.stream, each.data)
        return await self.log.append_async(submission)


class Loop:
    """A running renderer on a log, and facts for it."""

    def __init__(self, log: EventLog, directory: Path) -> None:
        self.log = Choosy(log)
        self.words = Renderer()
        settings = RenderingSettings(repository=directory / "gitops.git", removals_settle_seconds=0)
        self.rendering = Rendering(self.log, directory, settings, lambda: datetime.now(UTC), lambda: 0.0, "a")  # type: ignore[arg-type]  # a log that counts stands in

    async def facts(self, *events: tuple[str, Event]) -> None:
        new = [NewEvent(stream, type_name(event), encode(event)) for stream, event in events]
        await self.log.log.append_async(Submission(new, "ana", blobs=self.words.blobs))

    async def settled(self) -> None:
        async with asyncio.timeout(SECONDS_MAX):
            await self.rendering.reconciler.settled(self.log.log.head().position)

    def version(self, name: str) -> str | None:
        placement = self.rendering.model.placements.by_key[f"{name}/{name}"]
        code = int(placement.release.values[0])
        return self.rendering.model.placements.versions.names[code].split("/")[1] if code else None


@asynccontextmanager
async def loop(directory: Path) -> AsyncIterator[Loop]:
    """Two applications on four stores at 1.0.0, the first of which needs a sign-off for whatever changes."""
    log = EventLog.open(f"sqlite:///{directory / 'log.db'}", clock=lambda: datetime.now(UTC))
    made = Loop(log, directory)
    stores = [(f"store-s{number}", store(f"s{number}")) for number in range(4)]
    await made.facts(*stores, ("signoff-eyes", SignOffDeclared("eyes", [SignOffStage(["admin"])])))
    for name in ("one", "two"):
        for version in ("1.0.0", "2.0.0"):
            release = made.words.release(name, name, version)
            await made.facts((f"release-{name}/{version}", release))
        await made.facts((f"namespace-{name}", namespace(name)), (f"application-{name}", application(name, name)))
        await made.facts((f"choices-{name}", choose(name, ("/c/*", "1.0.0"))))
    feed = LogFeed(made.log, [made.rendering])  # type: ignore[arg-type]  # the same
    await feed.start()
    await made.rendering.begin()
    try:
        await made.settled()
        await made.facts(("namespace-one", replace(namespace("one"), signoff="eyes")))
        await made.settled()
        yield made
    finally:
        await feed.stop()
        await made.rendering.end()
        log.close()


async def test_a_question_that_the_log_does_not_take_sets_its_application_aside(tmp_path: Path) -> None:
    async with loop(tmp_path) as running:
        running.log.refuses = ApprovalRequested
        await running.facts(*((f"choices-{name}", choose(name, ("/c/*", "2.0.0"))) for name in ("one", "two")))
        await running.settled()

        assert (running.version("one"), running.version("two")) == ("1.0.0", "2.0.0")
        refused = running.rendering.standing().refused
        assert refused == {SET_ASIDE: 4}
        assert running.rendering.reconciler.stopped == running.rendering.reconciler.trouble == ""

        running.log.refuses = None
        await running.facts(("choices-one", choose("one", ("/c/*", "2.0.0"), ("/c/s0", "2.0.0"))))
        await running.settled()
        assert running.rendering.standing().refused == {}
        kinds = [type(each.event) for each in running.log.log.read_recorded(0)]
        assert kinds.count(ApprovalRequested) == 1


async def test_a_hold_that_the_log_does_not_take_holds_all_the_same_and_stops_nothing(tmp_path: Path) -> None:
    async with loop(tmp_path) as running:
        running.log.refuses = RemovalsHeld
        await running.facts(("choices-two", choose("two")), ("store-s9", store("s9")))
        await running.settled()

        reconciler = running.rendering.reconciler
        assert running.version("two") == "1.0.0"
        assert reconciler.hold is not None
        assert running.rendering.model.aside.shared
        assert reconciler.stopped == reconciler.trouble == ""
        assert running.rendering.model.trees.registered == running.rendering.model.fleet.selection.everything
        assert len(running.rendering.model.trees.registered) == 5

        running.log.refuses = None
        await running.facts(("store-s8", store("s8")))
        await running.settled()
        assert running.rendering.model.aside.shared == {}
        assert running.rendering.model.fuse.held_plan == reconciler.hold.plan
