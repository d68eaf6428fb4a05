"""A run of a sign-off process: quorum, order, expiry, digest, repeats, withdrawal."""

from __future__ import annotations

from typing import Any

import pytest

from libs.contracts import (
    ApprovalCompleted,
    ApprovalGranted,
    ApprovalRefused,
    ApprovalSuperseded,
    SignOffStage,
)
from libs.contracts.refusals import Invalid
from services.policy.domain.approvals import (
    ApprovalExpired,
    ApprovalOver,
    DigestChanged,
    EarlierApprover,
    NotAnApprover,
    NothingToWithdraw,
    decide,
    earliest_record,
    may_vote,
    stage_of,
)
from tests.policy.signoff_words import (
    HOUR,
    MICROSECOND,
    NOW,
    after,
    approval,
    folded,
    grant,
    refuse,
    said,
    voter,
    withdraw,
    withdrawn,
)

EXPIRES = NOW + 24 * HOUR


def kinds(events: Any) -> list[type]:
    return [type(event) for event in events]


def test_the_last_vote_that_is_needed_approves() -> None:
    events = said(grant("mia"), grant("ana"), grant("dee"))

    assert kinds(events) == [ApprovalGranted] * 3 + [ApprovalCompleted]
    assert events[-1] == ApprovalCompleted("a-1", "d1", ["ana", "dee", "mia"])
    assert [(each.stage, each.role) for each in events[:3] if isinstance(each, ApprovalGranted)] == [
        (0, "release-manager"),
        (1, "operations"),
        (1, "directors"),
    ]


def test_one_vote_short_of_a_quorum_approves_nothing() -> None:
    assert kinds(said(grant("mia"), grant("ana"))) == [ApprovalGranted] * 2
    assert after(grant("mia"), grant("ana")).state == "running"


def test_a_later_stage_waits_for_the_one_before() -> None:
    with pytest.raises(NotAnApprover):
        decide(grant("ana"), approval())

    assert kinds(decide(grant("ana"), after(grant("mia")))) == [ApprovalGranted]


def test_a_stage_that_is_decided_takes_no_more_votes() -> None:
    with pytest.raises(NotAnApprover):
        decide(grant("moe"), after(grant("mia")))


def test_who_holds_none_of_the_roles_for_all_clusters_has_no_vote() -> None:
    with pytest.raises(NotAnApprover, match="holds none of release-manager"):
        decide(grant(voter("mia", roles=[])), approval())


def test_what_was_said_is_kept_with_token_and_address() -> None:
    (granted,) = decide(grant("mia", reason="checked", ticket="OPS-7", digest="d1"), approval())

    assert isinstance(granted, ApprovalGranted)
    assert (granted.reason, granted.ticket, granted.digest) == ("checked", "OPS-7", "d1")
    assert (granted.by.person, granted.by.token, granted.by.address) == ("mia", "t-mia", "10.0.0.9")


@pytest.mark.parametrize("command", [grant, refuse])
def test_another_digest_than_the_one_that_was_looked_at_decides_nothing(command: Any) -> None:
    with pytest.raises(DigestChanged) as refused:
        decide(command("mia", digest="d0"), approval())

    assert refused.value.code == "digest-changed"


@pytest.mark.parametrize("command", [grant, refuse])
def test_it_expires_at_the_instant_itself(command: Any) -> None:
    assert decide(command("mia", at=EXPIRES - MICROSECOND), approval())
    with pytest.raises(ApprovalExpired):
        decide(command("mia", at=EXPIRES), approval())


def test_a_vote_cannot_be_withdrawn_after_expiry() -> None:
    with pytest.raises(ApprovalExpired):
        decide(withdraw("mia", at=EXPIRES), after(grant("mia")))


@pytest.mark.parametrize(
    ("ended", "state"),
    [
        (ApprovalRefused("a-1", "d1", "no", voter("mia").by), "refused"),
        (withdrawn("rita", "not needed", whole=True), "withdrawn"),
        (ApprovalSuperseded("a-1", "the content is another one"), "superseded"),
    ],
)
@pytest.mark.parametrize("command", [grant, refuse, withdraw])
def test_what_has_ended_takes_nothing_more(ended: Any, state: str, command: Any) -> None:
    run = approval([ended])

    assert run.state == state
    with pytest.raises(ApprovalOver, match=state):
        decide(command("mia"), run)


def test_voting_the_same_again_adds_nothing() -> None:
    assert decide(grant("ana"), after(grant("mia"), grant("ana"))) == []


def test_voting_again_once_it_is_approved_adds_nothing() -> None:
    assert decide(grant("ana"), after(grant("mia"), grant("ana"), grant("ben"))) == []


def test_who_had_no_vote_cannot_add_one_once_it_is_approved() -> None:
    with pytest.raises(ApprovalOver, match="approved"):
        decide(grant("dee"), after(grant("mia"), grant("ana"), grant("ben")))


def test_two_tokens_of_one_person_are_one_vote() -> None:
    run = after(grant("mia"), grant(voter("ana", token="t-1")))

    assert decide(grant(voter("ana", token="t-2")), run) == []
    assert stage_of(run) == 1


def test_one_no_ends_it() -> None:
    events = said(grant("mia"), refuse("ana", "not this week", ticket="OPS-8"))

    assert events[-1] == ApprovalRefused("a-1", "d1", "not this week", voter("ana").by, "OPS-8")
    assert after(grant("mia"), refuse("ana")).state == "refused"


def test_who_said_yes_may_still_say_no() -> None:
    assert kinds(decide(refuse("ana"), after(grant("mia"), grant("ana")))) == [ApprovalRefused]


def test_only_who_decides_the_present_stage_may_refuse() -> None:
    with pytest.raises(NotAnApprover):
        decide(refuse("ana"), approval())
    with pytest.raises(NotAnApprover):
        decide(refuse("moe"), after(grant("mia")))


@pytest.mark.parametrize("reason", ["", "  ", "two\nlines"])
@pytest.mark.parametrize(("command", "who"), [(refuse, "mia"), (withdraw, "rita")])
def test_a_no_and_a_withdrawal_say_why(command: Any, who: str, reason: str) -> None:
    with pytest.raises(Invalid) as refused:
        decide(command(who, reason), approval())

    assert refused.value.pointer == "/reason"


def test_a_vote_that_is_withdrawn_does_not_count_and_can_be_given_again() -> None:
    run = after(grant("mia"), grant("ana"), withdraw("ana"))

    assert [each.by.person for each in run.grants] == ["mia"]
    assert kinds(decide(grant("ben"), run)) == [ApprovalGranted]
    assert said(grant("mia"), grant("ana"), withdraw("ana"), grant("ben"), grant("ana"))[-1] == ApprovalCompleted(
        "a-1", "d1", ["ana", "ben", "mia"]
    )


def test_a_vote_withdrawn_from_an_earlier_stage_opens_that_stage_again() -> None:
    run = after(grant("mia"), grant("ana"), withdraw("mia"))

    assert stage_of(run) == 0
    with pytest.raises(NotAnApprover):
        decide(grant("ben"), run)
    assert kinds(decide(grant("moe"), run)) == [ApprovalGranted]


def test_votes_of_later_stages_stand_when_an_opened_stage_is_closed_again() -> None:
    stages = [SignOffStage(["release-manager"], 2), SignOffStage(["operations"], 1), SignOffStage(["directors"], 1)]
    votes = (grant("mia"), grant("moe"), grant("ana"), withdraw("moe"), grant("moe"))

    assert stage_of(after(*votes[:4], stages=stages)) == 0
    assert stage_of(after(*votes, stages=stages)) == 2
    assert said(*votes, grant("dee"), stages=stages)[-1] == ApprovalCompleted("a-1", "d1", ["ana", "dee", "mia", "moe"])


def test_who_voted_in_a_later_stage_does_not_close_an_opened_one() -> None:
    run = after(grant("mia"), grant("all"), withdraw("mia"))

    with pytest.raises(EarlierApprover):
        decide(grant("all"), run)


def test_the_requester_takes_the_whole_request_back() -> None:
    assert said(grant("mia"), withdraw("rita", "solved"))[-1] == withdrawn("rita", "solved", whole=True)


def test_nobody_withdraws_what_is_not_theirs() -> None:
    with pytest.raises(NothingToWithdraw):
        decide(withdraw("ana"), after(grant("mia")))
    with pytest.raises(NothingToWithdraw):
        decide(withdraw("mia", whole=True), after(grant("mia")))
    with pytest.raises(NothingToWithdraw):
        decide(withdraw("rita", whole=False), after(grant("mia")))


def test_a_requester_whose_vote_counts_says_which_of_both_is_withdrawn() -> None:
    count = ["requester"]
    voted = after(grant("rita"), count=count)

    assert decide(withdraw("rita"), voted) == [withdrawn("rita", "a mistake", whole=False)]
    assert decide(withdraw("rita", whole=True), voted)[0] == withdrawn("rita", "a mistake", whole=True)


def test_what_may_be_voted_on_now_is_what_adds_a_vote() -> None:
    run = after(grant("mia"))

    assert may_vote(voter("ana"), run, NOW)
    assert not may_vote(voter("moe"), run, NOW)
    assert not may_vote(voter("ana"), run, EXPIRES)
    assert not may_vote(voter("ana"), after(grant("mia"), grant("ana")), NOW)
    assert not may_vote(voter("ana"), after(grant("mia"), refuse("ben")), NOW)


def test_a_clock_that_is_behind_the_log_makes_no_vote_earlier() -> None:
    facts = folded(at=NOW + HOUR)

    assert earliest_record(facts, NOW) == NOW + HOUR
    assert earliest_record(facts, NOW + 2 * HOUR) == NOW + 2 * HOUR
