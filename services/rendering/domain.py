"""What may be admitted: the fuse that keeps massive removals back, and people's answers to it.

The one rule: a plan is named by the digest of exactly what it removes; when that set changes, the old name is void.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from libs.contracts.refusals import Rejected
from libs.fleet import packed
from services.rendering.events import RemovalsConfirmed, WritingRestored

if TYPE_CHECKING:
    from pyroaring import BitMap

FUSE_WINDOW_MINUTES = 60


class NoSuchHold(Rejected):
    """No plan of that id is being held; it may have gone ahead, or changed and got another id."""

    code = "no-such-hold"


class ApprovalNeeded(Rejected):
    """The removals of the plan need an approval that has not been granted yet."""

    code = "approval-needed"


class WritingGoesOn(Rejected):
    """The branch is where we left it, so there is nothing to restore."""

    code = "nothing-to-restore"


@dataclass(frozen=True, slots=True)
class Hold:
    """Removals that are kept back: `clusters` are the clusters among them that are to go altogether."""

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


@dataclass(frozen=True, slots=True)
class ConfirmRemovals:
    """Let a held plan go ahead."""

    branch: str
    plan: str
    reason: str


@dataclass(frozen=True, slots=True)
class RestoreWriting:
    """Commit what is admitted on top of somebody else's commit, and go on."""

    branch: str
    reason: str


@dataclass(frozen=True, slots=True)
class BranchState:
    """What people may act on: the plan that is held, those confirmed, and a foreign tip (empty: none).

    `awaited` are the processes that have not approved the held plan yet.
    """

    held: str = ""
    confirmed: frozenset[str] = field(default_factory=frozenset)
    foreign: str = ""
    awaited: tuple[str, ...] = ()


def decide(
    command: ConfirmRemovals | RestoreWriting, state: BranchState
) -> Sequence[RemovalsConfirmed | WritingRestored]:
    """Return what follows from `command`; nothing, if it has happened already."""
    match command:
        case ConfirmRemovals(branch, plan, reason):
            if plan in state.confirmed:
                return []
            if plan != state.held:
                fix = f"`resedge get holds` shows what is held now{f': {state.held}' if state.held else ': nothing'}"
                raise NoSuchHold(f"there is no held plan {plan}", fix=fix)
            if state.awaited:
                raise ApprovalNeeded(
                    f"plan {plan} waits for {', '.join(state.awaited)}",
                    fix="it goes ahead by itself when they have approved it: `resedge get approvals`",
                )
            return [RemovalsConfirmed(branch, plan, reason)]
        case RestoreWriting(branch, reason):
            if not state.foreign:
                raise WritingGoesOn(f"branch {branch} is where we left it")
            return [WritingRestored(branch, state.foreign, reason)]
