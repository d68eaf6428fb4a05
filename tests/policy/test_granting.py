"""Nobody grants more than they hold: by a role, by a role binding, or by a token for somebody else."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.access.granting import check_grants, check_token
from libs.access.principals import Principal
from libs.access.rights import scope
from libs.contracts import RoleBindingDeclared, RoleDeclared, RoleRule, RoleSubject, SignOffDeclared, SignOffStage
from libs.contracts.problems import Problem
from libs.fleet import Fleet
from tests.policy.signoff_words import HOUR, NOW, folded

KIM = Principal("kim", frozenset())
ADMIN = Principal("root", frozenset({"admin"}))
TEXAS = "state = tx"
VERBS = ["get", "apply", "approve", "*"]
KINDS = ["Store", "Freeze", "*"]


def role(name: str, *rules: tuple[list[str], list[str]]) -> RoleDeclared:
    return RoleDeclared(name, [RoleRule(list(verbs), list(kinds)) for verbs, kinds in rules])


def bound(name: str, role_name: str, person: str, **more: Any) -> RoleBindingDeclared:
    return RoleBindingDeclared(name, role_name, [RoleSubject(user=person)], **more)


EDIT = role("edit", (["apply"], ["Store"]))
WIDE = role("wide", (["apply"], ["Store", "Freeze"]))


def allowed(facts: Fleet, *events: Any, sender: Principal = KIM) -> bool:
    try:
        check_grants(events, facts, sender, NOW)
    except Problem as problem:
        return (problem.status, problem.code) != (403, "out-of-scope")
    return True


def token_for(facts: Fleet, user: str, sender: Principal = KIM, *, service: bool = False) -> bool:
    try:
        check_token(facts, sender, user, service_account=service, now=NOW)
    except Problem as problem:
        return (problem.status, problem.code) != (403, "out-of-scope")
    return True


def test_a_role_gives_what_its_author_holds_and_no_more() -> None:
    facts = folded(EDIT, bound("kim", "edit", "kim"))

    assert allowed(facts, role("copy", (["apply"], ["Store"])))
    for beyond in ((["apply"], ["Freeze"]), (["*"], ["Store"]), (["apply"], ["*"]), (["delete"], ["Store"])):
        assert not allowed(facts, role("copy", beyond)), beyond
        assert allowed(facts, role("copy", beyond), sender=ADMIN)
    assert allowed(folded(WIDE), RoleDeclared("wide", [RoleRule(["apply"], ["Freeze"])]))  # less than it gave


def test_a_right_that_is_held_somewhere_or_for_a_time_makes_no_role() -> None:
    for limit in ({"clusters": TEXAS}, {"expires": NOW + HOUR}, {"namespaces": ["pos"]}):
        facts = folded(EDIT, bound("kim", "edit", "kim", **limit))
        assert not allowed(facts, role("copy", (["apply"], ["Store"]))), limit


def test_escalate_lets_somebody_give_more() -> None:
    facts = folded(role("lift", (["escalate"], ["Role"])), bound("kim", "lift", "kim"))
    assert allowed(facts, WIDE)
    assert not allowed(facts, WIDE, bound("x", "wide", "kim"))


@pytest.mark.parametrize(
    ("held", "given_", "fine"),
    [
        ({}, {}, True),
        ({}, {"clusters": TEXAS}, True),
        ({"clusters": TEXAS}, {}, False),
        ({"clusters": TEXAS}, {"clusters": TEXAS}, True),
        ({"clusters": TEXAS}, {"clusters": f"{TEXAS} and /c/tx-1"}, True),
        ({"clusters": "/c/tx-1"}, {"clusters": TEXAS}, False),
        ({"namespaces": ["pos"]}, {"namespaces": ["pos"]}, True),
        ({"namespaces": ["pos"]}, {"namespaces": ["pos", "media"]}, False),
        ({"namespaces": ["pos"]}, {}, False),
        ({"expires": NOW + HOUR}, {}, False),
        ({"expires": NOW + HOUR}, {"expires": NOW + 2 * HOUR}, False),
        ({"expires": NOW + HOUR}, {"expires": NOW + HOUR}, True),
    ],
)
@pytest.mark.parametrize("kind", ["held", "bind"])
def test_a_binding_reaches_as_far_and_as_long_as_its_author_s(
    held: dict[str, Any], given_: dict[str, Any], fine: bool, kind: str
) -> None:
    mine = EDIT if kind == "held" else role("binder", (["bind"], ["Role"]))
    facts = folded(EDIT, mine, bound("kim", mine.name, "kim", **held))
    assert allowed(facts, bound("x", "edit", "ben", **given_)) is fine


def test_a_role_that_votes_is_bound_only_by_who_holds_it() -> None:
    process = SignOffDeclared("s", [SignOffStage(["managers"])])
    approve = (["approve"], ["Approval"])
    facts = folded(role("managers", approve), role("same", approve), process, bound("kim", "same", "kim"))
    assert not allowed(facts, bound("x", "managers", "kim"))
    assert allowed(folded(bound("k2", "managers", "kim"), facts=facts), bound("x", "managers", "ben"))


def test_built_in_roles_are_bound_by_who_holds_as_much() -> None:
    facts = folded(role("reader", (["get"], ["*"])), bound("kim", "reader", "kim"))
    assert allowed(facts, bound("x", "viewer", "ben"))
    assert not allowed(facts, bound("x", "admin", "ben"))
    assert allowed(folded(bound("boss", "admin", "kim"), facts=facts), bound("x", "admin", "ben"))


def test_a_binding_that_takes_away_needs_nothing() -> None:
    facts = folded(EDIT, bound("x", "edit", "ben"))
    assert allowed(facts, bound("x", "edit", "ben", expires=NOW + HOUR))
    assert allowed(facts, RoleBindingDeclared("x", "edit", []))
    assert not allowed(facts, bound("x", "edit", "cyd"))


def test_a_role_and_its_binding_in_one_change_are_judged_by_the_rights_before_it() -> None:
    facts = folded(role("own", (["apply"], ["Role", "RoleBinding"])), bound("kim", "own", "kim"))
    mine = role("own", (["*"], ["*"]))
    assert not allowed(facts, mine)
    assert not allowed(facts, mine, bound("x", "own", "kim"))
    assert not allowed(facts, role("fresh", (["*"], ["*"])), bound("x", "fresh", "kim"))


def test_a_token_for_somebody_who_may_more_needs_impersonate() -> None:
    facts = folded(EDIT, bound("ben", "edit", "ben"))
    assert token_for(facts, "kim")
    assert token_for(facts, "nobody")
    assert not token_for(facts, "ben")
    assert token_for(folded(bound("kim", "edit", "kim"), facts=facts), "ben")
    assert token_for(facts, "ben", ADMIN)
    facts = folded(EDIT, role("other", (["impersonate"], ["Principal"])), bound("ben", "edit", "ben"))
    assert token_for(folded(bound("kim", "other", "kim"), facts=facts), "ben")


rules = st.lists(
    st.tuples(
        st.lists(st.sampled_from(VERBS), min_size=1, max_size=2),
        st.lists(st.sampled_from(KINDS), min_size=1, max_size=2),
    ),
    max_size=2,
)
places = st.sampled_from([None, TEXAS, "/c/tx-1", "/c/ut-1"])


@given(rules, places, rules, places)
def test_for_every_binding_that_is_allowed_its_author_held_all_that_it_gives(
    mine: Any, here: str | None, theirs: Any, there: str | None
) -> None:
    facts = folded(role("mine", *mine), role("theirs", *theirs), bound("kim", "mine", "kim", clusters=here))
    binding = bound("x", "theirs", "ben", clusters=there)
    if not allowed(facts, binding):
        return
    after = folded(binding, facts=facts.fork())
    ben = Principal("ben", frozenset())
    for verb in VERBS[:-1]:
        for kind in KINDS[:-1]:
            gives, has = scope(after, ben, verb, kind, NOW), scope(facts, KIM, verb, kind, NOW)
            assert has.everywhere or (not gives.everywhere and gives.clusters <= has.clusters)


def test_what_is_held_until_tomorrow_is_not_granted_for_longer() -> None:
    facts = folded(EDIT, bound("kim", "edit", "kim", expires=NOW + timedelta(days=1)))
    assert not allowed(facts, bound("x", "edit", "kim"))
