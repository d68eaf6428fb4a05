"""Executes decisions: writes their commits, moves the branch, records what was written.

The one rule: the decision is the fact, the commit its projection. A recorded decision is always executed, by this
process or the next one, and gives the same commit.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from libs.contracts.crash import crash_point
from libs.gittree import IdSink, RefMoved
from services.rendering.events import AdmissionWritten, ForeignCommitFound
from services.rendering.observing import Written, committed, committing
from services.rendering.writing.branch_log import WritingFailed
from services.rendering.writing.materialising import materialise, render_again
from services.rendering.writing.message import commit_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from libs.gittree import Repository
    from libs.gittree.workers import Workers
    from services.rendering.model import Model
    from services.rendering.model.decision import DecidedAdmission
    from services.rendering.writing.branch_log import BranchLog

log = structlog.get_logger("rendering")


class BranchWriter:
    """Writes to the branch, one decision at a time; `pending` is the decision that is not executed yet.

    `written` is what was written last, `commits` how many there were, and `on_written` is called after each.
    """

    def __init__(self, model: Model, branch_log: BranchLog, monotonic: Callable[[], float]) -> None:
        self.pending: DecidedAdmission | None = None
        self.written = Written()
        self.commits = 0
        self.on_written: Callable[[], None] = lambda: None
        self.caught_up = False
        self._model = model
        self._log = branch_log
        self._monotonic = monotonic
        self._repository: Repository | None = None
        self._workers: Callable[[], Workers | None] = lambda: None
        self._branch_head = 0
        self._rebuilding = False
        self._ended = False

    def open(self, repository: Repository, workers: Callable[[], Workers | None]) -> None:
        """Take the repository; start with empty state."""
        self._repository, self._workers = repository, workers
        self.pending, self.caught_up = None, False

    def prepare(self, branch_head: int, *, rebuilding: bool) -> None:
        """Say which decision is the log's last one on the branch, and whether the repository must be created again."""
        self._branch_head, self._rebuilding = branch_head, rebuilding

    def go_live(self) -> None:
        """The log is folded up to its end at the start of the process: decisions from now on may be our own."""
        self.caught_up, self._rebuilding = True, False

    def end(self) -> None:
        """Stop writing: the lease is about to be released."""
        self._ended = True

    @property
    def repository(self) -> Repository:
        """What it writes to.

        Raises:
            WritingFailed: it is not open yet.
        """
        if self._repository is None:
            raise WritingFailed(f"the repository of branch {self._model.branch} is not open")
        return self._repository

    async def finish_pending(self) -> None:
        """Execute the decision that is not written yet, on the facts of the decision, before later ones."""
        if (decision := self.pending) is None:
            return
        if self._ended:
            raise WritingFailed("the process ends; the next one executes the decision")
        lease, stopped = self._log.lease, self._log.stopped
        ours = self.caught_up and lease is not None and decision.first.fencing == lease.epoch
        if not stopped and (ours or decision.position == self._branch_head):
            await self.carry_out(decision)
        elif not stopped and self._rebuilding:
            await self._write(decision)
        else:
            await materialise(self._model, decision, IdSink())
        self.pending = None

    async def carry_out(self, decision: DecidedAdmission) -> None:
        """Write the decision's commit and record it."""
        self.pending = decision
        started = self._monotonic()
        with committing(decision.itself) as cause:
            commit, tree, files = await self._write(decision)
            if self._log.stopped:
                self.pending = None  # Its objects are written; restoring the branch commits what it admitted.
                return
            crash_point("rendering.moved")
            event = AdmissionWritten(
                branch=self._model.branch,
                decision=decision.first.decision,
                commit=commit,
                tree=tree,
                files=files,
            )
            await self._log.append([event], self._log.stream, cause)
            crash_point("rendering.recorded")
            self._model.written(event)
            self.pending = None
            self.commits += 1
            self.written = Written(commit, files, self._monotonic() - started, decision.position, decision.at)
            committed(self.written, new=commit != decision.first.parent)
        self.on_written()

    async def is_ours(self) -> bool:
        """Compare the branch with where we left it; if it differs, record that and stop."""
        found = self.repository.head() or ""
        if found == self._model.parent:
            return True
        await self._stop_for(found)
        return False

    async def _stop_for(self, found: str) -> None:
        model = self._model
        if model.foreign != (found or "nothing"):
            event = ForeignCommitFound(model.branch, model.parent, found)
            await self._log.append([event], self._log.stream)
        self._log.stopped = f"branch {model.branch} is at {found or 'nothing'}, not at {model.parent or 'nothing'}"
        log.error("rendering.foreign-commit", expected=model.parent, found=found)

    async def _write(self, decision: DecidedAdmission) -> tuple[str, str, int]:
        """Write objects and move the branch; return (commit, tree, files). A byte must have changed for a commit."""
        repository, model = self.repository, self._model
        sink = repository.pack(self._workers())
        parent = decision.first.parent
        try:
            done = await materialise(model, decision, sink)
            if not done.changed:
                sink.abort()
                return parent, done.tree.hex(), 0
            commit = commit_of(model, decision, done.tree, sink)
            await sink.finish_async()
        except BaseException:
            sink.abort()
            raise
        restoring = model.must_commit and not self._rebuilding
        if restoring and not await asyncio.to_thread(repository.holds_all, done.tree.hex()):
            await self._write_lost(decision)
        try:
            await asyncio.to_thread(repository.move, parent or None, commit)
        except RefMoved as moved:
            # A crash after the move, before the log knew, leaves exactly our commit. A repository that is made again
            # cannot hold the commits of others: the branch stays where they began, and is found there afterwards.
            if moved.found != commit and not self._rebuilding:
                await self._stop_for(moved.found or "")
        if self._rebuilding:
            model.parent = commit
        return commit, done.tree.hex(), done.files

    async def _write_lost(self, decision: DecidedAdmission) -> None:
        """Write all objects of the log's commits again: the repository was restored from an older copy."""
        log.warning("rendering.objects-lost", decision=decision.first.decision)
        with self.repository.pack(self._workers()) as sink:
            await render_again(self._model, self._log.events, decision.position, sink)
            await sink.finish_async()
