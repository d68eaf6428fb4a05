"""Events of approval: sign-off processes, their runs (approvals), and overrides.

Bitmaps are serialized roaring bitmaps over the fleet's ordinals. An approval is for one digest. `by` holds the author
of an event, with the token and the address.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from libs.contracts.authors import NOBODY, By, removed
from libs.contracts.envelope import published
from libs.contracts.instants import instant_text
from libs.contracts.inventory import Labels
from libs.contracts.meaning import FLEET, NOTHING, Subject, counted, members


@dataclass(frozen=True, slots=True)
class SignOffStage:
    """A number of distinct people who each hold one of these roles."""

    roles: list[str]
    quorum: int = 1


@published("policy", "declared sign-off {name}", FLEET)
@dataclass(frozen=True, slots=True)
class SignOffDeclared:
    """A process: ordered stages, how long a run may take, and whose votes count besides those of independent people.

    `count` holds some of `requester`, `publisher`, `earlier_approvers`, `service_accounts`.
    Once in `break_glass_hours` a person may break the glass on a cluster, where the process applies. Stream
    `signoff-<name>`.
    """

    name: str
    stages: list[SignOffStage]
    expires_hours: float = 24
    count: list[str] = field(default_factory=list)
    labels: Labels = field(default_factory=dict)
    break_glass_hours: float = 24


@published("policy", removed("sign off {name}"), FLEET)
@dataclass(frozen=True, slots=True)
class SignOffRemoved:
    """A process was removed; its open runs keep their stages."""

    name: str
    by: By = NOBODY
    reason: str = ""


def _asked(event: ApprovalRequested) -> str:
    told = f": {event.summary}" if event.summary else ""
    return f"asked sign-off {event.signoff} about {event.kind} {event.subject}{told}"


def _asked_about(event: ApprovalRequested) -> list[Subject]:
    """Return the subject of a run; none for a held plan, whose branch the event names already."""
    if event.kind in ("branch", "hold"):
        return []
    return [("application" if event.kind == "change" else event.kind, event.subject)]


@published("policy", _asked, NOTHING, _asked_about)
@dataclass(frozen=True, slots=True)
class ApprovalRequested:
    """A run of a process over one subject begins. Stream `approval-<id>`.

    `kind` is `override`, `hold` or `change`; `subject` the override's id, the plan's id or the application; `digest`
    covers every byte of the subject and its resolved `clusters`. `items` name the parts of a change's content by digest
    (`release 1.2`, `choices`, `configuration x`), and `parts` which of `clusters` each of them reached then. The stages
    and what counts are the process's as of now. Where `items`, `parts`, `requesters` and `publishers` together are too
    large for an event they are empty here, and `content` names the blobs of the log that hold them, in order, as one
    JSON document.

    `effect` is the digest of what a change would admit: on each of `clusters` one variant. `variants` says which
    clusters would get each of them, by its digest (32 zeros: the application is removed); of clusters that it does not
    name, `variant_blobs` name the blobs that hold their variants, in order: 16 bytes each, by ascending ordinal.
    `as_of` is the log's position whose facts it is about. A run without `effect` was recorded before there was one: it
    is of its `items`, wherever `parts` still reach what they reached.
    """

    id: str
    kind: str
    subject: str
    digest: str
    signoff: str
    stages: list[SignOffStage]
    expires_at: datetime
    clusters: bytes = b""
    count: list[str] = field(default_factory=list)
    requesters: list[str] = field(default_factory=list)
    publishers: list[str] = field(default_factory=list)
    items: dict[str, str] = field(default_factory=dict)
    summary: str = ""
    reason: str = ""
    ticket: str = ""
    by: By = NOBODY
    parts: dict[str, bytes] = field(default_factory=dict)
    content: list[str] = field(default_factory=list)
    effect: str = ""
    variants: dict[str, bytes] = field(default_factory=dict)
    variant_blobs: list[str] = field(default_factory=list)
    as_of: int = 0


@published("policy", "granted approval {id} as {role}", NOTHING)
@dataclass(frozen=True, slots=True)
class ApprovalGranted:
    """One person's approval in one stage (counted from 0) of a run; `service_account`: the voter is one.

    `groups` are those of the voter's groups that any role binding named then, `token_roles` the roles that the token
    gave by itself: by these, and by bindings that name the person, the voter held a role.
    """

    id: str
    digest: str
    stage: int
    role: str
    by: By
    reason: str = ""
    ticket: str = ""
    service_account: bool = False
    groups: list[str] = field(default_factory=list)
    token_roles: list[str] = field(default_factory=list)


def _completed(event: ApprovalCompleted) -> str:
    return f"completed approval {event.id} by {', '.join(event.people) or 'nobody'}"


@published("policy", _completed, NOTHING)
@dataclass(frozen=True, slots=True)
class ApprovalCompleted:
    """The last stage has its quorum: `people` have approved the subject with this digest."""

    id: str
    digest: str
    people: list[str]


@published("policy", "refused approval {id}", NOTHING)
@dataclass(frozen=True, slots=True)
class ApprovalRefused:
    """An eligible person rejected it, which ends the run."""

    id: str
    digest: str
    reason: str
    by: By
    ticket: str = ""


def _withdrawn(event: ApprovalWithdrawn) -> str:
    return f"withdrew {'the request of' if event.whole else 'a vote from'} approval {event.id}"


@published("policy", _withdrawn, NOTHING)
@dataclass(frozen=True, slots=True)
class ApprovalWithdrawn:
    """A voter takes back a vote, or (`whole`) a requester takes back the request."""

    id: str
    whole: bool
    reason: str
    by: By
    ticket: str = ""


@published("policy", "superseded approval {id}", NOTHING)
@dataclass(frozen=True, slots=True)
class ApprovalSuperseded:
    """The subject has changed: votes for the old digest are void."""

    id: str
    reason: str


def gates_of(event: OverrideRequested) -> list[OverriddenGate]:
    """Return what an override opens; one that was recorded without `gates` opens whatever has the name."""
    if event.gates:
        return event.gates
    named = (("freeze", event.freeze), ("calendar", event.calendar))
    return [OverriddenGate(kind, name) for kind, name in named if name]


def _override(event: OverrideRequested) -> str:
    named = " and ".join(f"{each.kind} {each.name}" for each in gates_of(event))
    how = "broke the glass on" if event.break_glass else "asked for an override of"
    where = counted(members(event.clusters), "cluster")
    return f"{how} {named} on {where} for {event.minutes:g} minutes"


def _overridden(event: OverrideRequested) -> list[Subject]:
    return [
        *((each.kind, each.name) for each in gates_of(event)),
        *(("application", each) for each in event.applications),
    ]


@dataclass(frozen=True, slots=True)
class OverriddenGate:
    """A freeze or a calendar (`kind`) that an override opens: no other one of this name, and with no other content.

    `identity` is the position at which it was declared since it last did not exist; `content` the digest of what it
    says.
    """

    kind: str
    name: str
    identity: int = 0
    content: str = ""


@published("policy", _override, NOTHING, _overridden)
@dataclass(frozen=True, slots=True)
class OverrideRequested:
    """Somebody asks for an exception to freezes and calendars. Stream `override-<id>`.

    `clusters` are the ordinals that the expression selected then; no `applications` means all. `approval` is the id of
    the run that must grant it; with `break_glass` there is none. `digest` covers the whole request.
    `gates` are all that it opens, `freeze` and `calendar` the first of each.
    """

    id: str
    digest: str
    clusters: bytes
    expression: str
    minutes: float
    reason: str
    by: By
    freeze: str | None = None
    calendar: str | None = None
    applications: list[str] = field(default_factory=list)
    ticket: str = ""
    approval: str = ""
    break_glass: bool = False
    gates: list[OverriddenGate] = field(default_factory=list)


def _started(event: OverrideStarted) -> str:
    return f"began override {event.id} until {instant_text(event.ends)}"


@published("policy", _started, NOTHING)
@dataclass(frozen=True, slots=True)
class OverrideStarted:
    """An override is in force from `begins` until `ends`, exclusive."""

    id: str
    begins: datetime
    ends: datetime
    people: list[str] = field(default_factory=list)


@published("policy", "revoked override {id}", NOTHING)
@dataclass(frozen=True, slots=True)
class OverrideRevoked:
    """An override ends now."""

    id: str
    reason: str
    by: By
    ticket: str = ""


def _used(event: OverrideUsed) -> str:
    return f"used override {event.id} on {counted(members(event.clusters), 'cluster')}"


@published("policy", _used, FLEET, {"override": "id", "application": "applications"})
@dataclass(frozen=True, slots=True)
class OverrideUsed:
    """A decision admitted changes through an override that a closed gate would have kept back.

    `part` counts from 1: a use that names more applications than one event takes has several parts.
    """

    id: str
    decision: str
    clusters: bytes
    applications: list[str] = field(default_factory=list)
    reason: str = ""
    ticket: str = ""
    part: int = 1
