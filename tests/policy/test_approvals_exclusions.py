"""Whose votes count: each exclusion, with the process counting them and without."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts import ApprovalCompleted, ApprovalGranted, By, SignOffStage
from libs.contracts.refusals import Rejected
from services.policy.domain.approvals import (
    EarlierApprover,
    PublisherVotes,
    RequesterVotes,
    ServiceAccountVotes,
    VotesTogether,
    decide,
)
from tests.policy.signoff_words import ROLES, after, approval, folded, grant, refuse, requested, said, voter, withdraw

if TYPE_CHECKING:
    from libs.fleet import Approval

MIA_BY_RITA = voter("mia", creator="rita")
"""A token that the requester created for somebody else."""


@pytest.mark.parametrize("command", [grant, refuse])
@pytest.mark.parametrize("who", [voter("rita"), MIA_BY_RITA])
def test_the_requester_decides_nothing_unless_counted(command: Any, who: Any) -> None:
    with pytest.raises(RequesterVotes, match="rita"):
        decide(command(who), approval())

    assert len(decide(command(who), approval(count=["requester"]))) == 1


@pytest.mark.parametrize("command", [grant, refuse])
def test_who_created_the_token_of_the_requester_decides_nothing_unless_counted(command: Any) -> None:
    asked: dict[str, Any] = {"by": By("rita", "t-9", creator="mia")}

    with pytest.raises(RequesterVotes, match="a token that mia created"):
        decide(command("mia"), approval(**asked))
    assert len(decide(command("mia"), approval(**asked, count=["requester"]))) == 1


@pytest.mark.parametrize("command", [grant, refuse])
@pytest.mark.parametrize(
    ("part", "refusal"), [("requester", RequesterVotes), ("publisher", PublisherVotes)], ids=["asked", "published"]
)
def test_who_ever_created_a_token_of_who_changed_something_decides_nothing_unless_counted(
    command: Any, part: str, refusal: type[Rejected]
) -> None:
    """A run over a change knows whose facts it is about, not by which of their tokens they were stated."""
    run: dict[str, Any] = {"kind": "change", "subject": "pos-api", "by": By(""), "requesters": [], f"{part}s": ["nora"]}
    mia = replace(voter("mia"), made=lambda people: "nora" in people)

    with pytest.raises(refusal, match="a token that mia created"):
        decide(command(mia), approval(**run))
    assert len(decide(command(mia), approval(**run, count=[part]))) == 1
    assert len(decide(command("moe"), approval(**run))) == 1


def test_a_token_made_another_day_does_not_make_its_creator_the_requester_of_an_override() -> None:
    mia = replace(voter("mia"), made=lambda people: "rita" in people)

    assert len(decide(grant(mia), approval())) == 1


def test_all_that_asked_for_it_are_its_requesters() -> None:
    with pytest.raises(RequesterVotes):
        decide(grant("mia"), approval(requesters=["moe", "mia"]))
    with pytest.raises(RequesterVotes):
        decide(grant("rita"), approval(requesters=[]))


def test_a_requester_without_a_name_excludes_nobody() -> None:
    assert len(decide(grant("mia"), approval(requesters=[""], by=By("")))) == 1


@pytest.mark.parametrize("command", [grant, refuse])
@pytest.mark.parametrize("who", [voter("mia"), voter("moe", creator="mia")])
def test_the_publisher_decides_nothing_unless_counted(command: Any, who: Any) -> None:
    with pytest.raises(PublisherVotes, match="mia"):
        decide(command(who), approval(publishers=["mia"]))

    assert len(decide(command(who), approval(publishers=["mia"], count=["publisher"]))) == 1


@pytest.mark.parametrize(("count", "refusal"), [(["publisher"], RequesterVotes), (["requester"], PublisherVotes)])
def test_who_is_both_counts_only_as_both(count: list[str], refusal: type[Rejected]) -> None:
    with pytest.raises(refusal):
        decide(grant("rita"), approval(publishers=["rita"], count=count))

    assert len(decide(grant("rita"), approval(publishers=["rita"], count=["publisher", "requester"]))) == 1


def test_who_voted_in_an_earlier_stage_does_not_vote_again_unless_counted() -> None:
    with pytest.raises(EarlierApprover, match="stage 1"):
        decide(grant("all"), after(grant("all")))

    events = said(grant("all"), grant("all"), grant("ana"), count=["earlier_approvers"])
    assert events[-1] == ApprovalCompleted("a-1", "d1", ["all", "ana"])


def test_another_token_does_not_make_an_earlier_approver_another_person() -> None:
    with pytest.raises(EarlierApprover):
        decide(grant(voter("all", token="t-2")), after(grant(voter("all", token="t-1"))))


@pytest.mark.parametrize("command", [grant, refuse])
def test_a_service_account_decides_nothing_unless_counted(command: Any) -> None:
    robot = voter("robot", service=True, roles=["release-manager"])

    with pytest.raises(ServiceAccountVotes, match="robot"):
        decide(command(robot), approval())
    assert len(decide(command(robot), approval(count=["service_accounts"]))) == 1


def test_a_counted_service_account_is_told_apart_in_the_log() -> None:
    robot = voter("robot", service=True, roles=["release-manager"])

    (granted,) = decide(grant(robot), approval(count=["service_accounts"]))

    assert isinstance(granted, ApprovalGranted)
    assert granted.service_account


BEN_BY_ANA = voter("ben", creator="ana")


def test_a_created_token_does_not_vote_together_with_its_creator() -> None:
    with pytest.raises(VotesTogether):
        decide(grant(BEN_BY_ANA), after(grant("mia"), grant("ana")))


def test_a_creator_does_not_vote_together_with_a_token_that_he_created() -> None:
    with pytest.raises(VotesTogether):
        decide(grant("ana"), after(grant("mia"), grant(BEN_BY_ANA)))


def test_they_do_not_vote_together_in_different_stages_either() -> None:
    with pytest.raises(VotesTogether):
        decide(grant(voter("ana", creator="mia")), after(grant("mia")))


def test_no_count_lets_them_vote_together() -> None:
    count = ["requester", "publisher", "earlier_approvers", "service_accounts"]

    with pytest.raises(VotesTogether):
        decide(grant(BEN_BY_ANA), after(grant("mia"), grant("ana"), count=count))


def test_each_of_them_votes_without_the_other() -> None:
    assert isinstance(said(grant("mia"), grant(BEN_BY_ANA), grant("dee"))[-1], ApprovalCompleted)
    assert isinstance(said(grant("mia"), grant("ana"), grant("dee"))[-1], ApprovalCompleted)


def test_a_token_of_his_own_lets_a_person_vote_beside_who_created_another_one_for_him() -> None:
    assert isinstance(said(grant("mia"), grant("ana"), grant("ben"))[-1], ApprovalCompleted)


def test_after_the_creator_withdrew_the_created_token_votes() -> None:
    assert isinstance(
        said(grant("mia"), grant("ana"), withdraw("ana"), grant(BEN_BY_ANA), grant("dee"))[-1], ApprovalCompleted
    )


def test_a_token_that_somebody_created_for_himself_is_his_own() -> None:
    assert isinstance(said(grant("mia"), grant("ana"), grant(voter("ben", creator="ben")))[-1], ApprovalCompleted)

    counted = {"count": ["earlier_approvers"]}
    itself = voter("all", creator="all")
    assert len(said(grant(itself), grant(itself), **counted)) == 2


COMMANDS = st.tuples(
    st.sampled_from([grant, grant, grant, refuse, withdraw]),
    st.sampled_from(sorted(ROLES)),
    st.sampled_from(["", "", "mia", "ana", "rita"]),
)
COUNTS = st.lists(st.sampled_from(["requester", "earlier_approvers", "publisher"]), unique=True)


@given(st.lists(COMMANDS, max_size=14), COUNTS)
def test_nothing_is_approved_without_its_quorum_of_distinct_eligible_people(
    commands: list[tuple[Any, str, str]], count: list[str]
) -> None:
    facts = folded(requested(count=count, publishers=["moe"]))
    for make, person, creator in commands:
        command = make(voter(person, creator=creator))
        run = facts.policy.approvals["a-1"]
        try:
            events = decide(command, run)
        except Rejected:
            continue
        folded(*events, facts=facts)
        again = facts.policy.approvals["a-1"]
        if isinstance(events[0] if events else None, ApprovalGranted) and "earlier_approvers" not in count:
            assert decide(command, again) == [] if again.state != "running" or _same_stage(again) else True
    _check(facts.policy.approvals["a-1"], count)


def _same_stage(run: Approval) -> bool:
    last = run.grants[-1]
    return sum(1 for each in run.grants if each.stage == last.stage) < run.request.stages[last.stage].quorum


def _check(run: Approval, count: list[str]) -> None:
    people = [each.by.person for each in run.grants]
    if "earlier_approvers" not in count:
        assert len(people) == len(set(people))
    for vote in run.grants:
        assert vote.role in run.request.stages[vote.stage].roles
        assert vote.role in ROLES[vote.by.person]
        assert "requester" in count or "rita" not in {vote.by.person, vote.by.creator}
        assert "publisher" in count or vote.by.person != "moe"
        assert vote.by.creator in {"", vote.by.person} or vote.by.creator not in people
    quorums = [
        len({each.by.person for each in run.grants if each.stage == index}) >= stage.quorum
        for index, stage in enumerate(run.request.stages)
    ]
    assert (run.state == "approved") == (all(quorums) and run.state in {"approved", "running"})


def test_the_quorum_of_one_stage_may_be_of_several_roles() -> None:
    stages = [SignOffStage(["operations", "directors"], 2)]

    assert isinstance(said(grant("ana"), grant("dee"), stages=stages)[-1], ApprovalCompleted)
