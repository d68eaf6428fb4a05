"""An override: an exception to one freeze or one calendar, on the clusters that it selected when it was requested.

The one rule: its clusters are resolved once, at the request, and its time starts with the last approval; break-glass
starts at once, needs no approval and ends within four hours.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, assert_never

import msgspec

from libs.contracts import (
    ApprovalCompleted,
    ApprovalRequested,
    ApprovalWithdrawn,
    OverrideRequested,
    OverrideRevoked,
    OverrideStarted,
)
from libs.contracts.refusals import Invalid, Rejected, SelectsNothing
from libs.fleet import packed
from libs.fleet.checks import check_expression, read_expression, some, unknown
from libs.selection import canonical
from services.policy.domain.checks import APPLICATIONS_MAX, check_applications, check_distinct, check_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from pyroaring import BitMap

    from libs.contracts import By, CalendarDeclared, FreezeDeclared, SignOffDeclared
    from libs.fleet import Approval, Fleet, Override

MINUTES_MAX = 7 * 24 * 60
BREAK_GLASS_MINUTES_MAX = 4 * 60

Event = OverrideRequested | OverrideStarted | OverrideRevoked | ApprovalRequested | ApprovalWithdrawn


class NoSignOff(Rejected):
    """The sign-off has no eligible approvers."""

    code = "no-sign-off"


class NotBound(Rejected):
    """The override names something to which the freeze or the calendar does not apply."""

    code = "not-bound"


class OverrideOver(Rejected):
    """The override has ended."""

    code = "override-over"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestOverride:
    """Ask for an exception to the freeze or the calendar (`kind`) of this name; `approval` is the id of its run."""

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


def request_digest(command: RequestOverride, names: Iterable[str]) -> str:
    """Return the digest of the whole request: kind and name, the clusters by name, applications, minutes, reason."""
    asked = [command.kind, command.name, sorted(names), sorted(command.applications), command.minutes, command.reason]
    return hashlib.sha256(msgspec.json.encode(asked)).hexdigest()


def _request(command: RequestOverride, facts: Fleet) -> Sequence[Event]:
    _check_minutes(command)
    check_text(command.reason, "/reason")
    if command.ticket:
        check_text(command.ticket, "/ticket")
    closed = _closed(command, facts)
    clusters = _clusters(command, closed, facts)
    names = [facts.selection.name(ordinal) for ordinal in clusters]
    requested = OverrideRequested(
        id=command.id,
        digest=request_digest(command, names),
        clusters=packed(clusters),
        expression=canonical(read_expression(command.expression, "/expression")),
        minutes=command.minutes,
        reason=command.reason,
        by=command.by,
        freeze=command.name if command.kind == "freeze" else None,
        calendar=command.name if command.kind == "calendar" else None,
        applications=sorted(command.applications),
        ticket=command.ticket,
        approval="" if command.break_glass else command.approval,
        break_glass=command.break_glass,
    )
    if command.break_glass:
        ends = command.at + timedelta(minutes=command.minutes)
        return [requested, OverrideStarted(id=command.id, begins=command.at, ends=ends, people=[command.by.person])]
    return [requested, _approval(command, requested, _process(command, closed, facts), names)]


def _check_minutes(command: RequestOverride) -> None:
    limit = BREAK_GLASS_MINUTES_MAX if command.break_glass else MINUTES_MAX
    if not 1 <= command.minutes <= limit:
        raise Invalid(
            f"an override lasts 1 to {limit:,} minutes, not {command.minutes:g}",
            pointer="/minutes",
            fix=f"ask for at most {limit // 60} hours; you can request another one later",
        )


def _closed(command: RequestOverride, facts: Fleet) -> FreezeDeclared | CalendarDeclared:
    known = facts.policy.freezes if command.kind == "freeze" else facts.policy.calendars
    found = known.get(command.name)
    if found is None:
        raise unknown(command.kind, command.name, f"/{command.kind}", known)
    check_distinct(command.applications, "/applications", count_max=APPLICATIONS_MAX)
    check_applications(command.applications, facts, "/applications")
    others = sorted(set(command.applications) - set(found.applications)) if found.applications else []
    if others:
        raise NotBound(
            f"the {command.kind} {command.name!r} does not keep back {some(others)}",
            pointer="/applications",
            fix=f"it applies to {some(found.applications)}",
        )
    return found


def _clusters(command: RequestOverride, closed: FreezeDeclared | CalendarDeclared, facts: Fleet) -> BitMap:
    expression = read_expression(command.expression, "/expression")
    check_expression(expression, facts, pointer="/expression", may_select_nothing=True)
    wanted = facts.selection.select(expression)
    bound = facts.selection.everything if closed.clusters is None else facts.bound(command.kind, command.name)
    clusters = wanted & bound
    if not clusters:
        raise SelectsNothing(
            f"{command.expression!r} selects none of the clusters that the {command.kind} {command.name!r} binds",
            pointer="/expression",
            fix=f"it applies to {closed.clusters or '/c/*'}",
        )
    return clusters


def _process(command: RequestOverride, closed: FreezeDeclared | CalendarDeclared, facts: Fleet) -> SignOffDeclared:
    process = None if closed.signoff is None else facts.policy.signoffs.get(closed.signoff)
    if process is None:
        said = (
            "names no sign-off" if closed.signoff is None else f"names the sign-off {closed.signoff!r}, which is gone"
        )
        raise NoSignOff(
            f"the {command.kind} {command.name!r} {said}",
            fix=f"declare one and write it in the {command.kind}; break-glass is the other way, for who may",
        )
    return process


def _approval(
    command: RequestOverride, requested: OverrideRequested, process: SignOffDeclared, names: Sequence[str]
) -> ApprovalRequested:
    of = f" of {some(requested.applications)}" if requested.applications else ""
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
        summary=f"override the {command.kind} {command.name} for {command.minutes:g} minutes on {some(names)}{of}",
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
