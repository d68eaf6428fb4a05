"""The loop that closes the difference between target and admitted, wherever the gates are open.

Its events are made in services/rendering/deciding/recording.py; its writes in services/rendering/writing/branch.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import structlog

from libs.contracts import Recorded
from libs.contracts.crash import crash_point
from libs.gittree import GitFailed, RefLocked
from libs.gittree.workers import WorkerDied
from services.rendering.deciding.dividing import set_aside_in
from services.rendering.deciding.plan import plan
from services.rendering.deciding.recording import Recorder
from services.rendering.events import WritingRestored
from services.rendering.turns import Whole
from services.rendering.writing.branch import BranchWriter
from services.rendering.writing.branch_log import BranchLog, WritingFailed, may_pass

if TYPE_CHECKING:
    from libs.eventlog import EventLog, Lease
    from libs.gittree import Repository
    from libs.gittree.workers import Workers
    from services.rendering.domain.fuse import Hold
    from services.rendering.model import Model
    from services.rendering.model.decision import DecidedAdmission

TICK_SECONDS = 5.0
MOMENT_SECONDS = 0.001
_RETRY_SECONDS = 2.0
log = structlog.get_logger("rendering")


class Reconciler:
    """Folds events, plans, decides and writes, one thing at a time; `trouble` says why the last step failed.

    `hold` is the plan that the fuse holds now, `settling` the number of removals not yet wanted for long enough.
    """

    def __init__(
        self,
        model: Model,
        events: EventLog,
        *,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
        speed: float = 1.0,
    ) -> None:
        self.model = model
        self.log = BranchLog(model, events)
        self.writer = BranchWriter(model, self.log, monotonic)
        self.trouble = ""
        self.hold: Hold | None = None
        self.settled_position = 0
        self.settling = 0
        self.busy = asyncio.Lock()
        self._recorder = Recorder(model, self.log, self.wake)
        self._whole = Whole(events)
        self._clock = clock
        self._speed = speed
        self._wake = asyncio.Event()
        self._settled = asyncio.Condition()
        self._until: datetime | None = None

    def open(self, repository: Repository, workers: Callable[[], Workers | None], lease: Lease) -> None:
        """Take the repository and the lease; start with empty state."""
        self.log.open(lease)
        self.writer.open(repository, workers)
        self.trouble, self.hold = "", None
        self._whole = Whole(self.log.events)

    @property
    def stopped(self) -> str:
        """Why it does not write; empty if it does."""
        return self.log.stopped

    @property
    def lease(self) -> Lease | None:
        """The right to write to the branch, once it has been taken."""
        return self.log.lease

    # --- folding -------------------------------------------------------------------------------------------------

    async def handle(self, batch: Sequence[Recorded]) -> None:
        """Fold events; a decision among them is executed at its place in the order."""
        async with self.busy:
            try:
                await self.writer.finish_pending()
                for recorded in batch:
                    if recorded.position <= self.model.position:
                        continue  # The batch comes again, because the work after this event could not be written.
                    self.writer.pending = self._folded(recorded)
                    await self.writer.finish_pending()
                    if isinstance(recorded.event, WritingRestored):
                        self.log.go_on()
            except (WorkerDied, RefLocked, GitFailed) as error:
                raise WritingFailed(f"{type(error).__name__}: {error}") from error
        self.wake()

    def _folded(self, recorded: Recorded) -> DecidedAdmission | None:
        """Fold an event; one that cannot be folded is tried again when it comes again."""
        model = self.model
        before = model.position, model.hash, model.epoch, model.at
        try:
            return model.fold(recorded)
        except Exception:
            model.position, model.hash, model.epoch, model.at = before
            raise

    def wake(self) -> None:
        """Wake the loop."""
        self._wake.set()

    def caught_up(self) -> None:
        """Start deciding: the model has seen the log up to where it ended when the process started."""
        self.writer.go_live()
        self.wake()

    # --- the loop ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Close differences until cancelled; sleep until an event comes or a gate may have opened."""
        while True:
            try:
                async with asyncio.timeout(self._pause()):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            if self.writer.caught_up and not self.stopped:
                await self._steps()

    def now(self) -> datetime:
        """Return the instant at which gates are judged: the present, but never before the log's last recorded time."""
        return max(self._clock(), self.model.at)

    def _pause(self) -> float:
        """Return how long to sleep unless an event comes: until a gate changes, or for a while."""
        if self._until is None:
            return TICK_SECONDS
        seconds = (self._until - self.now()).total_seconds() / self._speed
        return min(TICK_SECONDS, max(MOMENT_SECONDS, seconds))

    async def _steps(self) -> None:
        try:
            async with self.busy:
                while not self.stopped and await self._step():
                    pass
            self.trouble = ""
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            if self.writer.pending is not None and not may_pass(error):
                self.log.stopped = f"{said}; fix the cause, then restart it"
                log.exception("rendering.stopped")
                return
            self.trouble = said
            log.exception("rendering.step-failed")
            await asyncio.sleep(_RETRY_SECONDS)
            self.wake()

    async def _step(self) -> bool:
        """Do one thing; return whether there may be another."""
        await self.writer.finish_pending()
        if self.stopped or not await self._whole.at(self.model.position) or not await self.writer.is_ours():
            return False
        planned = await plan(self.model, self.now())
        self.hold, self._until, self.settling = planned.hold, planned.until, planned.settling
        await self._recorder.keep_back(planned.hold)
        await self._recorder.ask(planned)
        if planned.empty and not self.model.must_commit:
            await self._settle(planned.settled_to)
            return False
        if await self._recorder.open_layout():
            return False
        try:
            decision = await self._recorder.decide(planned)
        except Exception as error:
            if not set_aside_in(self.model, planned, error):
                raise
            return True  # without the placements that were set aside it is another plan
        if decision is None:
            return False
        crash_point("rendering.decided")
        await self.writer.carry_out(decision)
        return True

    # --- waiting -------------------------------------------------------------------------------------------------

    async def _settle(self, until: int | None) -> None:
        """Wake the waiting requests: all is rendered, but for closed gates and for removals that still settle."""
        async with self._settled:
            known = self.model.position if until is None else until
            self.settled_position = max(self.settled_position, known)
            self._settled.notify_all()

    async def settled(self, position: int) -> None:
        """Wait until everything up to `position` has been rendered, but for closed gates."""
        async with self._settled:
            await self._settled.wait_for(lambda: self.settled_position >= position)
