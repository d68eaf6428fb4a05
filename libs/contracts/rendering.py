"""Events of rendering: admissions, the commits that project them, and removals that the fuse holds.

Bitmaps are serialized roaring bitmaps over the fleet's ordinals (see libs/selection).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from libs.contracts.envelope import published
from libs.contracts.meaning import FLEET, Subject, applications_of, counted, members


def _admission(event: AdmissionDecided) -> str:
    reached = members(*event.applications.values(), *event.namespaces.values(), event.clusters)
    removals = f", {counted(event.removals, 'removal')} among them" if event.removals else ""
    part = f" (part {event.part} of {event.parts})" if event.parts > 1 else ""
    return f"decided an admission of {counted(reached, 'cluster')}{removals}{part}"


def _admitted(event: AdmissionDecided) -> list[Subject]:
    namespaces = {key.rpartition("/")[0] for key in event.applications} | set(event.namespaces)
    named = [("namespace", name) for name in sorted(namespaces - {""})]
    return list(dict.fromkeys([*applications_of(event.applications), *named]))


@published("rendering", _admission, FLEET, _admitted, folded=False)
@dataclass(frozen=True, slots=True)
class AdmissionDecided:
    """The decision that changes reach some clusters now; its commit is its projection. Stream `branch-<branch>`.

    What is admitted is the target that the log renders at `model_position`, whose chain hash is `model_head`. A
    decision that is too large for one event has several parts, appended together; `part` counts from 1. The gates and
    the law were judged at `instant`; `overrides` were used, and `approved_by` approved what is admitted. `confirmed`
    are the plans whose removals are among its own, `unconfirmed` counts the other removals. `layouts` are the clusters
    that get another layout of their directory, by its code; a cluster that comes without one gets the first. `given`
    are the clusters that get another release than the one chosen for them, by placement and version
    (`<namespace>/<application>@<version>`).
    """

    branch: str
    decision: str
    parent: str
    model_position: int
    model_head: str
    part: int
    parts: int
    applications: dict[str, bytes] = field(default_factory=dict)
    namespaces: dict[str, bytes] = field(default_factory=dict)
    clusters: bytes = b""
    placements: int = 0
    removals: int = 0
    confirmed: list[str] = field(default_factory=list)
    subject: str = ""
    reasons: list[str] = field(default_factory=list)
    actors: list[str] = field(default_factory=list)
    actors_count: int = 0
    fencing: int = 0
    instant: datetime | None = None
    overrides: list[str] = field(default_factory=list)
    approved_by: list[str] = field(default_factory=list)
    unconfirmed: int | None = None
    layouts: dict[str, bytes] = field(default_factory=dict)
    given: dict[str, bytes] = field(default_factory=dict)


def _written(event: AdmissionWritten) -> str:
    if not event.files:
        return f"wrote nothing on branch {event.branch}, as no file differs"
    return f"wrote commit {event.commit[:12]} on branch {event.branch}"


@published("rendering", _written, FLEET, folded=False)
@dataclass(frozen=True, slots=True)
class AdmissionWritten:
    """The branch's tip is the commit of a decision; equal to its parent if no byte changed."""

    branch: str
    decision: str
    commit: str
    tree: str
    files: int = 0


@published("rendering", "chose layout code {layout} for branch {branch}", FLEET, folded=False)
@dataclass(frozen=True, slots=True)
class LayoutChosen:
    """The clusters of a branch must get this layout of their directories, by its code. Stream `layout-<branch>`."""

    branch: str
    layout: int
    reason: str = ""


def _grace_ended(event: GraceEnded) -> str:
    return f"ended the grace of {counted(members(event.clusters), 'deleted cluster')}"


@published("rendering", _grace_ended, FLEET, folded=False)
@dataclass(frozen=True, slots=True)
class GraceEnded:
    """The empty directories of these deleted clusters must be removed now. Stream `layout-<branch>`."""

    branch: str
    clusters: bytes
    reason: str = ""


def _held(event: RemovalsHeld) -> str:
    return f"held back {counted(event.count, 'removal')} as plan {event.plan}"


@published("rendering", _held, FLEET, lambda event: applications_of(event.applications), folded=False)
@dataclass(frozen=True, slots=True)
class RemovalsHeld:
    """The fuse keeps these removals back as one plan, named by the digest of exactly these removals.

    A plan that is too large for one event has several parts, appended together; `part` counts from 1.
    """

    branch: str
    plan: str
    count: int
    admitted: int
    recent: int
    cause: str
    applications: dict[str, bytes] = field(default_factory=dict)
    clusters: bytes = b""
    part: int = 1
    parts: int = 1


@published("rendering", "confirmed the held removals of plan {plan}", FLEET, folded=False)
@dataclass(frozen=True, slots=True)
class RemovalsConfirmed:
    """A person let a held plan go ahead."""

    branch: str
    plan: str
    reason: str = ""


@published("rendering", "accepted the confirmation of plan {plan}", FLEET, folded=False)
@dataclass(frozen=True, slots=True)
class ConfirmationAccepted:
    """A confirmed plan covered all pending removals: it may wait for its gates while other removals are held."""

    branch: str
    plan: str


@published("rendering", "voided the confirmation of plan {plan}", FLEET, folded=False)
@dataclass(frozen=True, slots=True)
class ConfirmationLapsed:
    """A part of a confirmed plan is no longer removed: its name is void, and the rest needs a new confirmation."""

    branch: str
    plan: str


def _foreign(event: ForeignCommitFound) -> str:
    found, expected = event.found[:12] or "nothing", event.expected[:12] or "nothing"
    return f"found branch {event.branch} at {found}, not at {expected}"


@published("rendering", _foreign, FLEET, folded=False)
@dataclass(frozen=True, slots=True)
class ForeignCommitFound:
    """The branch is not where we left it: somebody else wrote to it. Writing stops until it is restored."""

    branch: str
    expected: str
    found: str


@published("rendering", "restored writing on branch {branch} onto {onto:.12}", FLEET, folded=False)
@dataclass(frozen=True, slots=True)
class WritingRestored:
    """The admitted state is committed on top of the commit that was found; writing continues."""

    branch: str
    onto: str
    reason: str
