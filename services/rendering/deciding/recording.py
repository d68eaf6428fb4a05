"""What a plan makes rendering say in the log: removals that are held, questions to people, the decision itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libs.eventlog import Appended, Expired, FencedOut, Guard, GuardConflict, InvalidSubmission, VersionConflict
from services.rendering.deciding.composing import compose, held, uses
from services.rendering.deciding.leaving import opening
from services.rendering.deciding.requesting import ASKING_ABOUT_HOLD, RECORDING_HOLD, not_asked, outstanding
from services.rendering.model import CATEGORIES
from services.rendering.model.decision import Decision
from services.rendering.observing import Cause, deciding

if TYPE_CHECKING:
    from collections.abc import Callable

    from services.rendering.deciding.plan import Plan
    from services.rendering.domain.fuse import Hold
    from services.rendering.model import Model
    from services.rendering.writing.branch_log import BranchLog


class Recorder:
    """Appends what follows from plans; `look_again` is called where a plan was overtaken before the log took it."""

    def __init__(self, model: Model, branch_log: BranchLog, look_again: Callable[[], None]) -> None:
        self._model = model
        self._log = branch_log
        self._look_again = look_again
        self._asked = 0
        self._opened = -1

    async def keep_back(self, hold: Hold | None) -> None:
        """Record a held plan that is new. Where it cannot be recorded it is held all the same, and all else goes on."""
        model = self._model
        if hold is None:
            model.aside.clear(ASKING_ABOUT_HOLD)
            model.aside.clear(RECORDING_HOLD)
        elif model.fuse.held_plan != hold.plan:
            with model.aside.apart(RECORDING_HOLD):
                events = held(model.branch, hold)
                await self._log.append(events, f"hold-{model.branch}", model.reasons.causes.newest())
                for event in events:
                    model.fuse.fold(event)

    async def ask(self, planned: Plan) -> None:
        """Begin the runs of sign-off that are missing, and void the answers about what is not to be removed any more.

        The feed brings them round: until then the model waits for what it has just appended.
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
        """Give a new branch its layout; return whether that was needed, so that the feed has to bring it first."""
        begins = opening(self._model)
        if begins is None:
            return False
        if self._opened < self._model.position:  # otherwise it is on its way round through the feed
            stream, cause = f"layout-{self._model.branch}", self._model.reasons.causes.newest()
            self._opened = (await self._log.append([begins], stream, cause)).last
        return True

    async def decide(self, planned: Plan) -> Decision | None:
        """Append the decision under its guard; nothing where the facts have moved on meanwhile."""
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
                return Decision(parts, position, outcome.recorded_at, itself)
            case GuardConflict() | VersionConflict() | FencedOut():
                # The feed brings what we have not seen, and wakes the loop: of others, or a decision of our own that
                # the log took although its database did not answer.
                return None
            case Expired():
                self._look_again()  # A gate has changed since: what is open now is another question.
                return None
            case _:
                raise RuntimeError(f"the log did not take a decision: {outcome}")
