"""Requests for approval: the runs of sign-off that pending changes and held removals need, as events.

A run is for an effect: one variant on each of the waiting clusters. Another variant, or one more cluster, is another
run; an edit that changes none of them begins no run.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from pyroaring import BitMap

from libs.contracts import ApprovalSuperseded, stream_id
from libs.contracts.meaning import counted
from libs.fleet import Effect, content_digest, effect_of, fixed, ordinals, packed, within_bounds
from libs.gates import about, items_of
from services.rendering.deciding.keeping import set_aside
from services.rendering.events import ApprovalRequested, ConfirmationAccepted, ConfirmationLapsed
from services.rendering.target.placements import placement_key, split_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from libs.contracts import Event, SignOffDeclared
    from libs.fleet import Approval
    from libs.fleet.effects import Fixed
    from services.rendering.deciding.plan import Plan
    from services.rendering.domain.fuse import Hold
    from services.rendering.model import Model

OURS = "resedge/"
SUMMARY_CHARACTERS_MAX = 500
ASKING_ABOUT_HOLD = "asking about held removals"
RECORDING_HOLD = "recording held removals"


@dataclass(frozen=True, slots=True)
class _Asked:
    """The authors of a change, and its parts."""

    items: dict[str, str]
    requesters: list[str]
    publishers: list[str]


@dataclass(frozen=True, slots=True)
class About:
    """The subject of a run: a placement's change (by `key`), or a held `plan`."""

    key: str
    plan: str
    digest: str
    clusters: BitMap
    summary: str
    effect: Fixed | None = None


@dataclass(frozen=True, slots=True)
class Outstanding:
    """An event that follows from a plan, the blobs that it names, and its placement, if any."""

    stream: str
    event: Event
    blobs: Mapping[str, bytes] = field(default_factory=dict)
    key: str = ""


def outstanding(model: Model, planned: Plan) -> list[Outstanding]:
    """Return the events that follow from a plan before anything is decided.

    These are missing runs of sign-off, and void confirmations, whose set of removals has changed. A run that cannot be
    built is set aside, and its subject stays unapproved.
    """
    stream = f"hold-{model.branch}"
    found = [Outstanding(stream, ConfirmationLapsed(model.branch, name)) for name in planned.lapsed]
    found += [Outstanding(stream, ConfirmationAccepted(model.branch, name)) for name in planned.accepted]
    found += _lapsed(model)
    for key, clusters in sorted(planned.unapproved.items()):
        try:
            if (run := _change(model, key, clusters, planned.now)) is not None:
                found.append(run)
        except Exception as error:  # noqa: BLE001 - what would fail every run is raised again
            set_aside(model, model.placements.by_key[key], clusters, error, "ask")
    if planned.hold is not None:
        try:
            found += _held(model, planned.hold, planned.now)
        except Exception as error:  # noqa: BLE001 - what would fail every run is raised again
            model.aside.share(ASKING_ABOUT_HOLD, error, "ask")
    return found


def _change(model: Model, key: str, clusters: BitMap, now: datetime) -> Outstanding | None:
    """Return the run for a change of a placement, if one must begin."""
    namespace, application = split_key(key)
    process = model.fleet.process_of(application, namespace)
    if process is None:
        return None
    runs = _runs(model, "change", application)
    wanted = _wanted(model, key, clusters)
    if any(_answers(model, run, wanted, now) for run in runs):
        return None
    items = items_of(model.fleet, application)
    asked, effect = _behind(model, key, items, runs), fixed(wanted)
    digest = hashlib.sha256(f"{application}\0{content_digest(items)}\0{effect.digest}".encode()).hexdigest()
    versions = ", ".join(sorted(each.removeprefix("release ") for each in items if each.startswith("release ")))
    summary = f"{application}: release {versions or 'none'} on {counted(len(clusters), 'cluster')}"[
        :SUMMARY_CHARACTERS_MAX
    ]
    return _request(model, process, About(key, "", digest, clusters, summary, effect), asked, now)


def _wanted(model: Model, key: str, clusters: BitMap) -> Effect:
    return Effect(clusters, model.placements.by_key[key].target_variant.values[ordinals(clusters)])


def _lapsed(model: Model) -> list[Outstanding]:
    """Return that what was refused, or taken back, is not wanted any more: who wants it again asks again."""
    found = []
    for run in model.fleet.policy.approvals.values():
        if run.request.kind != "change" or run.state not in {"refused", "withdrawn"} or run.lapsed:
            continue
        effect = effect_of(run.request, model.fleet.blob)
        declared = model.fleet.applications.get(run.request.subject)
        key = "" if declared is None else placement_key(declared.namespace, declared.name)
        placement = model.placements.by_key.get(key)
        if effect is not None and (placement is None or not effect.shared(_wanted(model, key, placement.pending))):
            event = ApprovalSuperseded(run.request.id, "what it was about is not wanted any more")
            found.append(Outstanding(stream_id("approval", run.request.id), event))
    return found


def _held(model: Model, hold: Hold, now: datetime) -> list[Outstanding]:
    """Return every run for held removals that must begin: one for each of their processes."""
    clusters = BitMap.union(hold.clusters, *hold.applications.values())
    asked = _Asked({}, _people(name for key in hold.applications for name in model.behind.get(key, ())), [])
    summary = f"{hold.count:,} removals: {hold.cause}"[:SUMMARY_CHARACTERS_MAX]
    answered = {
        run.request.signoff for run in _runs(model, "hold", hold.plan) if run.running(now) or run.state != "running"
    }
    return [
        _request(model, process, About("", hold.plan, f"{hold.plan} {process.name}", clusters, summary), asked, now)
        for process in _processes(model, hold)
        if process.name not in answered
    ]


def awaited(model: Model, hold: Hold) -> list[str]:
    """Return the processes that have not approved a held plan yet, with the ids of their runs."""
    runs = {run.request.signoff: run for run in _runs(model, "hold", hold.plan)}
    missing = []
    for process in _processes(model, hold):
        run = runs.get(process.name)
        if run is None or run.state != "approved":
            missing.append(process.name if run is None else f"{process.name} (approval {run.request.id})")
    return missing


def _processes(model: Model, hold: Hold) -> list[SignOffDeclared]:
    """Return the processes of the applications from which a plan removes something, by name."""
    placed = map(split_key, hold.applications)
    found = [model.fleet.process_of(application, namespace) for namespace, application in placed]
    by_name = {each.name: each for each in found if each is not None}
    return [by_name[name] for name in sorted(by_name)]


def _runs(model: Model, kind: str, subject: str) -> list[Approval]:
    every = model.fleet.policy.approvals.values()
    return [each for each in every if each.request.kind == kind and each.request.subject == subject]


def _answers(model: Model, run: Approval, wanted: Effect, now: datetime) -> bool:
    """Whether a run goes on over this, or ended with a no to the same effect, which has been wanted ever since."""
    said_no = run.state in {"refused", "withdrawn"} and not run.lapsed
    return (run.running(now) or said_no) and about(model.fleet, run.request.subject, run, wanted)


def _behind(model: Model, key: str, items: dict[str, str], runs: Sequence[Approval]) -> _Asked:
    """Return the authors of changes since the last approved content; without any, the authors of the last facts."""
    done = [run for run in runs if run.people]
    before = done[-1].request.items if done else {}
    changed = [name for name, digest in items.items() if before.get(name) != digest]
    changed += [name for name in before if name.startswith("configuration ") and name not in items]
    facts, application = model.fleet.facts, split_key(key)[1]
    publishers: list[str] = []
    requesters: list[str] = []
    for name in changed:
        kind, _, rest = name.partition(" ")
        spoken = {
            "release": ("release", f"{application}/{rest}"),
            "choices": ("choices", application),
            "configuration": ("configuration", rest),
        }[kind]
        fact = facts.get(spoken)
        if fact is not None:
            (publishers if kind == "release" else requesters).append(fact.actor)
    return _Asked(items, _people(requesters) or _people(model.behind.get(key, ())), _people(publishers))


def _people(names: Iterable[str]) -> list[str]:
    return sorted({name for name in names if name and not name.startswith(OURS)})


def _request(model: Model, process: SignOffDeclared, of: About, asked: _Asked, now: datetime) -> Outstanding:
    name = hashlib.sha256(f"{of.digest}\0{model.position}\0{model.hash.hex()}".encode()).hexdigest()[:12]
    event = ApprovalRequested(
        id=name,
        kind="change" if of.key else "hold",
        subject=split_key(of.key)[1] if of.key else of.plan,
        digest=of.digest,
        signoff=process.name,
        stages=process.stages,
        expires_at=now + timedelta(hours=process.expires_hours),
        clusters=packed(of.clusters),
        count=process.count,
        requesters=asked.requesters,
        publishers=asked.publishers,
        items=asked.items,
        summary=of.summary,
        as_of=model.position,
    )
    blobs: Mapping[str, bytes] = {}
    if of.effect is not None:
        blobs = of.effect.blobs
        event = replace(
            event,
            effect=of.effect.digest,
            variants=dict(of.effect.variants),
            variant_blobs=of.effect.names,
        )
    event, further = within_bounds(event)
    return Outstanding(stream_id("approval", name), event, {**blobs, **further}, of.key)


def not_asked(model: Model, planned: Plan, asked: Outstanding, error: Exception) -> None:
    """Set aside a request that the log does not accept: its subject stays unchanged."""
    if asked.key:
        set_aside(model, model.placements.by_key[asked.key], planned.unapproved[asked.key], error, "ask")
    else:
        model.aside.share(ASKING_ABOUT_HOLD, error, "ask")
