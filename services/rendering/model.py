"""The renderer's model: the facts, what each cluster has been given, and where the branch stands.

The one rule: it is the fold of the log. A running renderer, one that restarts and a verifier all come through `fold`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
from pyroaring import BitMap

from libs.contracts import ApprovalCompleted, Recorded, category_of
from libs.fleet import Fleet, bitmap, ordinals, unpacked
from libs.fleet.parts import EPOCH, microseconds
from libs.fleet.state import Parts, begin_parts, typed, value
from libs.gates import Gates
from libs.gittree import tree_body
from libs.gittree.names import Mode
from services.rendering.domain import FUSE_WINDOW_MINUTES, BranchState
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
from services.rendering.observing import Cause
from services.rendering.target.aside import Aside
from services.rendering.target.inputs import ABSENT, Inputs
from services.rendering.target.placements import Admission, Placements
from services.rendering.target.target import Part, wanted
from services.rendering.timing import AT_ONCE, Timing
from services.rendering.turns import pause
from services.rendering.writing import layout
from services.rendering.writing.carrying import Decision, Materialised, Writes
from services.rendering.writing.message import Reasons
from services.rendering.writing.trees import Trees, rebuild

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from libs.eventlog import EventLog
    from libs.gittree import ObjectSink

BRANCH = "main"
CATEGORIES = (
    "store", "group", "namespace", "application", "configuration", "release", "choices",
    "calendar", "freeze", "placementpolicy", "approval", "override", "withheld", "layout",
)  # fmt: skip
"""What can change a target or close a gate: an admission is guarded by all of them."""
PAGE_EVENTS = 1_000

Holding = RemovalsHeld | RemovalsConfirmed | ConfirmationAccepted | ConfirmationLapsed
"""What is said of removals that the fuse keeps back."""


PARTS: Parts = {
    "laws_in_force": typed(set[str]),
    "accepted": typed(set[str]),
    "behind": typed(dict[str, set[str]]),
    "at": value(EPOCH, datetime.isoformat, datetime.fromisoformat),
    "reasons": typed(Reasons),
    "epoch": value(""),
    "hash": value(b""),
    "position": value(0),
    "branch_version": value(0),
    "clusters_tree": value(None),
    "written_tree": value(None),
    "parent": value(""),
    "must_commit": value(begin=False),
    "layout": value(0),
    "evaluated": value(0),
    "decision": typed(Decision),
    "applied": value(""),
    "applied_position": value(0),
    "state": typed(BranchState),
    "confirmed": typed(dict[str, dict[str, BitMap]]),
    "held": typed(list[RemovalsHeld]),
    "removals": typed(list[tuple[datetime, int]]),
}
"""What a snapshot keeps of a model beside the fleet, the placements and the trees."""


class Model:
    """Everything that rendering knows. Fold and read on one task; `size` is the number of ordinals given."""

    __slots__ = ("aside", "branch", "fleet", "gates", "inputs", "placements", "timing", "trees", *PARTS)

    laws_in_force: set[str]
    accepted: set[str]
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
    must_commit: bool
    layout: int
    """The code of the layout that clusters should have; 0 in a log from before layouts were chosen."""
    evaluated: int
    """The position up to which targets were brought up to date."""
    decision: Decision
    applied: str
    applied_position: int
    state: BranchState
    confirmed: dict[str, dict[str, BitMap]]
    held: list[RemovalsHeld]
    """The parts of the plan that was held last."""
    removals: list[tuple[datetime, int]]

    def __init__(self, blob: Callable[[str], bytes | None], branch: str = BRANCH, timing: Timing = AT_ONCE) -> None:
        """`timing` matters to who plans with the model; folding a log does not ask for it."""
        self.branch, self.timing = branch, timing
        self.aside = Aside()
        self.fleet = Fleet(blob)
        self.inputs = Inputs(self.fleet)
        self.gates = Gates(self.fleet)
        self.placements = Placements(self.fleet.extent)
        self.trees = Trees(self.fleet.extent)
        begin_parts(self, PARTS, self.fleet.extent)

    def become(self, other: Model) -> None:
        """Take over everything of another model, which must not be used any more."""
        for name in self.__slots__:
            setattr(self, name, getattr(other, name))

    @property
    def size(self) -> int:
        """The number of ordinals given so far."""
        return self.fleet.selection.size

    @property
    def held_plan(self) -> str:
        """The plan that is held and not confirmed, once all of its parts are known; empty: none."""
        return self.held[0].plan if self.held and len(self.held) == self.held[0].parts else ""

    def fold(self, recorded: Recorded) -> Decision | None:
        """Take one event; return a decision that is now to be carried out (before any later event is folded)."""
        self.position, self.hash, self.epoch, self.at = recorded.position, recorded.hash, recorded.epoch, recorded.at
        decision = self._take(recorded)
        if recorded.stream == f"branch-{self.branch}":
            # Our own later appends may be ahead of what comes round through the feed.
            self.branch_version = max(self.branch_version, recorded.version)
        self.fleet.fold(recorded)
        if isinstance(recorded.event, ApprovalCompleted):
            self._approved(recorded.event.id)
        return decision

    def _take(self, recorded: Recorded) -> Decision | None:
        event = recorded.event
        match event:
            case AdmissionDecided():
                return self._decided(recorded, event)
            case AdmissionWritten():
                self.written(event)
            case ForeignCommitFound() | WritingRestored():
                self._branch(event)
            case LayoutChosen() | GraceEnded():
                self.reasons.note(recorded)
                self._laid_out(event, recorded.position)
            case RemovalsHeld() | RemovalsConfirmed() | ConfirmationAccepted() | ConfirmationLapsed():
                self._hold(recorded, event)
            case _ if category_of(recorded.stream) in CATEGORIES:
                self.reasons.note(recorded)
        return None

    def _branch(self, event: ForeignCommitFound | WritingRestored) -> None:
        held, confirmed = self.state.held, self.state.confirmed
        if isinstance(event, ForeignCommitFound):
            self.state = BranchState(held, confirmed, event.found or "nothing")
            return
        self.parent = "" if event.onto == "nothing" else event.onto
        self.must_commit = True
        self.state = BranchState(held, confirmed)

    def _laid_out(self, event: LayoutChosen | GraceEnded, position: int) -> None:
        if isinstance(event, LayoutChosen):
            self.layout = event.layout
        else:
            known = [ordinal for ordinal in unpacked(event.clusters) if ordinal < self.size]
            self.trees.grace_ended.values[known] = position

    def _hold(self, recorded: Recorded, event: Holding) -> None:
        match event:
            case RemovalsHeld():
                self.held = [event] if event.part == 1 else [*self.held, event]
                self.state = BranchState(self.held_plan, self.state.confirmed, self.state.foreign)
            case RemovalsConfirmed():
                self.reasons.note(recorded)
                self._confirm(event.plan)
            case ConfirmationAccepted():
                if event.plan in self.confirmed:
                    self.accepted.add(event.plan)
            case ConfirmationLapsed():
                self._forget_plans([event.plan])

    def _confirm(self, plan: str) -> None:
        if plan and self.held_plan == plan:
            removed = [each.applications.items() for each in self.held]
            self.confirmed[plan] = {key: unpacked(clusters) for items in removed for key, clusters in items}
            self.state = BranchState("", self.state.confirmed | {plan}, self.state.foreign)

    def _approved(self, approval: str) -> None:
        """A hold that everybody whom it needs has approved goes ahead."""
        runs = self.fleet.policy.approvals
        known = runs.get(approval)
        if known is None or known.request.kind != "hold":
            return
        plan = known.request.subject
        alike = [each for each in runs.values() if each.request.kind == "hold" and each.request.subject == plan]
        if all(each.state == "approved" for each in alike):
            self._confirm(plan)

    def _decided(self, recorded: Recorded, event: AdmissionDecided) -> Decision | None:
        if recorded.position <= self.applied_position:
            return None
        if event.part == 1:
            self.decision = Decision()
        self.decision.parts.append(event)
        self.decision.position, self.decision.at = recorded.position, recorded.at
        self.decision.itself = Cause.of(recorded)
        return self.decision if self.decision.whole else None

    def written(self, event: AdmissionWritten) -> None:
        """Take note that the last decision's commit is the branch's tip."""
        if event.decision != self.applied:
            return
        self.parent = event.commit
        self.written_tree = self.clusters_tree
        self.must_commit = False
        self.placements.admissions[-1] = self.placements.admissions[-1]._replace(commit=event.commit)

    # --- carrying out a decision ---------------------------------------------------------------------------------

    async def admit(self, decision: Decision, sink: ObjectSink) -> Materialised:
        """Give the clusters of a decision what the log renders for them now; build the trees above.

        May be done again with another sink where the first one failed.
        """
        first = decision.first
        self._note(decision)
        changed: dict[str, BitMap] = {}
        writes = Writes(sink)
        files = 0
        for part in decision.parts:
            for key, packed_clusters in part.applications.items():
                among = ordinals(unpacked(packed_clusters))
                files += await self._give(key, among, writes, first.instant or decision.at, decision.given(key))
                namespace = key.split("/", 1)[0]
                changed[namespace] = changed.get(namespace, BitMap()) | bitmap(among)
            for namespace, packed_clusters in part.namespaces.items():
                among_set = unpacked(packed_clusters)
                self._set_content(namespace, among_set)
                changed[namespace] = changed.get(namespace, BitMap()) | among_set
        await writes.finish()
        clusters = self._register(decision)
        names = self.fleet.selection.name
        self.clusters_tree = await rebuild(self.trees, self.placements, names, changed, clusters, sink)
        tree = self._root(first, sink)
        different = self.clusters_tree != self.written_tree or self.must_commit or not self.parent
        return Materialised(tree, different, files)

    def _note(self, decision: Decision) -> None:
        first = decision.first
        at = decision.at
        if at is None:
            raise ValueError("a decision is carried out after the log took it")
        if self.applied_position >= decision.position:
            return
        self.applied, self.applied_position = first.decision, decision.position
        self.trees.moved = BitMap()
        self.placements.admissions.append(Admission(decision.position, at, ""))
        unconfirmed = first.unconfirmed
        if unconfirmed is None:
            unconfirmed = 0 if first.confirmed else first.removals
        if unconfirmed:
            since = at - timedelta(minutes=FUSE_WINDOW_MINUTES)
            self.removals = [*(each for each in self.removals if each[0] > since), (at, unconfirmed)]
        self._go_ahead(decision)
        self.reasons.taken(first.model_position)

    def _go_ahead(self, decision: Decision) -> None:
        """Take what is admitted off the confirmed plans: who removes the same things again is asked again."""
        for left in self.confirmed.values():
            for part in decision.parts:
                for key in left.keys() & part.applications.keys():
                    left[key] = left[key] - unpacked(part.applications[key])
        self._forget_plans([plan for plan, left in self.confirmed.items() if not any(left.values())])

    def _forget_plans(self, plans: Sequence[str]) -> None:
        for plan in plans:
            self.confirmed.pop(plan, None)
            self.accepted.discard(plan)
        if self.held and self.held[0].plan in plans:
            self.held = []
        held = "" if self.state.held in plans else self.state.held
        self.state = BranchState(held, self.state.confirmed - set(plans), self.state.foreign)

    async def _give(
        self, key: str, among: NDArray[np.int64], writes: Writes, at: datetime | None, given: dict[str, BitMap]
    ) -> int:
        if at is None:
            raise ValueError("a decision is carried out after the log took it")
        placement = self.placements.at(key)
        placement.release.values[among] = 0
        placement.variant.values[among] = ABSENT
        placement.blob.values[among] = 0
        placement.admission.values[among] = len(self.placements.admissions)
        here = self.fleet.applications.get(placement.application)
        if here is not None and here.namespace == placement.namespace:
            for part in wanted(self.fleet, self.inputs, placement.application, among, at, given).parts:
                await pause()
                code = self.version_code(part)
                placement.release.values[part.among] = code
                placement.variant.values[part.among] = part.variants
                await writes.start(part, placement)
        differs = placement.differs(among)
        placement.pending = (placement.pending - bitmap(among)) | bitmap(among[differs])
        if not placement.pending:
            self.behind.pop(key, None)
        return len(among)

    def version_code(self, part: Part) -> int:
        """Return the code of a release in the placements' columns."""
        return self.placements.versions.code(f"{part.release.application}/{part.release.version}")

    def namespace_content(self, namespace: str) -> int | None:
        """Return the code of the `namespace.yaml` that a namespace should have, if it is declared."""
        declared = self.fleet.namespaces.get(namespace)
        if declared is None:
            return None
        text = layout.namespace_file(namespace, declared.namespace_labels).decode()
        return self.trees.contents.code(text)

    def _set_content(self, namespace: str, among: BitMap) -> None:
        code = self.namespace_content(namespace)
        if code is not None:
            self.trees.set_content(namespace, ordinals(among), code)

    def _register(self, decision: Decision) -> BitMap:
        """Give clusters their directories, or take them away; return those whose directories are others now."""
        clusters = BitMap()
        for part in decision.parts:
            clusters |= unpacked(part.clusters)
        live, names = self.fleet.selection.everything, self.fleet.selection.name
        self.trees.register(clusters & live, names)
        for ordinal in clusters - live:
            self.trees.deregister(ordinal, names(ordinal))
        at = 0 if decision.at is None else microseconds(decision.at)
        for part in decision.parts:
            for code, packed_clusters in part.layouts.items():
                moved = unpacked(packed_clusters)
                self.trees.lay_out(moved, int(code), at)
                clusters |= moved
        return clusters

    def _root(self, decision: AdmissionDecided, sink: ObjectSink) -> bytes:
        facts = {
            "epoch": self.epoch,
            "position": decision.model_position,
            "clusters": len(self.trees.registered),
            "placements": self.placements.admitted_count(),
            "digest": f"sha1:{self.clusters_tree.hex()}" if self.clusters_tree else "",
        }
        manifest = sink.add("blob", layout.manifest_file(facts))
        own = sink.add("tree", tree_body({"manifest.json": (Mode.FILE, manifest)}))
        entries = {layout.MANIFEST_DIRECTORY: (Mode.DIRECTORY, own)}
        if self.clusters_tree:
            entries["clusters"] = (Mode.DIRECTORY, self.clusters_tree)
        return sink.add("tree", tree_body(entries))

    def recent_removals(self, now: datetime) -> int:
        """Return how many removals were admitted, unconfirmed, within the fuse's window before `now`."""
        since = now - timedelta(minutes=FUSE_WINDOW_MINUTES)
        return sum(count for at, count in self.removals if at > since)


async def render_again(model: Model, events: EventLog, until: int, sink: ObjectSink) -> None:
    """Give a sink every object that the log's decisions up to a position ever asked for, but for the commits."""
    fresh = Model(model.fleet.blob, model.branch)
    while fresh.position < until:
        for recorded in await asyncio.to_thread(events.read_recorded, fresh.position, PAGE_EVENTS):
            decision = fresh.fold(recorded) if recorded.position <= until else None
            if decision is not None:
                await fresh.admit(decision, sink)
