"""An override: an exception to freezes and calendars, on the clusters that it selected when it was requested.

Its clusters are resolved once, at the request, and its time starts with the last approval; break-glass starts at once,
needs no approval and ends within four hours.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, assert_never

import msgspec
from pyroaring import BitMap

from libs.contracts import (
    ApprovalCompleted,
    ApprovalRequested,
    ApprovalWithdrawn,
    OverriddenGate,
    OverrideRequested,
    OverrideRevoked,
    OverrideStarted,
)
from libs.contracts.instants import instant_text
from libs.contracts.refusals import Invalid, Rejected, SelectsNothing
from libs.fleet import packed
from libs.fleet.checks import check_expression, read_expression, some, unknown
from libs.fleet.policy import content_of
from libs.selection import canonical
from services.policy.domain.checks import APPLICATIONS_MAX, check_applications, check_distinct, check_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from libs.contracts import By, CalendarDeclared, FreezeDeclared, SignOffDeclared
    from libs.fleet import Approval, Fleet, Override

    _Document = FreezeDeclared | CalendarDeclared

MINUTES_MAX = 7 * 24 * 60
BREAK_GLASS_MINUTES_MAX = 4 * 60
BREAK_GLASS_HOURS = 24.0
"""Once in so many hours a person breaks the glass on a cluster, where no sign-off says otherwise."""

Event = OverrideRequested | OverrideStarted | OverrideRevoked | ApprovalRequested | ApprovalWithdrawn


class NoSignOff(Rejected):
    """The sign-off has no eligible approvers."""

    code = "no-sign-off"


class NotBound(Rejected):
    """The override names something to which the freeze or the calendar does not apply."""

    code = "not-bound"


class BreakGlassSpent(Rejected):
    """You broke the glass on one of these clusters not long ago."""

    code = "break-glass-spent"


class OverrideOver(Rejected):
    """The override has ended."""

    code = "override-over"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestOverride:
    """Ask for an exception to the freeze or the calendar (`kind`) of this name; `approval` is the id of its run.

    `others` are more freezes and calendars (kind, name) of the same emergency.
    """

    id: str
    approval: str
    kind: str
    name: str
    expression: str
    minutes: float
    reason: str
    by: By
    at: datetime
    applications: tuple[str, ...] = ()
    ticket: str = ""
    break_glass: bool = False
    others: tuple[tuple[str, str], ...] = ()

    @property
    def named(self) -> list[tuple[str, str]]:
        """Return all that it names, each once."""
        return list(dict.fromkeys([(self.kind, self.name), *self.others]))


@dataclass(frozen=True, slots=True)
class RevokeOverride:
    """End it now, or prevent its start."""

    id: str
    reason: str
    by: By
    at: datetime
    ticket: str = ""


Command = RequestOverride | RevokeOverride


def decide(command: Command, facts: Fleet) -> Sequence[Event]:
    """Return what follows from `command`; nothing, if it has happened already.

    Raises:
        Invalid, UnknownReference, NotBound, SelectsNothing, NoSignOff: it cannot be asked for like that.
        OverrideOver: it has already ended.
    """
    match command:
        case RequestOverride():
            return [] if command.id in facts.policy.overrides else _request(command, facts)
        case RevokeOverride():
            override = facts.policy.overrides[command.id]
            return _revoke(command, override, facts.policy.approvals.get(override.request.approval))
        case _:
            assert_never(command)


def started(completed: ApprovalCompleted, request: ApprovalRequested, override: Override, at: datetime) -> list[Event]:
    """Return that an override is in force since its last approval, if the approval was for it."""
    if request.kind != "override" or override.begins is not None or override.revoked_at is not None:
        return []
    ends = at + timedelta(minutes=override.request.minutes)
    return [OverrideStarted(id=override.request.id, begins=at, ends=ends, people=list(completed.people))]


def phase(override: Override, approval: Approval | None, now: datetime) -> str:
    """Return requested, active, ended, revoked, or refused, withdrawn, expired like its approval."""
    if override.revoked_at is not None:
        return "revoked"
    if override.ends is not None:
        return "active" if now < override.ends else "ended"
    if approval is None or approval.running(now):
        return "requested"
    if approval.state == "running":
        return "expired"
    return "refused" if approval.state == "refused" else "withdrawn"


def request_digest(command: RequestOverride, gates: Sequence[OverriddenGate], names: Iterable[str]) -> str:
    """Return the digest of the whole request: what it opens, the clusters by name, applications, minutes, reason."""
    opened = [[each.kind, each.name, each.identity, each.content] for each in gates]
    asked = [opened, sorted(names), sorted(command.applications), command.minutes, command.reason]
    return hashlib.sha256(msgspec.json.encode(asked)).hexdigest()


def _request(command: RequestOverride, facts: Fleet) -> Sequence[Event]:
    _check_minutes(command)
    check_text(command.reason, "/reason")
    if command.ticket:
        check_text(command.ticket, "/ticket")
    closed = {(kind, name): _closed(kind, name, facts) for kind, name in command.named}
    _check_applications(command, closed.values(), facts)
    clusters = _clusters(command, closed, facts)
    gates = [
        OverriddenGate(kind, name, facts.policy.identity_of(kind, name), content_of(document))
        for (kind, name), document in closed.items()
    ]
    names = [facts.selection.name(ordinal) for ordinal in clusters]
    requested = OverrideRequested(
        id=command.id,
        digest=request_digest(command, gates, names),
        clusters=packed(clusters),
        expression=canonical(read_expression(command.expression, "/expression")),
        minutes=command.minutes,
        reason=command.reason,
        by=command.by,
        freeze=next((name for kind, name in closed if kind == "freeze"), None),
        calendar=next((name for kind, name in closed if kind == "calendar"), None),
        applications=sorted(command.applications),
        ticket=command.ticket,
        approval="" if command.break_glass else command.approval,
        break_glass=command.break_glass,
        gates=gates,
    )
    if command.break_glass:
        _check_budget(command, clusters, closed.values(), facts)
        ends = command.at + timedelta(minutes=command.minutes)
        return [requested, OverrideStarted(id=command.id, begins=command.at, ends=ends, people=[command.by.person])]
    return [requested, _approval(command, requested, _process(closed, facts), names)]


def _check_minutes(command: RequestOverride) -> None:
    limit = BREAK_GLASS_MINUTES_MAX if command.break_glass else MINUTES_MAX
    if not 1 <= command.minutes <= limit:
        raise Invalid(
            f"an override lasts 1 to {limit:,} minutes, not {command.minutes:g}",
            pointer="/minutes",
            fix=f"ask for at most {limit // 60} hours; you can request another one later",
        )


def _check_budget(command: RequestOverride, clusters: BitMap, closed: Iterable[_Document], facts: Fleet) -> None:
    """Refuse to break the glass again on a cluster before the sign-offs' time for that has passed."""
    signoffs = (facts.policy.signoffs.get(each.signoff or "") for each in closed)
    hours = max(BREAK_GLASS_HOURS if each is None else each.break_glass_hours for each in signoffs)
    people = {command.by.person, command.by.creator} - {""}
    spent = [
        (each.at + timedelta(hours=hours), each.clusters & clusters)
        for each in facts.policy.overrides.values()
        if each.request.break_glass and not people.isdisjoint({each.request.by.person, each.request.by.creator})
    ]
    left = [(until, where) for until, where in spent if until > command.at and where]
    if left:
        until, where = max(left, key=lambda each: each[0])
        raise BreakGlassSpent(
            f"{command.by.person} broke the glass on {facts.selection.name(where.min())} already",
            pointer="/break_glass",
            fix=f"it is possible again from {instant_text(until)}; before that, ask for an override with its sign-off",
        )


def _closed(kind: str, name: str, facts: Fleet) -> _Document:
    known = facts.policy.freezes if kind == "freeze" else facts.policy.calendars
    found = known.get(name)
    if found is None:
        raise unknown(kind, name, f"/{kind}", known)
    return found


def _check_applications(command: RequestOverride, closed: Iterable[_Document], facts: Fleet) -> None:
    check_distinct(command.applications, "/applications", count_max=APPLICATIONS_MAX)
    check_applications(command.applications, facts, "/applications")
    documents = list(closed)
    if any(not each.applications for each in documents):
        return
    bound = sorted({name for each in documents for name in each.applications})
    if others := sorted(set(command.applications) - set(bound)):
        raise NotBound(
            f"the {_words(command)} does not keep back {some(others)}",
            pointer="/applications",
            fix=f"it applies to {some(bound)}",
        )


def _words(command: RequestOverride) -> str:
    return " and the ".join(f"{kind} {name!r}" for kind, name in command.named)


def _clusters(command: RequestOverride, closed: Mapping[tuple[str, str], _Document], facts: Fleet) -> BitMap:
    expression = read_expression(command.expression, "/expression")
    check_expression(expression, facts, pointer="/expression", may_select_nothing=True)
    bound = BitMap.union(
        *(
            facts.selection.everything if document.clusters is None else facts.bound(*named)
            for named, document in closed.items()
        )
    )
    clusters = facts.selection.select(expression) & bound
    if not clusters:
        where = " or ".join(document.clusters or "/c/*" for document in closed.values())
        raise SelectsNothing(
            f"{command.expression!r} selects no cluster that the {_words(command)} applies to",
            pointer="/expression",
            fix=f"it applies to {where}",
        )
    return clusters


def _process(closed: Mapping[tuple[str, str], _Document], facts: Fleet) -> SignOffDeclared:
    """Return the process that has to grant it: the one that all of them name."""
    found: SignOffDeclared | None = None
    for (kind, name), document in closed.items():
        process = None if document.signoff is None else facts.policy.signoffs.get(document.signoff)
        if process is None:
            gone = f"names the sign-off {document.signoff!r}, which is gone"
            raise NoSignOff(
                f"the {kind} {name!r} {'names no sign-off' if document.signoff is None else gone}",
                fix=f"declare one and write it in the {kind}; break-glass is the other way, for who may",
            )
        if found is not None and found.name != process.name:
            raise NoSignOff(
                f"the {kind} {name!r} names the sign-off {process.name}, and another one {found.name}",
                fix="one request is for what one sign-off may except: ask for the others in a request of their own",
            )
        found = process
    assert found is not None  # noqa: S101 - a request names at least one
    return found


def _approval(
    command: RequestOverride, requested: OverrideRequested, process: SignOffDeclared, names: Sequence[str]
) -> ApprovalRequested:
    of = f" of {some(requested.applications)}" if requested.applications else ""
    opened = " and the ".join(f"{kind} {name}" for kind, name in command.named)
    return ApprovalRequested(
        id=command.approval,
        kind="override",
        subject=command.id,
        digest=requested.digest,
        signoff=process.name,
        stages=process.stages,
        expires_at=command.at + timedelta(hours=process.expires_hours),
        clusters=requested.clusters,
        count=process.count,
        requesters=[command.by.person],
        summary=f"override the {opened} for {command.minutes:g} minutes on {some(names)}{of}",
        reason=command.reason,
        ticket=command.ticket,
        by=command.by,
    )


def _revoke(command: RevokeOverride, override: Override, approval: Approval | None) -> Sequence[Event]:
    was = phase(override, approval, command.at)
    if was == "revoked":
        return []
    if was not in {"requested", "active"}:
        raise OverrideOver(f"the override {command.id} is {was}", fix="see it with resedge get overrides")
    reason = check_text(command.reason, "/reason")
    ticket = check_text(command.ticket, "/ticket") if command.ticket else ""
    revoked = OverrideRevoked(id=command.id, reason=reason, by=command.by, ticket=ticket)
    if was == "active" or approval is None:
        return [revoked]
    # Nobody should approve an override that could no longer start.
    withdrawn = ApprovalWithdrawn(id=approval.request.id, whole=True, reason=reason, by=command.by, ticket=ticket)
    return [revoked, withdrawn]
