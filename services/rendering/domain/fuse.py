"""The fuse holds massive removals: the held plan, and people's confirmations, as folded from the log.

A plan is named by the digest of exactly what it removes; when that set changes, the old name is void.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from pyroaring import BitMap

from libs.contracts.refusals import Rejected
from libs.fleet import packed, unpacked
from services.rendering.events import (
    AdmissionDecided,
    ConfirmationAccepted,
    ConfirmationLapsed,
    RemovalsConfirmed,
    RemovalsHeld,
)

if TYPE_CHECKING:
    from libs.fleet import Approval

FUSE_WINDOW_MINUTES = 60

FuseEvent = RemovalsHeld | RemovalsConfirmed | ConfirmationAccepted | ConfirmationLapsed


class NoSuchHold(Rejected):
    """No plan with this id is held. It was executed, or it changed, which gives it another id."""

    code = "no-such-hold"


class ApprovalNeeded(Rejected):
    """The removals of the plan need an approval that has not been granted yet."""

    code = "approval-needed"


@dataclass(frozen=True, slots=True)
class Hold:
    """Held removals: `clusters` are the clusters among them that are removed as a whole."""

    plan: str
    applications: Mapping[str, BitMap]
    clusters: BitMap
    count: int
    admitted: int
    recent: int
    cause: str = ""


def plan_id(applications: Mapping[str, BitMap], clusters: BitMap) -> str:
    """Return the digest of exactly what a plan removes."""
    digest = hashlib.sha256()
    for key, members in sorted(applications.items()):
        digest.update(f"{key}\0{len(members)}\0".encode())
        digest.update(packed(members))
    digest.update(b"\0clusters\0" + packed(clusters))
    return digest.hexdigest()[:16]


@dataclass(slots=True)
class Fuse:
    """The fold of held removals, and of those that were admitted without a confirmation.

    `parts` is the plan that was held last, as far as it is known. `confirmed` holds for each confirmed plan what is
    left to remove, by placement; `accepted` are those of them that were all that was to be removed when they were first
    looked at. `unconfirmed` says when how many removals were admitted that nobody had confirmed.
    """

    parts: list[RemovalsHeld] = field(default_factory=list)
    confirmed: dict[str, dict[str, BitMap]] = field(default_factory=dict)
    accepted: set[str] = field(default_factory=set)
    unconfirmed: list[tuple[datetime, int]] = field(default_factory=list)

    @property
    def held_plan(self) -> str:
        """The plan that was held last, once all of its parts are known; empty: none."""
        return self.parts[0].plan if self.parts and len(self.parts) == self.parts[0].parts else ""

    def recent(self, now: datetime) -> int:
        """Return how many removals were admitted, unconfirmed, within the fuse's window before `now`."""
        return sum(count for at, count in self.unconfirmed if at > _window(now))

    # --- folding -----------------------------------------------------------------------------------------------------

    def fold(self, event: FuseEvent) -> None:
        """Fold an event of a held plan."""
        match event:
            case RemovalsHeld():
                self.parts = [event] if event.part == 1 else [*self.parts, event]
            case RemovalsConfirmed(plan=plan):
                self._confirm(plan)
            case ConfirmationAccepted(plan=plan):
                if plan in self.confirmed:
                    self.accepted.add(plan)
            case ConfirmationLapsed(plan=plan):
                self._forget([plan])

    def approved(self, approval: str, runs: Mapping[str, Approval]) -> None:
        """Fold a completed approval: a plan is confirmed once all its processes have approved it."""
        known = runs.get(approval)
        if known is None or known.request.kind != "hold":
            return
        plan = known.request.subject
        alike = [each for each in runs.values() if each.request.kind == "hold" and each.request.subject == plan]
        if all(each.state == "approved" for each in alike):
            self._confirm(plan)

    def admitted(self, parts: Sequence[AdmissionDecided], at: datetime) -> None:
        """Fold an admission: its removals leave the confirmed plans, so that they need a new confirmation next time.

        Unconfirmed removals count from now on for the length of the window.
        """
        first = parts[0]
        unconfirmed = first.unconfirmed
        if unconfirmed is None:
            unconfirmed = 0 if first.confirmed else first.removals
        if unconfirmed:
            kept = (each for each in self.unconfirmed if each[0] > _window(at))
            self.unconfirmed = [*kept, (at, unconfirmed)]
        for left in self.confirmed.values():
            for part in parts:
                for key in left.keys() & part.applications.keys():
                    left[key] = left[key] - unpacked(part.applications[key])
        self._forget([plan for plan, left in self.confirmed.items() if not any(left.values())])

    def _confirm(self, plan: str) -> None:
        if plan and self.held_plan == plan:
            removed = [each.applications.items() for each in self.parts]
            self.confirmed[plan] = {key: unpacked(clusters) for items in removed for key, clusters in items}

    def _forget(self, plans: Iterable[str]) -> None:
        for plan in plans:
            self.confirmed.pop(plan, None)
            self.accepted.discard(plan)
            if self.parts and self.parts[0].plan == plan:
                self.parts = []


def _window(now: datetime) -> datetime:
    return now - timedelta(minutes=FUSE_WINDOW_MINUTES)


# --- deciding --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ConfirmRemovals:
    """Confirm a held plan."""

    branch: str
    plan: str
    reason: str


@dataclass(frozen=True, slots=True)
class Answerable:
    """The plans that people may confirm: the one held now (empty: none), and those already confirmed.

    `awaited` are the processes that have not approved the held plan yet.
    """

    held: str = ""
    confirmed: Collection[str] = ()
    awaited: tuple[str, ...] = ()


def decide(command: ConfirmRemovals, state: Answerable) -> Sequence[RemovalsConfirmed]:
    """Return what follows from `command`; nothing, if it has happened already."""
    plan = command.plan
    if plan in state.confirmed:
        return []
    if plan != state.held:
        fix = f"`resedge get holds` shows what is held now{f': {state.held}' if state.held else ': nothing'}"
        raise NoSuchHold(f"there is no held plan {plan}", fix=fix)
    if state.awaited:
        raise ApprovalNeeded(
            f"plan {plan} waits for {', '.join(state.awaited)}",
            fix="it is executed once they have approved it: see `resedge get approvals`",
        )
    return [RemovalsConfirmed(command.branch, plan, command.reason)]
