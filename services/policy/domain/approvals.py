"""A run of a sign-off process: people approve it stage by stage, or one of them rejects it.

A person has one vote in a run, whatever tokens they hold; the requester and the publisher of the subject have none,
unless the process counts them. A quorum in every stage approves exactly the digest that was voted on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, assert_never

from libs.contracts import ApprovalCompleted, ApprovalGranted, ApprovalRefused, ApprovalWithdrawn
from libs.contracts.refusals import Rejected
from services.policy.domain.checks import TEXT_CHARACTERS_MAX, check_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from libs.contracts import ApprovalRequested, By, SignOffStage
    from libs.fleet import Approval, Fleet

Event = ApprovalGranted | ApprovalCompleted | ApprovalRefused | ApprovalWithdrawn

REQUESTER, PUBLISHER, EARLIER, SERVICE = "requester", "publisher", "earlier_approvers", "service_accounts"
"""Whose votes a process may count besides independent people's."""


class ApprovalOver(Rejected):
    """The approval is no longer open."""

    code = "approval-over"


class ApprovalExpired(Rejected):
    """The approval has expired."""

    code = "approval-expired"


class DigestChanged(Rejected):
    """The subject of the approval has changed since you looked at it."""

    code = "digest-changed"


class NotAnApprover(Rejected):
    """You are not an approver of this stage."""

    code = "not-an-approver"


class RequesterVotes(Rejected):
    """The requester cannot approve this request."""

    code = "requester-votes"


class PublisherVotes(Rejected):
    """The publisher cannot approve this change."""

    code = "publisher-votes"


class EarlierApprover(Rejected):
    """You already voted in an earlier stage."""

    code = "earlier-approver"


class ServiceAccountVotes(Rejected):
    """A service account cannot approve."""

    code = "service-account-votes"


class VotesTogether(Rejected):
    """The creator of a token and its holder cannot both vote."""

    code = "votes-together"


class NothingToWithdraw(Rejected):
    """You have no vote or request to withdraw."""

    code = "nothing-to-withdraw"


@dataclass(frozen=True, slots=True)
class Voter:
    """The author of a vote or withdrawal.

    `covers` tells whether they hold a role now, by a binding that has not expired, for all clusters of the subject;
    `made` whether they ever had a hand in a token for one of these people, `makers_of` by whose hands the token came
    about with which somebody spoke. `groups` and `token_roles` are kept with the vote, which counts only while its
    giver could give it again.
    """

    by: By
    covers: Callable[[str], bool]
    service_account: bool = False
    made: Callable[[frozenset[str]], bool] = lambda _people: False
    makers_of: Callable[[By], frozenset[str]] = lambda by: frozenset({by.creator}) - {"", by.person}
    groups: tuple[str, ...] = ()
    token_roles: tuple[str, ...] = ()

    @property
    def person(self) -> str:
        """Who they are."""
        return self.by.person

    @property
    def makers(self) -> frozenset[str]:
        """By whose hands their token came about."""
        return self.makers_of(self.by)


@dataclass(frozen=True, slots=True)
class Grant:
    """Approve; `digest`, if given, is that of the subject which the voter has seen."""

    voter: Voter
    at: datetime
    reason: str = ""
    ticket: str = ""
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Refuse:
    """Reject, which ends the run."""

    voter: Voter
    at: datetime
    reason: str
    ticket: str = ""
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Withdraw one's own vote, or the `whole` request; if not given: the vote if there is one, else the request."""

    voter: Voter
    at: datetime
    reason: str
    ticket: str = ""
    whole: bool | None = None


Command = Grant | Refuse | Withdraw


def decide(command: Command, state: Approval) -> Sequence[Event]:
    """Return what follows from `command`; nothing, if it has happened already.

    Raises:
        ApprovalOver, ApprovalExpired, DigestChanged: it is no longer open, or is about another digest.
        NotAnApprover, RequesterVotes, PublisherVotes, EarlierApprover, ServiceAccountVotes, VotesTogether: not by them.
        NothingToWithdraw, Invalid: there is nothing to take back, or no reason.
    """
    match command:
        case Grant():
            return _grant(command, state)
        case Refuse():
            return _refuse(command, state)
        case Withdraw():
            return _withdraw(command, state)
        case _:
            assert_never(command)


def earliest_record(facts: Fleet, now: datetime) -> datetime:
    """Return the earliest instant at which the log would record a vote now: its times never decrease."""
    return max(now, facts.now.at)


def stage_of(state: Approval) -> int:
    """Return the current stage: the first without its quorum; the number of stages if all have it."""
    stages = state.request.stages
    return next((index for index, stage in enumerate(stages) if missing_votes(state, index, stage)), len(stages))


def missing_votes(state: Approval, index: int, stage: SignOffStage) -> int:
    """Return how many votes a stage still needs."""
    return max(0, stage.quorum - len({grant.by.person for grant in state.grants if grant.stage == index}))


def may_vote(voter: Voter, state: Approval, at: datetime) -> bool:
    """Tell whether a vote of this person would count now and has not been given yet."""
    if state.state != "running":
        return False
    try:
        return bool(_grant(Grant(voter, at), state))
    except Rejected:
        return False


def _grant(command: Grant, state: Approval) -> Sequence[Event]:
    request, voter = state.request, command.voter
    _check_digest(command.digest, request)
    given = [grant for grant in state.grants if grant.by.person == voter.person]
    if state.state == "approved" and given:
        return []
    _check_running(state, command.at)
    stage = stage_of(state)
    if any(grant.stage == stage for grant in given):
        return []
    role = check_eligible(voter, state, stage)
    if given and EARLIER not in request.count:
        raise EarlierApprover(
            f"{voter.person} voted in stage {given[0].stage + 1} of {request.id} already",
            fix="somebody else must decide this stage",
        )
    check_together(voter, state)
    granted = ApprovalGranted(
        id=request.id,
        digest=request.digest,
        stage=stage,
        role=role,
        by=voter.by,
        reason=_said(command.reason, "/reason"),
        ticket=_said(command.ticket, "/ticket"),
        service_account=voter.service_account,
        groups=list(voter.groups),
        token_roles=list(voter.token_roles),
    )
    after = replace(state, grants=(*state.grants, granted))
    if stage_of(after) < len(request.stages):
        return [granted]
    return [granted, ApprovalCompleted(request.id, request.digest, _people(after.grants))]


def _refuse(command: Refuse, state: Approval) -> Sequence[Event]:
    request = state.request
    _check_digest(command.digest, request)
    _check_running(state, command.at)
    check_eligible(command.voter, state, stage_of(state))
    reason = check_text(command.reason, "/reason")
    ticket = _said(command.ticket, "/ticket")
    return [
        ApprovalRefused(id=request.id, digest=request.digest, reason=reason, by=command.voter.by, ticket=ticket),
    ]


def _withdraw(command: Withdraw, state: Approval) -> Sequence[Event]:
    request, voter = state.request, command.voter
    _check_running(state, command.at)
    voted = any(grant.by.person == voter.person for grant in state.grants)
    whole = not voted if command.whole is None else command.whole
    if not (voter.person in _requesters(request) if whole else voted):
        raise NothingToWithdraw(
            f"{voter.person} neither asked for {request.id} nor has a vote in it"
            if command.whole is None
            else f"{voter.person} {'did not ask for' if whole else 'has no vote in'} {request.id}",
            fix="an approver of this stage can reject it instead",
        )
    reason = check_text(command.reason, "/reason")
    ticket = _said(command.ticket, "/ticket")
    return [ApprovalWithdrawn(id=request.id, whole=whole, reason=reason, by=voter.by, ticket=ticket)]


def check_eligible(voter: Voter, state: Approval, stage: int) -> str:
    """Return the role by which somebody may decide a stage.

    Raises:
        ServiceAccountVotes, NotAnApprover, RequesterVotes, PublisherVotes: they may not.
    """
    request = state.request
    if voter.service_account and SERVICE not in request.count:
        raise ServiceAccountVotes(
            f"{voter.person} is a service account, and {request.signoff} does not count them", fix="let a person decide"
        )
    roles = request.stages[stage].roles
    role = next((role for role in roles if voter.covers(role)), None)
    if role is None:
        raise NotAnApprover(
            f"{voter.person} holds none of {', '.join(roles)} for all clusters of {request.id}",
            fix="see its stages with resedge get approvals; a RoleBinding says for which clusters a role is held",
        )
    asked = _requesters(request)
    hands = voter.makers_of(request.by)
    if REQUESTER not in request.count and (_had_a_part(voter, asked, request) or voter.person in hands):
        raise RequesterVotes(f"{_who(voter, asked)} asked for {request.id}", fix="somebody else has to decide it")
    published = _named(request.publishers)
    if PUBLISHER not in request.count and _had_a_part(voter, published, request):
        raise PublisherVotes(
            f"{_who(voter, published)} published what {request.id} is about", fix="somebody else has to decide it"
        )
    return role


def _had_a_part(voter: Voter, people: frozenset[str], request: ApprovalRequested) -> bool:
    """Whether somebody is one of `people`, or may have acted with a token of one of them, or they with theirs.

    A run that the renderer asked for knows names only, not by which token each of them changed something.
    """
    return voter.person in people or bool(voter.makers & people) or (not request.by.person and voter.made(people))


def _check_digest(digest: str | None, request: ApprovalRequested) -> None:
    if digest is not None and digest != request.digest:
        raise DigestChanged(
            f"{request.id} is for the digest {request.digest}, not {digest[:80]}",
            pointer="/digest",
            fix="read it again, and decide about its current content",
        )


def _check_running(state: Approval, at: datetime) -> None:
    request = state.request
    if state.state != "running":
        why = f": {state.reason}" if state.reason else ""
        raise ApprovalOver(f"{request.id} is {state.state}{why}", fix="ask for a new one")
    if at >= request.expires_at:
        raise ApprovalExpired(
            f"{request.id} could be decided until {request.expires_at.isoformat()}", fix="ask for a new one"
        )


def check_together(voter: Voter, state: Approval) -> None:
    """Refuse a vote beside that of somebody who had a hand in its token, or the other way round.

    Raises:
        VotesTogether: there is such a vote.
    """
    for grant in state.grants:
        other = grant.by
        hands = other.person in voter.makers or voter.person in voter.makers_of(other)
        if other.person != voter.person and hands:
            raise VotesTogether(
                f"{other.person} voted in {state.request.id} already, and one of the two had a hand in the other's "
                "token",
                fix="vote with a token that you got yourself, for example by resedge login",
            )


def _requesters(request: ApprovalRequested) -> frozenset[str]:
    return _named([*request.requesters, request.by.person])


def _named(people: Iterable[str]) -> frozenset[str]:
    return frozenset(people) - {""}


def _who(voter: Voter, people: frozenset[str]) -> str:
    if voter.person in people:
        return voter.person
    if hands := sorted(voter.makers & people):
        return f"{hands[0]}, who created this token of {voter.person},"
    return f"somebody with a token that {voter.person} created"


def _people(grants: Iterable[ApprovalGranted]) -> list[str]:
    return sorted({grant.by.person for grant in grants})


def _said(text: str, pointer: str) -> str:
    return check_text(text, pointer, TEXT_CHARACTERS_MAX) if text else ""
