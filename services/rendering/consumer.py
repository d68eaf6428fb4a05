"""Rendering as a consumer of the log: opens its repository, starts from a snapshot, folds in order.

The one rule: it decides nothing before it has seen the log up to the end that the log had at its start.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from libs.bus import START, Checkpoint, ModelConsumer, SnapshotHooks
from libs.eventlog import LogUnavailable
from libs.fleet import Blobs
from libs.gittree import GitFailed, Repository
from libs.gittree.workers import Workers
from libs.runtime.snapshots import DamagedSnapshot, Snapshots
from services.rendering.deciding.reconciler import Reconciler
from services.rendering.model import Model
from services.rendering.observing import STANDINGS, RenderingStanding
from services.rendering.pushing import Pushing
from services.rendering.snapshot import RENDERING_VERSION, dump_model, load_model
from services.rendering.writing.branch_log import WritingFailed

if TYPE_CHECKING:
    from datetime import datetime

    from libs.contracts import Recorded
    from libs.eventlog import EventLog, Lease
    from services.rendering.settings import RenderingSettings

CONSUMER_NAME = "rendering"
MAKING_MARK = "resedge-making"
SAVE_AGAIN_SECONDS = 60.0
"""How long until a failed snapshot is tried again: writing one takes time from rendering."""
log = structlog.get_logger(CONSUMER_NAME)


class Rendering(ModelConsumer):
    """The model, the reconciler that owns it and what runs beside them: lease, maintenance, pushes, snapshots."""

    def __init__(
        self,
        events: EventLog,
        data_dir: Path,
        settings: RenderingSettings,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
        holder: str,
        speed: float = 1.0,
    ) -> None:
        self.model = Model(Blobs(events.blob), timing=settings.timing)
        hooks = SnapshotHooks(
            lambda: dump_model(self.model), lambda data: load_model(self.model, data), RENDERING_VERSION
        )
        super().__init__(CONSUMER_NAME, events, self._never, hooks)
        self.settings = settings
        self.path = settings.repository or data_dir / "gitops.git"
        self.ready_at = 0
        self._events = events
        self._files = Snapshots(data_dir / "snapshots")
        self._holder = holder
        self._repository: Repository | None = None
        self._workers: Workers | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._maintaining: asyncio.Task[None] | None = None
        self._saving: asyncio.Task[None] | None = None
        self._saved = 0
        self._unsaved_files = 0
        self._save_again_at = 0.0
        self._monotonic = monotonic
        self._turn = asyncio.Lock()
        self.reconciler = Reconciler(self.model, events, clock=clock, monotonic=monotonic, speed=speed)
        self.pushing = Pushing(settings, self._to_push, clock)

    @staticmethod
    def _never(_recorded: Recorded) -> None:
        raise AssertionError("rendering folds through its reconciler")

    # --- as a consumer -------------------------------------------------------------------------------------------

    async def start(self) -> Checkpoint | None:
        """Take the lease, open the repository, restore a snapshot; return the checkpoint."""
        lease = await self._acquired()
        if lease is None:
            # Not permanent: the feed retries, and the lease of a dead holder expires.
            raise TimeoutError(f"another renderer holds the lease of branch {self.model.branch}")
        await self._take_over(lease)
        return await super().start()

    async def _acquired(self) -> Lease | None:
        name, seconds = f"branch-{self.model.branch}", self.settings.lease_seconds
        return await asyncio.to_thread(self._events.acquire_lease, name, self._holder, seconds)

    async def _take_over(self, lease: Lease) -> None:
        """Begin on the branch with a fresh model."""
        self.ready_at = (await asyncio.to_thread(self._events.head)).position
        branch_head = await asyncio.to_thread(self._events.category_head, "branch")
        repository, rebuilding = await asyncio.to_thread(self._opened, branch_head > 0)
        if not rebuilding:
            await self._restore()
        self._repository = repository
        self.reconciler.open(repository, self.workers, lease)
        self.reconciler.writer.prepare(branch_head, rebuilding=rebuilding)
        self.reconciler.writer.on_written = self._after_commit
        self.pushing.open(repository, self.model.branch)
        self._saved = self.position
        if self._tasks:  # it was on standby until now
            self._decide_if_caught_up()

    def _opened(self, written: bool) -> tuple[Repository, bool]:
        """Open the repository; return whether it was lost, so that it must be created again from the log.

        A mark stays in it until it is complete, so that an interrupted creation starts again. If the branch is missing
        but its objects exist, somebody deleted it, and we must not undo that.
        """
        try:
            repository = Repository.create(self.path, self.model.branch)
        except GitFailed as error:  # its disk is full or read-only, or git is not installed: this is retried
            raise WritingFailed(f"the repository {self.path} cannot be opened: {error}") from error
        mark = self.path / MAKING_MARK
        if mark.exists():
            (self.path / "refs" / "heads" / self.model.branch).unlink(missing_ok=True)
        elif written and repository.head() is None and not any(self.path.glob("objects/pack/*.idx")):
            mark.touch()
        return repository, mark.exists()

    async def _restore(self) -> None:
        try:
            await asyncio.to_thread(self._files.restore, self, self._events)
        except DamagedSnapshot:
            self.model.become(Model(self.model.fleet.blob, timing=self.settings.timing))
            self._checkpoint = START

    async def _apply(self, run: Sequence[Recorded]) -> None:
        async with self._turn:
            if run[0].position != self.position + 1:
                return  # it has started again meanwhile: earlier events come first
            await self.reconciler.handle(run)
            self._checkpoint = Checkpoint.after(run[-1])
            if self.position >= self.ready_at:
                self._decide_if_caught_up()
                if (mark := self.path / MAKING_MARK).exists():  # a read-only disk refuses even to remove a missing file
                    mark.unlink(missing_ok=True)

    def _decide_if_caught_up(self) -> None:
        if self.position >= self.ready_at:
            self.reconciler.caught_up()
            self.pushing.ready()

    def _to_push(self) -> str:
        """Return the commit that the remote should have; empty while another process leads, or this one catches up."""
        leads = self.reconciler.lease is not None and self.reconciler.log.leads
        return self.model.parent if leads and self.reconciler.writer.caught_up else ""

    def workers(self) -> Workers | None:
        """Return the worker processes, which are started once the fleet is large enough."""
        large = self.model.size >= self.settings.workers_from_clusters
        if self._workers is None and large and self.settings.workers:
            self._workers = Workers(self.settings.workers)
        return self._workers

    def standing(self) -> RenderingStanding:
        """Return the state of rendering, for the metrics."""
        placements, hold = self.model.placements, self.reconciler.hold
        refused: dict[str, int] = {}
        for refusal, clusters in placements.refusals.items():
            refused[refusal.code] = refused.get(refusal.code, 0) + len(clusters)
        pending = sum(len(each.pending) for each in placements.by_key.values())
        held, stopped = 0 if hold is None else hold.count, bool(self.reconciler.stopped)
        return RenderingStanding(pending, held, stopped, refused, self.pushing.standing())

    def head_position(self) -> int:
        """Return the log's last position; blocks."""
        return self._events.head().position

    @property
    def log_url(self) -> str:
        """The URL of the log, for a process that verifies it."""
        return self._events.url

    # --- as a part of a process ----------------------------------------------------------------------------------

    async def begin(self) -> None:
        """Start deciding, and the tasks beside it."""
        STANDINGS.follow(self.standing)
        if self._repository is not None:  # otherwise another renderer holds the lease, and this one is on standby
            self._decide_if_caught_up()
        self._tasks = [asyncio.create_task(each) for each in (self.reconciler.run(), self._keep_lease())]
        if self.settings.remote:
            self._tasks.append(asyncio.create_task(self.pushing.run()))

    async def end(self) -> None:
        """Finish the current write, write a snapshot, release the lease."""
        STANDINGS.follow(None)
        async with self.reconciler.busy:
            for task in self._tasks:
                task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.reconciler.writer.end()
        beside = [task for task in (self._maintaining, self._saving) if task is not None]
        await asyncio.gather(*beside, return_exceptions=True)
        await self._snapshot()
        if self.reconciler.lease is not None:
            with contextlib.suppress(LogUnavailable):  # it expires by itself
                await asyncio.to_thread(self._events.release_lease, self.reconciler.lease)
        if self._workers is not None:
            await asyncio.to_thread(self._workers.close)
        if self._repository is not None:
            self._repository.close()

    def _after_commit(self) -> None:
        self.pushing.written()
        if self.reconciler.writer.commits % self.settings.maintain_every_commits == 0 and self._maintaining is None:
            self._maintaining = asyncio.create_task(self._maintain())
        self._unsaved_files += self.reconciler.writer.written.files
        many_events = self.position - self._saved >= self.settings.snapshot_every_events
        if self._monotonic() < self._save_again_at:
            return
        if self._saving is None and (many_events or self._unsaved_files >= self.settings.snapshot_every_files):
            self._saving = asyncio.create_task(self._save_beside())

    async def _save_beside(self) -> None:
        try:
            await self._snapshot()
        finally:
            self._saving = None

    async def _maintain(self) -> None:
        try:
            if self._repository is not None:
                await asyncio.to_thread(self._repository.maintain)
        except (OSError, RuntimeError) as error:
            log.warning("rendering.maintenance-failed", reason=str(error))
        finally:
            self._maintaining = None

    async def _snapshot(self) -> None:
        async with self.reconciler.busy:
            if self.position == self._saved or self.reconciler.writer.pending is not None:
                return
            position, files = self.position, self._unsaved_files
            content = self.snapshot()
        try:
            await asyncio.to_thread(self._files.write, CONSUMER_NAME, content)
        except OSError as error:
            self._save_again_at = self._monotonic() + SAVE_AGAIN_SECONDS
            log.warning("rendering.snapshot-not-kept", reason=str(error))
        else:
            self._saved = position
            self._unsaved_files -= files

    async def _keep_lease(self) -> None:
        while True:
            await asyncio.sleep(self.settings.lease_seconds / 3)
            lease = self.reconciler.lease
            try:
                lost = lease is not None and not await asyncio.to_thread(
                    self._events.renew_lease, lease, self.settings.lease_seconds
                )
            except Exception as error:  # noqa: BLE001 - the log fences us if another one took it meanwhile
                log.warning("rendering.lease-not-renewed", reason=str(error))
                continue
            if lost:
                self.reconciler.log.lose_lease()
                await self._stand_by()

    async def _stand_by(self) -> None:
        """Wait for the lease, and start again: another renderer has moved the branch past our state."""
        while True:
            await asyncio.sleep(self.settings.lease_seconds / 3)
            lease = None
            try:
                lease = await self._acquired()
                if lease is not None:
                    await self._begin_anew(lease)
                    return
            except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again, by us or by another one
                self.reconciler.log.lose_lease()
                log.warning("rendering.lease-not-taken", reason=f"{type(error).__name__}: {error}")
                if lease is not None:
                    with contextlib.suppress(Exception):  # it expires by itself
                        await asyncio.to_thread(self._events.release_lease, lease)

    async def _begin_anew(self, lease: Lease) -> None:
        beside = [task for task in (self._maintaining, self._saving) if task is not None]
        await asyncio.gather(*beside, return_exceptions=True)
        async with self._turn, self.reconciler.busy:
            if self._repository is not None:
                self._repository.close()
            self.model.become(Model(self.model.fleet.blob, timing=self.settings.timing))
            self._checkpoint = START
            await self._take_over(lease)
        log.warning("rendering.leads-again", fencing=lease.epoch)
