"""The renderer's model: the facts, what each cluster was given, and the state of the branch.

The one rule: it is the fold of the log. A running renderer, a restarted one and a verifier all use `fold`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from libs.contracts import ApprovalCompleted, Recorded, category_of
from libs.contracts.instants import UNIX_EPOCH
from libs.fleet import Fleet, unpacked
from libs.fleet.state import Parts, begin_parts, remembered, typed, value, whole
from libs.gates import GATES_READ, Gates
from services.rendering.domain.fuse import Fuse
from services.rendering.events import (
    AdmissionDecided,
    AdmissionWritten,
    ConfirmationAccepted,
    ConfirmationLapsed,
    ForeignCommitFound,
    GraceEnded,
    LayoutChosen,
    RemovalsConfirmed,
    RemovalsHeld,
    WritingRestored,
)
from services.rendering.model.decision import DecidedAdmission
from services.rendering.model.reasons import Reasons
from services.rendering.model.trees import PARTS as TREES
from services.rendering.model.trees import Trees
from services.rendering.observing import Cause
from services.rendering.target.aside import Aside
from services.rendering.target.inputs import Inputs
from services.rendering.target.placements import PARTS as PLACEMENTS
from services.rendering.target.placements import Admission, Placements
from services.rendering.timing import AT_ONCE, Timing

BRANCH = "main"
CATEGORIES = (*GATES_READ, "layout")
"""The categories that can change a target or close a gate: an admission is guarded by all of them."""

PARTS: Parts = {
    "placements": whole(Placements, PLACEMENTS),
    "trees": whole(Trees, TREES),
    "fuse": typed(Fuse),
    "laws_in_force": typed(set[str]),
    "behind": typed(dict[str, set[str]]),
    "at": value(UNIX_EPOCH, datetime.isoformat, datetime.fromisoformat),
    "reasons": typed(Reasons),
    "epoch": value(""),
    "hash": value(b""),
    "position": value(0),
    "branch_version": value(0),
    "clusters_tree": value(None),
    "written_tree": value(None),
    "parent": value(""),
    "foreign": value(""),
    "must_commit": value(begin=False),
    "layout": value(0),
    "evaluated": value(0),
    "decision": typed(DecidedAdmission),
    "applied": value(""),
    "applied_position": value(0),
    "sharing": remembered(dict),
}
"""The parts of a model that a snapshot keeps besides the fleet."""


class Model:
    """The state of rendering. Fold and read on one task; `size` is the number of ordinals given.

    `gates`, `inputs` and `aside` are caches, or belong to this process: they start empty in each.
    """

    __slots__ = ("aside", "branch", "fleet", "gates", "inputs", "timing", *PARTS)

    placements: Placements
    trees: Trees
    fuse: Fuse
    laws_in_force: set[str]
    behind: dict[str, set[str]]
    at: datetime
    reasons: Reasons
    epoch: str
    hash: bytes
    position: int
    branch_version: int
    clusters_tree: bytes | None
    written_tree: bytes | None
    parent: str
    foreign: str
    """Somebody else's commit at which the branch was found (`nothing`: it was gone); empty: it is where we left it."""
    must_commit: bool
    layout: int
    """The code of the layout that clusters should have; 0 in a log from before layouts were chosen."""
    evaluated: int
    """The position up to which targets were brought up to date."""
    decision: DecidedAdmission
    applied: str
    applied_position: int
    sharing: dict[tuple[int | str, ...], list[tuple[str, str]]]
    """The pairs of placements that share an object, by what that rests on; at most one entry."""

    def __init__(self, blob: Callable[[str], bytes | None], branch: str = BRANCH, timing: Timing = AT_ONCE) -> None:
        """`timing` is only used for planning; folding a log does not need it."""
        self.branch, self.timing = branch, timing
        self.aside = Aside()
        self.fleet = Fleet(blob)
        self.inputs = Inputs(self.fleet)
        self.gates = Gates(self.fleet)
        begin_parts(self, PARTS, self.fleet.extent)

    def become(self, other: Model) -> None:
        """Take over everything of another model, which must not be used any more."""
        for name in self.__slots__:
            setattr(self, name, getattr(other, name))

    @property
    def size(self) -> int:
        """The number of ordinals given so far."""
        return self.fleet.selection.size

    def fold(self, recorded: Recorded) -> DecidedAdmission | None:
        """Fold one event; return a decision that must be executed now (before any later event is folded)."""
        self.position, self.hash, self.epoch, self.at = recorded.position, recorded.hash, recorded.epoch, recorded.at
        decision = self._take(recorded)
        if recorded.stream == f"branch-{self.branch}":
            # Our own later appends may be ahead of the feed.
            self.branch_version = max(self.branch_version, recorded.version)
        self.fleet.fold(recorded)
        if isinstance(recorded.event, ApprovalCompleted):
            self.fuse.approved(recorded.event.id, self.fleet.policy.approvals)
        return decision

    def _take(self, recorded: Recorded) -> DecidedAdmission | None:
        event = recorded.event
        match event:
            case AdmissionDecided():
                return self._decided(recorded, event)
            case AdmissionWritten():
                self.written(event)
            case ForeignCommitFound(found=found):
                self.foreign = found or "nothing"
            case WritingRestored(onto=onto):
                self.parent = "" if onto == "nothing" else onto
                self.foreign, self.must_commit = "", True
            case LayoutChosen() | GraceEnded():
                self.reasons.note(recorded)
                self._laid_out(event, recorded.position)
            case RemovalsHeld() | RemovalsConfirmed() | ConfirmationAccepted() | ConfirmationLapsed():
                if isinstance(event, RemovalsConfirmed):
                    self.reasons.note(recorded)
                self.fuse.fold(event)
            case _ if category_of(recorded.stream) in CATEGORIES:
                self.reasons.note(recorded)
        return None

    def _laid_out(self, event: LayoutChosen | GraceEnded, position: int) -> None:
        if isinstance(event, LayoutChosen):
            self.layout = event.layout
        else:
            known = [ordinal for ordinal in unpacked(event.clusters) if ordinal < self.size]
            self.trees.grace_ended.values[known] = position

    def _decided(self, recorded: Recorded, event: AdmissionDecided) -> DecidedAdmission | None:
        if recorded.position <= self.applied_position:
            return None
        if event.part == 1:
            self.decision = DecidedAdmission()
        self.decision.parts.append(event)
        self.decision.position, self.decision.at = recorded.position, recorded.at
        self.decision.itself = Cause.of(recorded)
        return self.decision if self.decision.whole else None

    def apply(self, decision: DecidedAdmission) -> None:
        """Record that a decision was executed; recording it twice changes nothing."""
        if self.applied_position >= decision.position:
            return
        first, at = decision.first, decision.taken_at
        self.applied, self.applied_position = first.decision, decision.position
        self.trees.begin_decision()
        self.placements.admissions.append(Admission(decision.position, at, ""))
        self.fuse.admitted(decision.parts, at)
        self.reasons.taken(first.model_position)

    def written(self, event: AdmissionWritten) -> None:
        """Record that the last decision's commit is the branch's tip."""
        if event.decision != self.applied:
            return
        self.parent = event.commit
        self.written_tree = self.clusters_tree
        self.must_commit = False
        self.placements.admissions[-1] = self.placements.admissions[-1]._replace(commit=event.commit)
