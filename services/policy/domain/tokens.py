"""A local token authenticates one person or service account until it expires or is revoked.

The one rule: the decider never sees a token, only its SHA-256; the token's issuer is recorded permanently.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, assert_never, overload

from libs.contracts import TokenIssued, TokenRevoked
from libs.contracts.people import looks_like_any
from libs.contracts.refusals import Invalid, Rejected
from services.policy.domain.checks import check_text

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from libs.contracts import By
    from libs.fleet import Policy

HOURS_DEFAULT = 8
_HOURS_MAX = 90 * 24


class NameTaken(Rejected):
    """The name is already used by another kind of account."""

    code = "name-taken"


class TokenOver(Rejected):
    """The token has already expired."""

    code = "token-over"


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueToken:
    """Issue a token; `service_names` are the names of service accounts."""

    id: str
    user: str
    sha256: str
    by: By
    at: datetime
    hours: float = HOURS_DEFAULT
    service_account: bool = False
    reason: str = ""
    service_names: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class RevokeToken:
    """Revoke a token."""

    id: str
    reason: str
    by: By
    at: datetime


Command = IssueToken | RevokeToken


@overload
def decide(command: IssueToken, state: Policy) -> Sequence[TokenIssued]: ...
@overload
def decide(command: RevokeToken, state: Policy) -> Sequence[TokenRevoked]: ...
def decide(command: Command, state: Policy) -> Sequence[TokenIssued] | Sequence[TokenRevoked]:
    """Return what follows from `command`; nothing, if it has happened already.

    Raises:
        Invalid: it would be valid for too long, or no reason is given.
        NameTaken: a person would get the name of a service account, or the other way round.
        TokenOver: it has already expired.
    """
    match command:
        case IssueToken():
            return [] if command.id in state.tokens else [_issue(command, state)]
        case RevokeToken():
            return [] if command.id in state.revoked else [_revoke(command, state)]
        case _:
            assert_never(command)


def token_state(token: TokenIssued, state: Policy, now: datetime) -> str:
    """Return active, expired or revoked."""
    if token.id in state.revoked:
        return "revoked"
    return "active" if now < token.expires_at else "expired"


def _issue(command: IssueToken, state: Policy) -> TokenIssued:
    if not 0 < command.hours <= _HOURS_MAX:
        raise Invalid(
            f"a token must be valid for more than 0 and at most {_HOURS_MAX:,} hours, not {command.hours:g}",
            pointer="/hours",
            fix=f"ask for at most {_HOURS_MAX // 24} days",
        )
    _check_name(command, state)
    return TokenIssued(
        id=command.id,
        user=command.user,
        sha256=command.sha256,
        expires_at=command.at + timedelta(hours=command.hours),
        by=command.by,
        service_account=command.service_account,
        reason=check_text(command.reason, "/reason") if command.reason else "",
    )


def _check_name(command: IssueToken, state: Policy) -> None:
    bound = [subject for binding in state.bindings.values() for subject in binding.subjects]
    services = {
        *command.service_names,
        *(each.user for each in state.tokens.values() if each.service_account),
        *(subject.service_account for subject in bound if subject.service_account),
    }
    if looks_like_any(command.user, services) and not command.service_account:
        raise NameTaken(
            f"{command.user!r} is a service account, or looks like one",
            pointer="/user",
            fix="set service_account: true, or issue it for the person's own name",
        )
    people = {
        *(each.user for each in state.tokens.values() if not each.service_account),
        *(subject.user for subject in bound if subject.user),
    }
    if looks_like_any(command.user, people) and command.service_account:
        raise NameTaken(
            f"{command.user!r} is a person, or looks like one",
            pointer="/user",
            fix="choose a name of its own for the service account",
        )


def _revoke(command: RevokeToken, state: Policy) -> TokenRevoked:
    if command.at >= state.tokens[command.id].expires_at:
        raise TokenOver(
            f"the token {command.id} has expired", fix="it is no longer accepted, so you need not revoke it"
        )
    return TokenRevoked(command.id, check_text(command.reason, "/reason"), command.by)
