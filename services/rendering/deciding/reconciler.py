"""The loop that closes the difference between target and admitted, wherever the gates are open.

The one rule: the decision is the fact, the commit its projection. A decision that the log took is always carried out,
by this process or the next one, and gives the same commit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import structlog

from libs.contracts import Recorded
from libs.contracts.crash import crash_point
from libs.eventlog import Appended, Expired, FencedOut, Guard, GuardConflict, InvalidSubmission, VersionConflict
from libs.gittree import GitFailed, IdSink, RefLocked, RefMoved
from libs.gittree.workers import WorkerDied
from services.rendering.deciding.composing import commit_of, compose, held, submission_of, uses
from services.rendering.deciding.dividing import set_aside_in
from services.rendering.deciding.leaving import opening
from services.rendering.deciding.plan import Plan, plan
from services.rendering.deciding.requesting import ASKING_ABOUT_HOLD, RECORDING_HOLD, not_asked, outstanding
from services.rendering.events import AdmissionWritten, ForeignCommitFound, WritingRestored
from services.rendering.model import CATEGORIES, render_again
from services.rendering.observing import UNKNOWN, Cause, Written, committed, committing, deciding
from services.rendering.turns import Whole
from services.rendering.writing.carrying import Decision, WritingFailed, may_pass

if TYPE_CHECKING:
    from libs.eventlog import EventLog, Lease
    from libs.gittree import Repository
    from libs.gittree.workers import Workers
    from services.rendering.domain import Hold
    from services.rendering.model import Model

TICK_SECONDS = 5.0
MOMENT_SECONDS = 0.001
RETRY_SECONDS = 2.0
LEASE_LOST = "the branch's lease was lost to another renderer, and this one stands by"
log = structlog.get_logger("rendering")


class Reconciler:
    """Folds events, plans, decides and writes, one thing at a time; `stopped` says why it does not write."""

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
        self.stopped = ""
        self.trouble = ""
        self.hold: Hold | None = None
        self.written = Written()
        self.commits = 0
        self.settled_position = 0
        self.settling = 0
        self.lease: Lease | None = None
        self.on_written: Callable[[], None] = lambda: None
        self._events = events
        self._clock = clock
        self._monotonic = monotonic
        self._speed = speed
        self.busy = asyncio.Lock()
        self._wake = asyncio.Event()
        self._settled = asyncio.Condition()
        self._branch_head = 0
        self._rebuilding = False
        self._caught_up = False
        self._ended = False

    def open(self, repository: Repository, workers: Callable[[], Workers | None], lease: Lease) -> None:
        """Take what it writes to, and the right to do so; begin as if nothing had been before."""
        self._repository, self._workers, self.lease = repository, workers, lease
        self.stopped, self.trouble, self.hold, self._pending, self._caught_up = "", "", None, None, False
        self._whole = Whole(self._events)

    @property
    def carrying(self) -> bool:
        """Whether a decision is still to be carried out."""
        return self._pending is not None

    def end(self) -> None:
        """Write nothing more: the lease is about to be given back."""
        self._ended = True

    def lose_lease(self) -> None:
        """Stop: somebody else may write now."""
        self.stopped = LEASE_LOST

    # --- folding -------------------------------------------------------------------------------------------------

    def prepare(self, branch_head: int, *, rebuilding: bool) -> None:
        """Say which decision is the log's last one on the branch, and whether the repository must be made anew."""
        self._branch_head = branch_head
        self._rebuilding = rebuilding

    async def handle(self, batch: Sequence[Recorded]) -> None:
        """Fold events; a decision among them is carried out at its place in the order."""
        async with self.busy:
            try:
                await self._finish_pending()
                for recorded in batch:
                    if recorded.position <= self.model.position:
                        continue  # The batch comes again, since what followed this event could not be written.
                    self._pending = self._folded(recorded)
                    if self._pending is not None:
                        await self._finish_pending()
                    if isinstance(recorded.event, WritingRestored) and self.stopped != LEASE_LOST:
                        self.stopped = ""
            except (WorkerDied, RefLocked, GitFailed) as error:
                raise WritingFailed(f"{type(error).__name__}: {error}") from error
        self.wake()

    def _folded(self, recorded: Recorded) -> Decision | None:
        """Fold an event; one that cannot be folded is not passed over when it comes again."""
        model = self.model
        before = model.position, model.hash, model.epoch, model.at
        try:
            return model.fold(recorded)
        except Exception:
            model.position, model.hash, model.epoch, model.at = before
            raise

    async def _finish_pending(self) -> None:
        """Carry out what was decided and is not written yet: with the facts that it was decided on, before others."""
        if (decision := self._pending) is None:
            return
        if self._ended:
            raise WritingFailed("the process ends; the next one carries the decision out")
        ours = self._caught_up and self.lease is not None and decision.first.fencing == self.lease.epoch
        if not self.stopped and (ours or decision.position == self._branch_head):
            await self._carry_out(decision)
        elif not self.stopped and self._rebuilding:
            await self._write(decision)
        else:
            await self.model.admit(decision, IdSink())
        self._pending = None

    def wake(self) -> None:
        """Look again now."""
        self._wake.set()

    def caught_up(self) -> None:
        """Start deciding: the model has seen the log up to where it ended when the process started."""
        self._caught_up = True
        self._rebuilding = False
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
            if self._caught_up and not self.stopped:
                await self._steps()

    def now(self) -> datetime:
        """Return the instant at which gates are judged: the present, but never before what the log recorded last."""
        return max(self._clock(), self.model.at)

    def _pause(self) -> float:
        """Return for how long nothing is to be done unless an event comes: until a gate changes, or for a while."""
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
            if self._pending is not None and not may_pass(error):
                self.stopped = f"{said}; fix the cause, then restart it"
                log.exception("rendering.stopped")
                return
            self.trouble = said
            log.exception("rendering.step-failed")
            await asyncio.sleep(RETRY_SECONDS)
            self.wake()

    async def _step(self) -> bool:
        """Do one thing; return whether there may be another."""
        await self._finish_pending()
        if self.stopped or not await self._whole.at(self.model.position) or not await self._branch_is_ours():
            return False
        planned = await plan(self.model, self.now())
        self.hold, self._until, self.settling = planned.hold, planned.until, planned.settling
        if planned.hold is None:
            self.model.aside.clear(ASKING_ABOUT_HOLD)
            self.model.aside.clear(RECORDING_HOLD)
        else:
            await self._keep_back(planned.hold)
        await self._ask(planned)
        if planned.empty and not self.model.must_commit:
            await self._settle(planned.settled_to)
            return False
        if (begins := opening(self.model)) is not None:
            if self._opened < self.model.position:  # otherwise it is on its way round through the feed
                stream, cause = f"layout-{self.model.branch}", self.model.reasons.causes.newest()
                self._opened = (await self._append([begins], stream, cause)).last
            return False
        try:
            decision = await self._decide(planned)
        except Exception as error:
            if not set_aside_in(self.model, planned, error):
                raise
            return True  # without what was set aside it is another plan
        if decision is None:
            return False
        crash_point("rendering.decided")
        await self._carry_out(decision)
        return True

    _pending: Decision | None = None
    _until: datetime | None = None
    _asked = 0
    _opened = -1

    async def _branch_is_ours(self) -> bool:
        """Compare the branch with where we left it."""
        found = self._repository.head() or ""
        if found == self.model.parent:
            return True
        await self._stop_for(found)
        return False

    async def _stop_for(self, found: str) -> None:
        if self.model.state.foreign != (found or "nothing"):
            event = ForeignCommitFound(self.model.branch, self.model.parent, found)
            await self._append([event], self._stream)
        self.stopped = f"branch {self.model.branch} is at {found or 'nothing'}, not at {self.model.parent or 'nothing'}"
        log.error("rendering.foreign-commit", expected=self.model.parent, found=found)

    # --- deciding ------------------------------------------------------------------------------------------------

    @property
    def _stream(self) -> str:
        return f"branch-{self.model.branch}"

    async def _append(
        self, events: Sequence[object], stream: str, cause: Cause = UNKNOWN, blobs: Mapping[str, bytes] | None = None
    ) -> Appended:
        said = [(stream, each) for each in events]
        outcome = await self._events.append_async(submission_of(said, cause, self.lease, blobs=blobs or {}))
        if isinstance(outcome, FencedOut):  # what is found on the branch by now is another renderer's
            self.lose_lease()
            raise WritingFailed(self.stopped)
        if not isinstance(outcome, Appended):
            raise RuntimeError(f"the log did not take {type(events[0]).__name__}: {outcome}")  # noqa: TRY004
        if stream == self._stream:
            self.model.branch_version = max(self.model.branch_version, outcome.versions[stream])
        return outcome

    async def _keep_back(self, hold: Hold) -> None:
        """Record a plan that is new. Where it cannot be recorded it is held back all the same, and all else goes on."""
        if self.model.held_plan == hold.plan:
            return
        with self.model.aside.apart(RECORDING_HOLD):
            events = held(self.model.branch, hold)
            await self._append(events, f"hold-{self.model.branch}", self.model.reasons.causes.newest())
            self.model.held = events

    async def _ask(self, planned: Plan) -> None:
        """Begin the runs of sign-off that are missing, and void the answers about what is not to be removed any more.

        The feed brings them round: until then the model waits for what it has just appended.
        """
        if self._asked > self.model.position:
            return
        for each in outstanding(self.model, planned):
            try:
                cause = self.model.reasons.causes.newest()
                outcome = await self._append([each.event], each.stream, cause, each.blobs)
                self._asked = outcome.last
            except InvalidSubmission as error:
                not_asked(self.model, planned, each, error)

    async def _decide(self, planned: Plan) -> Decision | None:
        """Append the decision under its guard; nothing where the facts have moved on meanwhile."""
        parts = compose(self.model, planned, 0 if self.lease is None else self.lease.epoch)
        with deciding(self.model.reasons.causes, planned.placements, planned.removals) as cause:
            said = [(self._stream, each) for each in parts] + uses(self.model, planned, parts[0].decision)
            submission = submission_of(
                said,
                cause,
                self.lease,
                expected={self._stream: self.model.branch_version},
                guard=Guard(CATEGORIES, self.model.position),
                expires_at=planned.until,
            )
            outcome = await self._events.append_async(submission)
        match outcome:
            case Appended():
                self.model.branch_version = version = outcome.versions[self._stream]
                itself = Cause(f"{self._stream}/{version}", cause.traceparent, outcome.last)
                position = outcome.last - (len(said) - len(parts))
                return Decision(parts, position, outcome.recorded_at, itself)
            case GuardConflict() | VersionConflict():
                # The feed brings what we have not seen, and wakes the loop: of others, or a decision of our own that
                # the log took although its database did not answer.
                return None
            case Expired():
                self.wake()  # A gate has changed since: what is open now is another question.
                return None
            case FencedOut():
                self.lose_lease()
                return None
            case _:
                raise RuntimeError(f"the log did not take a decision: {outcome}")

    # --- writing -------------------------------------------------------------------------------------------------

    async def _carry_out(self, decision: Decision) -> None:
        """Write the decision's commit and record it."""
        self._pending = decision
        started = self._monotonic()
        with committing(decision.itself) as cause:
            commit, tree, files = await self._write(decision)
            if self.stopped:
                self._pending = None  # Its objects are written; who restores the branch commits what it admitted.
                return
            crash_point("rendering.moved")
            event = AdmissionWritten(self.model.branch, decision.first.decision, commit, tree, files)
            await self._append([event], self._stream, cause)
            crash_point("rendering.recorded")
            self.model.written(event)
            self._pending = None
            self.commits += 1
            self.written = Written(commit, files, self._monotonic() - started, decision.position, decision.at)
            committed(self.written, new=commit != decision.first.parent)
        self.on_written()

    async def _write(self, decision: Decision) -> tuple[str, str, int]:
        """Write objects and move the branch; return (commit, tree, files). A byte must have changed for a commit."""
        sink = self._repository.pack(self._workers())
        parent = decision.first.parent
        try:
            done = await self.model.admit(decision, sink)
            if not done.changed:
                sink.abort()
                return parent, done.tree.hex(), 0
            commit = commit_of(self.model, decision, done.tree, sink)
            await sink.finish_async()
        except BaseException:
            sink.abort()
            raise
        restoring = self.model.must_commit and not self._rebuilding
        if restoring and not await asyncio.to_thread(self._repository.holds_all, done.tree.hex()):
            await self._write_lost(decision)
        try:
            await asyncio.to_thread(self._repository.move, parent or None, commit)
        except RefMoved as moved:
            # A crash after the move, before the log knew, leaves exactly our commit. A repository that is made again
            # cannot hold the commits of others: the branch stays where they began, and is found there afterwards.
            if moved.found != commit and not self._rebuilding:
                await self._stop_for(moved.found or "")
        if self._rebuilding:
            self.model.parent = commit
        return commit, done.tree.hex(), done.files

    async def _write_lost(self, decision: Decision) -> None:
        """Write all objects of the log's commits again: the repository was put back from an older copy."""
        log.warning("rendering.objects-lost", decision=decision.first.decision)
        with self._repository.pack(self._workers()) as sink:
            await render_again(self.model, self._events, decision.position, sink)
            await sink.finish_async()

    # --- waiting -------------------------------------------------------------------------------------------------

    async def _settle(self, until: int | None) -> None:
        """Tell who waits: all is rendered, but for closed gates and for removals that still settle."""
        async with self._settled:
            known = self.model.position if until is None else until
            self.settled_position = max(self.settled_position, known)
            self._settled.notify_all()

    async def settled(self, position: int) -> None:
        """Wait until everything up to `position` has been rendered, but for closed gates."""
        async with self._settled:
            await self._settled.wait_for(lambda: self.settled_position >= position)
