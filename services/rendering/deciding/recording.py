"""Appends the results of a plan to the log: held removals, requests for approval, the decision itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libs.eventlog import Appended, Expired, FencedOut, Guard, GuardConflict, InvalidSubmission, VersionConflict
from services.rendering.deciding.composing import compose, holding_events, uses
from services.rendering.deciding.leaving import opening
from services.rendering.deciding.requesting import ASKING_ABOUT_HOLD, RECORDING_HOLD, not_asked, outstanding
from services.rendering.model import CATEGORIES
from services.rendering.model.decision import DecidedAdmission
from services.rendering.observing import Cause, deciding

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.rendering.deciding.plan import Plan
    from services.rendering.domain.fuse import Hold
    from services.rendering.model import Model
    from services.rendering.writing.branch_log import BranchLog


class Recorder:
    """Appends the results of plans; `look_again` is called if newer events came before the append."""

    def __init__(self, model: Model, branch_log: BranchLog, look_again: Callable[[], None]) -> None:
        self._model = model
        self._log = branch_log
        self._look_again = look_again
        self._asked = 0
        self._opened = -1

    async def keep_back(self, hold: Hold | None) -> None:
        """Record a new held plan. If it cannot be recorded it is still held, and everything else continues."""
        model = self._model
        if hold is None:
            model.aside.clear(ASKING_ABOUT_HOLD)
            model.aside.clear(RECORDING_HOLD)
        elif model.fuse.held_plan != hold.plan:
            with model.aside.apart(RECORDING_HOLD):
                events = holding_events(model.branch, hold)
                await self._log.append(events, f"hold-{model.branch}", model.reasons.causes.newest())
                for event in events:
                    model.fuse.fold(event)

    async def ask(self, planned: Plan) -> None:
        """Begin missing runs of sign-off, and void confirmations of removals that are no longer wanted.

        The feed delivers them: until then the model waits for its own events.
        """
        if self._asked > self._model.position:
            return
        for each in outstanding(self._model, planned):
            try:
                cause = self._model.reasons.causes.newest()
                outcome = await self._log.append([each.event], each.stream, cause, each.blobs)
                self._asked = outcome.last
            except InvalidSubmission as error:
                not_asked(self._model, planned, each, error)

    async def open_layout(self) -> bool:
        """Give a new branch its layout; return whether that was needed: then the feed must deliver it first."""
        begins = opening(self._model)
        if begins is None:
            return False
        if self._opened < self._model.position:  # otherwise the feed is about to deliver it
            stream, cause = f"layout-{self._model.branch}", self._model.reasons.causes.newest()
            self._opened = (await self._log.append([begins], stream, cause)).last
        return True

    async def decide(self, planned: Plan) -> DecidedAdmission | None:
        """Append the decision under its guard; nothing if the facts have changed meanwhile."""
        model, lease, stream = self._model, self._log.lease, self._log.stream
        parts = compose(model, planned, 0 if lease is None else lease.epoch)
        with deciding(model.reasons.causes, planned.placements, planned.removals) as cause:
            said = [(stream, each) for each in parts] + uses(model, planned, parts[0].decision)
            outcome = await self._log.submit(
                said,
                cause,
                expected={stream: model.branch_version},
                guard=Guard(CATEGORIES, model.position),
                expires_at=planned.until,
            )
        match outcome:
            case Appended():
                itself = Cause(f"{stream}/{outcome.versions[stream]}", cause.traceparent, outcome.last)
                position = outcome.last - (len(said) - len(parts))
                return DecidedAdmission(parts, position, outcome.recorded_at, itself)
            case GuardConflict() | VersionConflict() | FencedOut():
                # The feed delivers unseen events, and wakes the loop: those of others, or a decision of our own that
                # the log took although its database did not answer.
                return None
            case Expired():
                self._look_again()  # A gate has changed since, so the plan must be made again.
                return None
            case _:
                raise RuntimeError(f"the log did not take a decision: {outcome}")
