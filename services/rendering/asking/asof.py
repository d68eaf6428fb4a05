"""The branch as of a position: every decision of the log up to there, rendered again.

The one rule: only the log is read; equal decisions give equal commits, so the commits have the ids of the branch that a
running renderer wrote.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from libs.bus.faults import passing
from libs.bus.letters import letter_of
from libs.contracts import LetterSkipped, Recorded, type_name
from libs.contracts.envelope import Undecodable
from libs.eventlog import EventLog
from libs.fleet import Blobs
from libs.gittree import IdSink, ObjectSink, Repository
from libs.gittree.sink import PackSink
from libs.gittree.workers import WorkerDied, Workers
from services.rendering.events import AdmissionWritten, ForeignCommitFound, WritingRestored
from services.rendering.model import Model
from services.rendering.model.decision import DecidedAdmission
from services.rendering.writing.materialising import PAGE_EVENTS, materialise
from services.rendering.writing.message import commit_of

RENDERING = "rendering"
"""The name of the consumer whose fold this is."""
_SKIPPED = type_name(LetterSkipped(letter="", reason=""))
WORKERS = 2
WORKERS_FROM_CLUSTERS = 1_000


@dataclass(slots=True)
class Computed:
    """The branch by the log: commit → (its tree, the decision's model position, its chain hash).

    `last` is the commit of the last decision, `written` the last commit that was recorded as written, `found` a foreign
    tip that was found after it.
    """

    commits: dict[str, tuple[str, int, str]] = field(default_factory=dict)
    parents: dict[str, str] = field(default_factory=dict)
    by_decision: dict[str, str] = field(default_factory=dict)
    restored: set[str] = field(default_factory=set)
    last: str = ""
    written: str = ""
    found: str = ""
    problem: str = ""


class BranchNotRebuilt(RuntimeError):  # noqa: N818 - it states the fact
    """The log does not render what it records."""


class CannotFold(BranchNotRebuilt):
    """An event of the log cannot be folded, or the decision that it completes cannot be rendered."""

    def __init__(self, recorded: Recorded, reason: str) -> None:
        super().__init__(f"{recorded.type} at position {recorded.position} cannot be folded: {reason}")
        self.position, self.reason = recorded.position, f"{recorded.type} cannot be folded: {reason}"


class Fold:
    """Folds the log from its beginning and computes every commit; the objects go to `sink`.

    `note` is called with a position before a page, or a decision, is processed there.
    """

    def __init__(
        self,
        events: EventLog,
        sink: Callable[[], ObjectSink] = IdSink,
        note: Callable[[int], None] = lambda _position: None,
    ) -> None:
        self._events = events
        self._sink = sink
        self._note = note
        self.model = Model(Blobs(events.blob))
        self.computed = Computed()

    async def on(self, until: int | None = None) -> None:
        """Fold what the log holds by now, or holds up to a position.

        Raises:
            CannotFold: an event cannot be folded.
        """
        while until is None or self.model.position < until:
            limit = PAGE_EVENTS if until is None else min(PAGE_EVENTS, until - self.model.position)
            page = await asyncio.to_thread(self._page, limit)
            if not page:
                return
            self._note(page[0].position)
            for recorded in page:
                try:
                    await self._take(recorded)
                except Exception as error:
                    if passing(error) or isinstance(error, WorkerDied):
                        raise
                    if not await asyncio.to_thread(self._was_skipped, recorded):
                        known = isinstance(error, BranchNotRebuilt)
                        raise CannotFold(
                            recorded, str(error) if known else f"{type(error).__name__}: {error}"
                        ) from error
                    self.model.position = recorded.position

    def _was_skipped(self, recorded: Recorded) -> bool:
        """Tell whether somebody has decided that rendering skips an event that it could not fold."""
        letter = self._events.read_stream(f"letter-{letter_of(RENDERING, recorded.position)}")
        return any(event.type == _SKIPPED for event in letter)

    def _page(self, limit: int) -> list[Recorded]:
        return self._events.read_recorded(self.model.position, limit, tolerant=True)

    async def _take(self, recorded: Recorded) -> None:
        if isinstance(recorded.event, Undecodable):
            raise BranchNotRebuilt(recorded.event.reason)
        decision = self.model.fold(recorded)
        if decision is not None:
            self._note(recorded.position)
            await self._admit(decision)
        match recorded.event:
            case AdmissionWritten(decision=name, commit=commit):
                expected = self.computed.by_decision.get(name)
                if expected != commit and not self.computed.problem:
                    self.computed.problem = (
                        f"position {recorded.position} records commit {commit} where the log renders {expected}"
                    )
                self.computed.written = commit
            case ForeignCommitFound(found=found):
                self.computed.found = found or "nothing"
            case WritingRestored(onto=onto):
                self.computed.restored.add(onto)

    async def _admit(self, decision: DecidedAdmission) -> None:
        sink = self._sink()
        first = decision.first
        done = await materialise(self.model, decision, sink)
        commit = first.parent
        if done.changed:
            commit = commit_of(self.model, decision, done.tree, sink)
            self.computed.commits[commit] = (done.tree.hex(), first.model_position, first.model_head)
            self.computed.parents[commit] = first.parent
        self.computed.by_decision[first.decision] = commit
        self.computed.last, self.computed.found = commit, ""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """The branch as of a position: its commit (empty: none yet), the number of commits, and a remark."""

    branch: str
    commit: str
    commits: int
    notes: tuple[str, ...]


async def rebuild_branch(events: EventLog, path: Path, until: int) -> Rebuilt:
    """Make a bare repository at `path` whose branch is as it was at a position: the same commits, by the same ids.

    A decision at or before the position counts, whether or not its commit was recorded by then. Foreign commits are not
    in the log: history that begins on one is cut there, as in a shallow clone.

    Raises:
        RebuildFailed: a commit that the log records is not the one that it renders.
        OSError: the disk is full, or `path` cannot be written.
    """
    making = _Making(events, path)
    try:
        await making.fold.on(until)
        return await asyncio.to_thread(making.finish)
    finally:
        making.close()


class _Making:
    """A repository being created: one pack for all decisions, visible at the end."""

    def __init__(self, events: EventLog, path: Path) -> None:
        self.fold = Fold(events, self._objects)
        self._path = path
        self._repository = Repository.create(path, self.fold.model.branch)
        self._workers: Workers | None = None
        self._sink: PackSink | None = None

    def _objects(self) -> PackSink:
        if self._sink is None:
            if self.fold.model.size >= WORKERS_FROM_CLUSTERS:
                self._workers = Workers(WORKERS)
            self._sink = self._repository.pack(self._workers)
        return self._sink

    def finish(self) -> Rebuilt:
        computed, branch = self.fold.computed, self.fold.model.branch
        if computed.problem:
            raise BranchNotRebuilt(computed.problem)
        tip, notes = _tip(computed)
        if tip and self._sink is not None:
            self._sink.finish()
            orphans = sorted(each for each, parent in computed.parents.items() if parent not in computed.commits)
            cut = [each for each in orphans if computed.parents[each]]
            if cut:
                (self._path / "shallow").write_text("".join(f"{each}\n" for each in cut), "ascii")
                notes.append(f"history is cut where it begins on foreign commits: {', '.join(cut)}")
            self._repository.move(None, tip)
        return Rebuilt(branch, tip, sum(1 for _ in _line(computed, tip)), tuple(notes))

    def close(self) -> None:
        if self._sink is not None:
            self._sink.abort()
        if self._workers is not None:
            self._workers.close()
        self._repository.close()


def _tip(computed: Computed) -> tuple[str, list[str]]:
    """Return where the branch was, and a remark."""
    if not computed.found:
        return computed.last if computed.last in computed.commits else "", []
    left = computed.written if computed.written in computed.commits else ""
    note = f"the branch was at {computed.found}, which is not in the log; this is the last commit that rendering wrote"
    return left, [note]


def _line(computed: Computed, tip: str) -> list[str]:
    """Return the commits of the branch, the newest first."""
    line = []
    while tip in computed.commits:
        line.append(tip)
        tip = computed.parents[tip]
    return line
