"""Issuing and revoking local tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from libs.contracts import By, RoleBindingDeclared, RoleSubject, TokenIssued, TokenRevoked
from libs.contracts.refusals import Invalid
from services.policy.domain.tokens import IssueToken, NameTaken, RevokeToken, TokenOver, decide, token_state
from tests.policy.signoff_words import HOUR, MICROSECOND, NOW, folded

if TYPE_CHECKING:
    from libs.contracts import Event
    from libs.fleet import Policy

BY = By("admin", "file-1")
EXPIRES = NOW + 8 * HOUR


def issue(**more: Any) -> IssueToken:
    said: dict[str, Any] = {"id": "t1", "user": "ana", "sha256": "f" * 64, "by": BY, "at": NOW, **more}
    return IssueToken(**said)


def revoke(reason: str = "lost", **more: Any) -> RevokeToken:
    return RevokeToken("t1", reason, BY, **{"at": NOW, **more})


def state(*events: Event) -> Policy:
    return folded(*events).policy


def test_a_token_holds_for_eight_hours_unless_said_otherwise() -> None:
    assert decide(issue(reason="a new laptop"), state()) == [
        TokenIssued("t1", "ana", "f" * 64, EXPIRES, BY, reason="a new laptop")
    ]
    assert decide(issue(hours=90 * 24), state())[0].expires_at == NOW + 90 * 24 * HOUR


@pytest.mark.parametrize("hours", [0, -1, 90 * 24 + 0.1])
def test_no_token_holds_for_longer_than_ninety_days(hours: float) -> None:
    with pytest.raises(Invalid) as refused:
        decide(issue(hours=hours), state())

    assert refused.value.pointer == "/hours"


def test_issuing_the_same_again_adds_nothing() -> None:
    assert decide(issue(), state(*decide(issue(), state()))) == []


@pytest.mark.parametrize(
    "known",
    [
        {"service_names": {"erp"}},
        {"before": [TokenIssued("t0", "erp", "0" * 64, EXPIRES, BY, service_account=True)]},
        {"before": [RoleBindingDeclared("b", "sender", [RoleSubject(service_account="erp")])]},
    ],
)
def test_the_name_of_a_service_account_is_no_persons(known: dict[str, Any]) -> None:
    policy = state(*known.pop("before", []))

    with pytest.raises(NameTaken, match="erp"):
        decide(issue(user="erp", **known), policy)
    assert decide(issue(user="erp", service_account=True, **known), policy)[0].service_account


@pytest.mark.parametrize(
    "before",
    [TokenIssued("t0", "ana", "0" * 64, EXPIRES, BY), RoleBindingDeclared("b", "ops", [RoleSubject(user="ana")])],
)
def test_the_name_of_a_person_is_no_service_accounts(before: Event) -> None:
    with pytest.raises(NameTaken, match="ana"):
        decide(issue(service_account=True), state(before))


def test_a_token_is_revoked_once() -> None:
    policy = state(*decide(issue(), state()))

    assert decide(revoke(), policy) == [TokenRevoked("t1", "lost", BY)]
    again = state(*decide(issue(), state()), TokenRevoked("t1", "lost", BY))
    assert decide(revoke(), again) == []
    assert again.by_digest("f" * 64) is None


def test_revoking_says_why() -> None:
    with pytest.raises(Invalid):
        decide(revoke(reason=" "), state(*decide(issue(), state())))


def test_what_has_expired_is_not_revoked() -> None:
    policy = state(*decide(issue(), state()))

    assert decide(revoke(at=EXPIRES - MICROSECOND), policy)
    with pytest.raises(TokenOver):
        decide(revoke(at=EXPIRES), policy)


def test_its_state_follows_the_clock() -> None:
    (issued,) = decide(issue(), state())

    assert token_state(issued, state(issued), EXPIRES - MICROSECOND) == "active"
    assert token_state(issued, state(issued), EXPIRES) == "expired"
    assert token_state(issued, state(issued, TokenRevoked("t1", "lost", BY)), NOW) == "revoked"
