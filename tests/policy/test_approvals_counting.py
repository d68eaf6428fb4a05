"""Which votes count when a run is decided: only those whose givers could still give them, by the stricter process."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.access.principals import Principal
from libs.contracts import (
    ApprovalCompleted,
    By,
    RoleBindingDeclared,
    RoleBindingRemoved,
    RoleSubject,
    SignOffDeclared,
    SignOffStage,
    TokenIssued,
    TokenRevoked,
)
from libs.contracts.refusals import Rejected
from services.policy.domain import overrides
from services.policy.domain.approvals import (
    ApprovalExpired,
    ApprovalOver,
    Grant,
    RequesterVotes,
    VotesTogether,
    decide,
    stage_of,
)
from services.policy.recounting import recounted, voter_of
from tests.policy.signoff_words import BLACK_FRIDAY, HOUR, NOW, folded, requested, wanted

if TYPE_CHECKING:
    from datetime import datetime

    from libs.contracts import ApprovalGranted
    from libs.fleet import Fleet

TWO = SignOffDeclared("content", [SignOffStage(["operations"], 2)], expires_hours=24)
RUN = requested(kind="change", subject="pos-api", signoff="content", stages=TWO.stages, requesters=["rita"], by=By(""))
PEOPLE = ("ana", "ben", "cyd")


def bound(person: str, **more: Any) -> RoleBindingDeclared:
    return RoleBindingDeclared(f"ops-{person}", "operations", [RoleSubject(user=person)], **more)


def fleet(*events: Any) -> Fleet:
    return folded(TWO, *map(bound, PEOPLE), RUN, *events, facts=folded())


def vote(facts: Fleet, person: str, by: By | None = None, *, at: datetime = NOW, groups: Any = ()) -> list[Any]:
    """Let somebody vote, and fold what follows."""
    run, spoken = facts.policy.approvals["a-1"], by or By(person, f"t-{person}")
    principal = Principal(person, frozenset(), frozenset(groups))
    run = recounted(run, facts, at).approval
    events = list(decide(Grant(voter_of(facts, principal, spoken, run, at), at), run))
    folded(*events, facts=facts, at=at)
    return events


def approved(facts: Fleet) -> bool:
    return facts.policy.approvals["a-1"].state == "approved"


def test_a_vote_counts_no_more_once_its_binding_is_revoked_and_the_run_says_so() -> None:
    facts = fleet()
    vote(facts, "ana")
    folded(RoleBindingRemoved("ops-ana"), facts=facts)

    vote(facts, "ben")
    assert not approved(facts)
    assert "ana holds none of operations" in recounted(facts.policy.approvals["a-1"], facts, NOW).lost[0]
    assert vote(facts, "cyd")[-1] == ApprovalCompleted("a-1", "d1", ["ben", "cyd"])


def test_a_vote_counts_no_more_once_its_binding_has_expired() -> None:
    facts = fleet(bound("ana", expires=NOW + HOUR))
    vote(facts, "ana")

    vote(facts, "ben", at=NOW + HOUR)
    assert not approved(facts)


def test_a_vote_counts_no_more_once_its_token_is_revoked() -> None:
    issued = TokenIssued("t-ana", "ana", "s", NOW + HOUR, By("ana"))
    facts = fleet(issued)
    vote(facts, "ana")
    folded(TokenRevoked("t-ana", "lost", By("ana")), facts=facts)

    vote(facts, "ben")
    assert not approved(facts)
    vote(facts, "ana", By("ana", "another"))
    assert approved(facts)


def test_a_group_of_the_voter_counts_as_long_as_a_binding_names_it() -> None:
    by_group = RoleBindingDeclared("ops-team", "operations", [RoleSubject(group="ops")])
    facts = fleet(by_group)
    (granted,) = vote(facts, "dan", groups=("ops", "others"))
    assert granted.groups == ["ops"]
    assert recounted(facts.policy.approvals["a-1"], facts, NOW).lost == {}

    folded(RoleBindingRemoved("ops-team"), facts=facts)
    assert list(recounted(facts.policy.approvals["a-1"], facts, NOW).lost) == [0]


@pytest.mark.parametrize(
    ("tightened", "votes"),
    [
        (replace(TWO, stages=[SignOffStage(["operations"], 3)]), 3),
        (replace(TWO, stages=[SignOffStage(["operations"], 1)]), 2),
        (replace(TWO, stages=[SignOffStage(["operations", "directors"], 2)]), 2),
    ],
    ids=["more people", "fewer people", "another role besides"],
)
def test_what_is_tightened_applies_to_a_run_under_way_and_what_is_loosened_does_not(
    tightened: SignOffDeclared, votes: int
) -> None:
    facts = fleet()
    vote(facts, "ana")
    folded(tightened, facts=facts)
    for person in PEOPLE[1:votes]:
        assert not approved(facts)
        vote(facts, person)
    assert approved(facts)


def test_another_stage_applies_and_so_does_a_shorter_time() -> None:
    facts = fleet(RoleBindingDeclared("dir-dee", "directors", [RoleSubject(user="dee")]))
    vote(facts, "ana")
    folded(replace(TWO, stages=[*TWO.stages, SignOffStage(["directors"], 1)], expires_hours=2), facts=facts)

    vote(facts, "ben")
    assert stage_of(recounted(facts.policy.approvals["a-1"], facts, NOW).approval) == 1
    with pytest.raises(ApprovalExpired):
        vote(facts, "dee", at=NOW + 2 * HOUR)
    vote(facts, "dee", at=NOW + 2 * HOUR - timedelta(seconds=1))
    assert approved(facts)


def test_a_role_that_votes_no_more_takes_its_votes_along() -> None:
    facts = fleet(RoleBindingDeclared("dir-ben", "directors", [RoleSubject(user="ben")]))
    vote(facts, "ana")
    folded(replace(TWO, stages=[SignOffStage(["directors"], 1)]), facts=facts)

    assert list(recounted(facts.policy.approvals["a-1"], facts, NOW).lost) == [0]


def test_a_requester_who_counted_counts_no_more() -> None:
    counting = replace(TWO, count=["requester"])
    facts = folded(counting, *map(bound, PEOPLE), replace(RUN, requesters=["ana"], count=["requester"]), facts=folded())
    vote(facts, "ana")
    folded(TWO, facts=facts)

    vote(facts, "ben")
    assert not approved(facts)


def test_a_run_of_a_process_that_is_asked_no_more_is_over() -> None:
    asked = [BLACK_FRIDAY, SignOffDeclared("freeze-override", TWO.stages), *map(bound, PEOPLE)]
    facts = folded(*asked, facts=folded())
    folded(*overrides.decide(wanted(approval="a-1"), facts), facts=facts)
    folded(replace(BLACK_FRIDAY, signoff="content"), facts=facts)

    with pytest.raises(ApprovalOver, match="needs the sign-off content now"):
        vote(facts, "ana")


# --- by whose hands a token came about -------------------------------------------------------------------------------


def issue(facts: Fleet, token: str, user: str, by: By) -> By:
    folded(TokenIssued(token, user, f"s-{token}", NOW + HOUR, by), facts=facts)
    return By(user, token, by.person if by.person != user else by.creator)


def test_makers_are_all_hands_that_a_token_went_through() -> None:
    facts = fleet()
    second = issue(facts, "t2", "max", issue(facts, "t1", "mia", By("rita", "t-rita")))
    assert facts.policy.makers_of(second) == {"mia", "rita"}
    with pytest.raises(RequesterVotes):
        vote(facts, "ana", issue(facts, "t3", "ana", second))  # rita asked for it


def test_who_made_a_token_two_hands_ago_does_not_vote_together_with_it() -> None:
    facts = fleet()
    second = issue(facts, "t2", "ben", issue(facts, "t1", "max", By("ana", "t-ana")))
    vote(facts, "ana")
    with pytest.raises(VotesTogether):
        vote(facts, "ben", second)

    facts = fleet()
    vote(facts, "ben", issue(facts, "t2", "ben", issue(facts, "t1", "max", By("ana", "t-ana"))))
    with pytest.raises(VotesTogether):
        vote(facts, "ana")


hands = st.lists(st.sampled_from(["rita", "ana", "ben", "cyd", "max"]), min_size=1, max_size=5)


@given(st.lists(hands, min_size=1, max_size=4), st.lists(st.sampled_from(PEOPLE)))
def test_for_every_chain_of_tokens_no_two_votes_came_through_one_voter_s_hands(
    chains: list[list[str]], revoked: list[str]
) -> None:
    """A second reading of the rule, by sets of names: each chain is a token made by its persons one after the other."""
    facts = fleet()
    cast: list[tuple[str, set[str]]] = []
    for number, chain in enumerate(chains):
        by = By(chain[0], "own")
        for hop, person in enumerate(chain[1:]):
            by = issue(facts, f"t-{number}-{hop}", person, by)
        before = facts.policy.approvals["a-1"]
        try:
            vote(facts, by.person, by)
        except Rejected:
            continue
        if len(facts.policy.approvals["a-1"].grants) > len(before.grants):
            cast.append((by.person, set(chain[:-1]) - {by.person}))
    for person in revoked:
        folded(RoleBindingRemoved(f"ops-{person}"), facts=facts)
    assert all("rita" not in {person, *makers} for person, makers in cast)
    kept: list[ApprovalGranted] = list(recounted(facts.policy.approvals["a-1"], facts, NOW).approval.grants)
    if not approved(facts):  # who made a token for the requester since has lost their vote as well
        made = {person for chain in chains if "rita" in chain for person in chain}
        voted = {person for person, _ in cast} - set(revoked)
        assert voted - made <= {each.by.person for each in kept} <= voted
        makers = {f"t-{number}-{len(chain) - 2}": {*chain[:-1]} - {chain[-1]} for number, chain in enumerate(chains)}
        for each in kept:
            assert not any(other.by.person in makers.get(each.by.token, ()) for other in kept if other is not each)
