"""A plan: which differences between target and admitted may be closed now, and which removals are held.

The one rule: planning changes only the targets and the refusals; the log's answer makes it a decision.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from pyroaring import BitMap

from libs.contracts.meaning import counted
from libs.fleet import bitmap, ordinals
from libs.fleet.fuse import fuse_trips
from libs.gates.of_change import Approved, Settled
from libs.gates.refusals import SET_ASIDE
from services.rendering.deciding.evaluating import evaluate_touched
from services.rendering.deciding.gating import Gating, Passing
from services.rendering.deciding.keeping import set_aside
from services.rendering.deciding.leaving import lay_out, leaving
from services.rendering.domain.fuse import Hold, plan_id
from services.rendering.target.target import release_bodies
from services.rendering.writing.layout import LAYOUTS
from services.rendering.writing.materialising import namespace_content

if TYPE_CHECKING:
    from datetime import datetime

    from services.rendering.model import Model
    from services.rendering.target.placements import Placement


@dataclass(slots=True)
class Plan:
    """The changes to admit at `now` (`applications`, by placement key; `namespaces`; `clusters`), and the held ones.

    It holds `until` the next instant at which a gate changes. `unapproved` waits for somebody's approval, `used` are
    the overrides that let something through, `lapsed` the confirmed plans whose name is void, `accepted` those that
    were looked at for the first time. `layouts` are the clusters that get another layout, `given` those that get
    another release than the chosen one; `settling` counts removals that have not been wanted for long enough, the first
    of which came after position `settled_to`.
    """

    now: datetime
    until: datetime | None
    applications: dict[str, BitMap] = field(default_factory=dict)
    namespaces: dict[str, BitMap] = field(default_factory=dict)
    clusters: BitMap = field(default_factory=BitMap)
    removals: int = 0
    unconfirmed: int = 0
    confirmed: list[str] = field(default_factory=list)
    lapsed: list[str] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)
    hold: Hold | None = None
    unapproved: dict[str, BitMap] = field(default_factory=dict)
    used: dict[str, dict[str, BitMap]] = field(default_factory=dict)
    approved_by: dict[str, None] = field(default_factory=dict)
    layouts: dict[int, BitMap] = field(default_factory=dict)
    given: dict[str, BitMap] = field(default_factory=dict)
    settling: int = 0
    settled_to: int | None = None

    def wake(self, at: datetime | None) -> None:
        """Limit its validity to `at`."""
        if at is not None:
            self.until = at if self.until is None else min(self.until, at)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to admit."""
        return not (self.applications or self.namespaces or self.clusters or self.layouts)

    @property
    def placements(self) -> int:
        """How many placements change."""
        return sum(map(len, self.applications.values()))

    def digest(self, parent: str, position: int) -> str:
        """Return the digest that names the decision: of everything in it."""
        layouts = {str(code): clusters for code, clusters in self.layouts.items()}
        sets = (
            (self.applications, self.clusters),
            (self.namespaces, BitMap()),
            (layouts, BitMap()),
            (self.given, BitMap()),
        )
        content = "\0".join([parent, str(position), *(plan_id(*each) for each in sets)])
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def subject(self) -> str:
        """Return the first line of the commit."""
        applications = sorted({key.split("/", 1)[1] for key in self.applications})
        where = BitMap.union(
            *self.applications.values(), self.clusters, *self.namespaces.values(), *self.layouts.values()
        )
        what = applications[0] if len(applications) == 1 else f"{len(applications)} applications"
        on = counted(len(where), "cluster")
        if not applications and self.layouts and not self.namespaces and not self.clusters:
            return f"Move {on} to layout {', '.join(LAYOUTS[code].name for code in sorted(self.layouts))}"
        if not applications:
            return f"Update {'namespaces' if self.namespaces else 'the registration'} of {on}"
        if self.removals == self.placements:
            return f"Remove {what} from {on}"
        removed = f", {self.removals:,} removals among them" if self.removals else ""
        return f"Update {what} on {on}{removed}"


async def plan(model: Model, now: datetime) -> Plan:
    """Bring the targets up to date and return what may be admitted at `now`."""
    await evaluate_touched(model, now)
    return _close(model, now)


def _close(model: Model, now: datetime) -> Plan:
    gating = Gating(model, now)
    answer = Plan(now=now, until=gating.instant.until)
    passing = _pass_gates(model, gating, answer)
    pending = {key: passed.removals for key, passed in passing.items() if passed.removals}
    settled = {key: rest for key, clusters in pending.items() if (rest := clusters - passing[key].by(Settled.name))}
    allowed = _fuse(model, pending, settled, now, answer)
    for key, passed in passing.items():
        may_go = passed.admitted - (passed.removals - allowed.get(key, BitMap()))
        if may_go:
            answer.applications[key] = may_go
            answer.removals += len(may_go & passed.removals)
            _note_evidence(model, answer, key, passed, may_go)
            for version, clusters in model.placements.by_key[key].fallbacks.items():
                if here := clusters & may_go:
                    answer.given[f"{key}@{version}"] = here
    _count_confirmed(model, answer, passing)
    with model.aside.apart("clusters and their layouts"):
        _clusters(model, answer, gating)
    _contents(model, answer, gating)
    if model.placements.refused(SET_ASIDE):
        answer.wake(model.aside.retry_at(now))
    return answer


def _pass_gates(model: Model, gating: Gating, answer: Plan) -> dict[str, Passing]:
    """Return per placement the result of its gates; record in the plan what waits for people and time."""
    found: dict[str, Passing] = {}
    for key, placement in sorted(model.placements.by_key.items()):
        passed = _passing(model, gating, placement) if placement.pending else None
        if passed is None:
            continue
        found[key] = passed
        answer.wake(passed.until)
        if unsettled := passed.by(Settled.name):
            answer.settling += len(unsettled)
            settling = placement.settling(gating.now, model.timing.settle)
            after = min(each.after for each in settling if each.clusters & unsettled)
            answer.settled_to = after if answer.settled_to is None else min(answer.settled_to, after)
        if unapproved := passed.by(Approved.name):
            answer.unapproved[key] = unapproved
    return found


def _clusters(model: Model, answer: Plan, gating: Gating) -> None:
    """Find which clusters are added, are removed, and get another layout."""
    closed = gating.everywhere_closed()
    going, next_end = leaving(model, answer.applications, answer.now)
    coming = model.fleet.selection.everything - model.trees.registered - closed
    layouts = lay_out(model, coming, gating)
    answer.wake(next_end)
    answer.clusters, answer.layouts = coming | (going - closed), layouts


def _passing(model: Model, gating: Gating, placement: Placement) -> Passing | None:
    """Return the changes that pass the gates and can be executed; None if it fails: it is then set aside."""
    _check_bodies(model, placement)
    try:
        return gating.of(placement)
    except Exception as error:  # noqa: BLE001 - what would fail every placement is raised again
        set_aside(model, placement, placement.pending, error, "gates")
        return None


def _check_bodies(model: Model, placement: Placement) -> None:
    """Read again what a decision will render: a body that the log lost since must not be part of a decision."""
    among = ordinals(placement.pending)
    codes = placement.target_release.values[among]
    for code in np.unique(codes[codes != 0]).tolist():
        application, version = model.placements.versions.names[code].split("/", 1)
        release = model.fleet.releases.get((application, version))
        try:
            if release is not None:
                release_bodies(model.fleet, release)
        except Exception as error:  # noqa: BLE001 - what would fail every placement is raised again
            set_aside(model, placement, bitmap(among[codes == code]), error, "gates")


def _note_evidence(model: Model, answer: Plan, key: str, passed: Passing, may_go: BitMap) -> None:
    for override, clusters in passed.used.items():
        if through := clusters & may_go:
            answer.used.setdefault(override, {})[key] = through
            known = model.fleet.policy.overrides[override]
            # A break-glass override has no approval.
            answer.approved_by.update(dict.fromkeys(() if known.request.break_glass else known.people))
    answer.approved_by.update(
        dict.fromkeys(person for person, where in passed.people.items() if person and where & may_go)
    )


def _fuse(
    model: Model, pending: dict[str, BitMap], settled: dict[str, BitMap], now: datetime, answer: Plan
) -> dict[str, BitMap]:
    """Return per placement the removals that the fuse lets pass; it holds removals even if their gates are closed.

    Only `settled` removals are counted: one that is undone within seconds does not trip the fuse. A plan is judged as a
    whole before the gates, so that it is confirmed once, not again as each window opens.
    """
    gone = model.trees.registered - model.fleet.selection.everything
    _judge_confirmed(model, pending, settled, answer)
    valid = [left for plan, left in model.fuse.confirmed.items() if plan not in answer.lapsed]
    confirmed = {key: BitMap.union(BitMap(), *(left.get(key, BitMap()) for left in valid)) for key in pending}
    asked = {key: rest for key, clusters in settled.items() if (rest := clusters - confirmed[key])}
    count = sum(map(len, asked.values()))
    admitted = model.placements.admitted_count() if count else 0
    if fuse_trips(count, model.fuse.recent(now), admitted):
        cause = "; ".join(model.reasons.lines()) or "facts of an earlier time"
        recent = model.fuse.recent(now)
        answer.hold = Hold(plan_id(asked, gone), asked, gone, count, admitted, recent, cause)
        return {key: pending[key] - asked.get(key, BitMap()) for key in pending}
    return pending


def _judge_confirmed(model: Model, pending: dict[str, BitMap], settled: dict[str, BitMap], answer: Plan) -> None:
    """Find the confirmed plans that are void, since their set has changed, and those that are valid from now on.

    A plan that is looked at for the first time must be all that is to be removed; later it may wait for its windows
    while others are asked about, but nothing of it may have become unwanted.
    """
    fuse = model.fuse
    for plan, left in fuse.confirmed.items():
        unwanted = any(clusters - pending.get(key, BitMap()) for key, clusters in left.items())
        others = [
            model.fuse.confirmed[each] for each in model.fuse.confirmed if each != plan and each in model.fuse.accepted
        ]
        grown = plan not in fuse.accepted and any(
            clusters - left.get(key, BitMap()) - BitMap.union(BitMap(), *(each.get(key, BitMap()) for each in others))
            for key, clusters in settled.items()
        )
        if unwanted or grown:
            answer.lapsed.append(plan)
        elif plan not in fuse.accepted:
            answer.accepted.append(plan)


def _count_confirmed(model: Model, answer: Plan, passing: dict[str, Passing]) -> None:
    """Record which confirmed plans are being executed, and how many removals needed no confirmation."""
    answered = 0
    for plan, left in model.fuse.confirmed.items():
        if plan in answer.lapsed:
            continue
        going = sum(
            len(left[key] & passing[key].removals & clusters)
            for key, clusters in answer.applications.items()
            if key in left and key in passing
        )
        if going:
            answer.confirmed.append(plan)
            answered += going
    answer.unconfirmed = answer.removals - answered


def _contents(model: Model, answer: Plan, gating: Gating) -> None:
    """Find where `namespace.yaml` is new, or out of date and may change."""
    for namespace in sorted({placement.namespace for placement in model.placements.by_key.values()}):
        with model.aside.apart(f"namespace {namespace}"):
            _content(model, answer, gating, namespace)


def _content(model: Model, answer: Plan, gating: Gating, namespace: str) -> None:
    code = namespace_content(model, namespace)
    if code is not None:
        content = model.trees.at(namespace).content.values
        there = BitMap()
        for placement in model.placements.of_namespace(namespace):
            changed = answer.applications.get(placement.key, BitMap())
            among = ordinals(changed)
            there |= bitmap(among[placement.target_release.values[among] != 0])
        among = ordinals(there)
        new = bitmap(among[content[among] == 0])
        others = (bitmap(among[content[among] != code]) | model.trees.stale(namespace, code)) - new
        found = new | (others - gating.namespace_closed(namespace) if others else others)
        if found:
            answer.namespaces[namespace] = found
