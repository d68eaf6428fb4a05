"""Which votes of a run count at an instant, and what its process demands: what was tightened since it began applies.

A vote counts only while the person who gave it could still give it. A run that is over stays what it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from libs.access.principals import Principal
from libs.access.rights import holds
from libs.contracts import SignOffStage
from libs.contracts.people import normal
from libs.contracts.refusals import Rejected
from services.policy.domain.approvals import EARLIER, Voter, check_eligible, check_together
from services.policy.reaching import namespaces_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from libs.contracts import ApprovalGranted, ApprovalRequested, By, SignOffDeclared
    from libs.fleet import Approval, Fleet

_RUNNING = "running"


@dataclass(frozen=True, slots=True)
class Recounted:
    """A run as it is decided: with the stages that apply and the votes that count; `lost` says why others do not."""

    approval: Approval
    lost: Mapping[int, str]
    """By the number of the vote among all that were given."""


def recounted(approval: Approval, facts: Fleet, at: datetime) -> Recounted:
    """Return a run with what counts of it at an instant."""
    if approval.state != _RUNNING:
        return Recounted(approval, {})
    other = _other_process(approval.request, facts)
    if other is not None:
        return Recounted(replace(approval, state="superseded", reason=other), {})
    applied = replace(approval, request=_tightened(approval, facts.policy.signoffs.get(approval.request.signoff)))
    kept: list[ApprovalGranted] = []
    lost: dict[int, str] = {}
    for number, grant in enumerate(approval.grants):
        why = _lost(grant, replace(applied, grants=tuple(kept)), facts, at)
        if why:
            lost[number] = why
        else:
            kept.append(grant)
    return Recounted(replace(applied, grants=tuple(kept)), lost)


def voter_of(facts: Fleet, principal: Principal, by: By, approval: Approval, at: datetime) -> Voter:
    """Return somebody as a voter in one approval, with what they hold at an instant."""
    clusters, namespaces = approval.clusters, namespaces_of(facts, _applications(facts, approval.request))
    policy = facts.policy

    def covers(role: str) -> bool:
        held = [holds(facts, principal, role, at, namespace) for namespace in namespaces]
        return all(each.everywhere or (bool(clusters) and clusters <= each.clusters) for each in held)

    def made(people: frozenset[str]) -> bool:
        issued = (each for each in policy.tokens.values() if each.user in people)
        return any(by.person in {each.by.person, each.by.creator, *policy.makers_of(each.by)} for each in issued)

    named = {normal(each.group) for binding in policy.bindings.values() for each in binding.subjects if each.group}
    return Voter(
        by,
        covers,
        principal.service_account,
        made,
        policy.makers_of,
        tuple(sorted(principal.groups & named)),
        tuple(sorted(principal.roles)),
    )


def _applications(facts: Fleet, request: ApprovalRequested) -> list[str]:
    """Return the applications that an approval is about; none where it is about all."""
    if request.kind == "change":
        return [request.subject]
    override = facts.policy.overrides.get(request.subject) if request.kind == "override" else None
    return [] if override is None else override.request.applications


def _other_process(request: ApprovalRequested, facts: Fleet) -> str | None:
    """Return why a run is void because another process is asked about its subject now; nothing where it is not."""
    if request.kind == "change" and request.subject in facts.applications:
        now = facts.signoff_of(request.subject)
        what = f"the application {request.subject}"
    elif request.kind == "override" and (override := facts.policy.overrides.get(request.subject)) is not None:
        asked = override.request
        frozen, calendar = (
            facts.policy.freezes.get(asked.freeze or ""),
            facts.policy.calendars.get(asked.calendar or ""),
        )
        closed = frozen or calendar
        if closed is None:
            return None
        now, what = closed.signoff, f"the {'freeze' if frozen else 'calendar'} {closed.name}"
    else:
        return None
    return f"{what} needs the sign-off {now} now" if now not in {None, request.signoff} else None


def _tightened(approval: Approval, process: SignOffDeclared | None) -> ApprovalRequested:
    """Return a run's request with what its process demands since, wherever that is stricter."""
    request = approval.request
    if process is None:
        return request
    stages = [
        _stricter(request.stages[number : number + 1], process.stages[number : number + 1])
        for number in range(max(len(request.stages), len(process.stages)))
    ]
    ends = min(request.expires_at, approval.at + timedelta(hours=process.expires_hours))
    return replace(
        request, stages=stages, count=[each for each in request.count if each in process.count], expires_at=ends
    )


def _stricter(asked: list[SignOffStage], now: list[SignOffStage]) -> SignOffStage:
    """Return one stage of both: the roles that both name (where none is: those named now), the larger quorum."""
    if not asked or not now:
        return (asked or now)[0]
    roles = [role for role in now[0].roles if role in asked[0].roles] or now[0].roles
    return SignOffStage(list(roles), max(asked[0].quorum, now[0].quorum))


def _lost(grant: ApprovalGranted, before: Approval, facts: Fleet, at: datetime) -> str:
    """Return why a vote does not count any more, those before it counted; empty: it does."""
    by, request = grant.by, before.request
    if by.token in facts.policy.revoked:
        return f"the token {by.token} with which it was given is revoked"
    principal = Principal(
        by.person, frozenset(grant.token_roles), frozenset(grant.groups), service_account=grant.service_account
    )
    try:
        voter = voter_of(facts, principal, by, before, at)
        check_eligible(voter, before, grant.stage)
        check_together(voter, before)
    except Rejected as refused:
        return refused.detail
    elsewhere = any(each.by.person == by.person and each.stage != grant.stage for each in before.grants)
    if elsewhere and EARLIER not in request.count:
        return f"{by.person} voted in another stage, and {request.signoff} does not count that any more"
    return ""
