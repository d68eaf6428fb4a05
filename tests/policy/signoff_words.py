"""The vocabulary of sign-off's tests: a small fleet in two states, processes, people, and what they said before."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from libs.contracts import (
    ApplicationDeclared,
    ApprovalRequested,
    ApprovalWithdrawn,
    By,
    CalendarDeclared,
    ClusterSpec,
    FreezeDeclared,
    NamespaceDeclared,
    Recorded,
    SignOffDeclared,
    SignOffStage,
    StoreDeclared,
    type_name,
)
from libs.fleet import Fleet
from services.policy.domain.approvals import Grant, Refuse, Voter, Withdraw, decide
from services.policy.domain.overrides import RequestOverride

if TYPE_CHECKING:
    from collections.abc import Iterable

    from libs.contracts import Event
    from libs.fleet import Approval

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MICROSECOND = timedelta(microseconds=1)


def store(name: str, state: str) -> StoreDeclared:
    return StoreDeclared(name, "America/Chicago", labels={"state": state}, clusters=[ClusterSpec(name)])


FLEET: tuple[Event, ...] = (
    *(store(name, name[:2]) for name in ("tx-1", "tx-2", "ut-1")),
    NamespaceDeclared("pos", "/c/*"),
    ApplicationDeclared("pos-api", "pos"),
    ApplicationDeclared("kiosk", "pos"),
)
PROCESS = SignOffDeclared(
    "freeze-override",
    [SignOffStage(["release-manager"], 1), SignOffStage(["operations", "directors"], 2)],
    expires_hours=24,
)
BLACK_FRIDAY = FreezeDeclared(
    "black-friday",
    "2026-11-27T00:00:00",
    "2026-12-01T00:00:00",
    "state = tx",
    "Black Friday",
    "operations",
    local=True,
    signoff="freeze-override",
)
NIGHT = CalendarDeclared("night", applications=["pos-api"], signoff="freeze-override")


def folded(*events: Event, at: datetime = NOW, facts: Fleet | None = None) -> Fleet:
    """Return the fleet after events that were recorded at an instant."""
    fleet = Fleet() if facts is None else facts
    for event in (*(FLEET if facts is None else ()), *events):
        position = fleet.position + 1
        fleet.fold(Recorded(position, "e", "s-1", 1, type_name(event), at, "ada", event, b""))
    return fleet


def wanted(**more: Any) -> RequestOverride:
    """Return the command that asks for the usual override, with some of it replaced."""
    said: dict[str, Any] = {
        "id": "0123456789ab",
        "approval": "ba9876543210",
        "kind": "freeze",
        "name": "black-friday",
        "expression": "/c/tx-1",
        "minutes": 240,
        "reason": "a card reader fails",
        "by": By("rita", "t-rita"),
        "at": NOW,
        **more,
    }
    return RequestOverride(**said)


def requested(**more: Any) -> ApprovalRequested:
    """Return a run over one override on the first cluster."""
    said: dict[str, Any] = {
        "id": "a-1",
        "kind": "override",
        "subject": "o-1",
        "digest": "d1",
        "signoff": "freeze-override",
        "stages": PROCESS.stages,
        "expires_at": NOW + 24 * HOUR,
        "requesters": ["rita"],
        "by": By("rita", "t-rita"),
        **more,
    }
    return ApprovalRequested(**said)


def approval(events: Iterable[Event] = (), **more: Any) -> Approval:
    """Return a run after what people said in it."""
    return folded(requested(**more), *events).policy.approvals["a-1"]


ROLES = {
    "mia": ["release-manager"],
    "moe": ["release-manager"],
    "ana": ["operations"],
    "ben": ["operations"],
    "dee": ["directors"],
    "all": ["release-manager", "operations", "directors"],
    "rita": ["release-manager", "operations"],
}


def voter(person: str, *, creator: str = "", token: str = "", service: bool = False, roles: Any = None) -> Voter:
    held = ROLES.get(person, []) if roles is None else roles
    return Voter(By(person, token or f"t-{person}", creator, "10.0.0.9"), held.__contains__, service)


def grant(who: Voter | str, **more: Any) -> Grant:
    return Grant(voter(who) if isinstance(who, str) else who, more.pop("at", NOW), **more)


def refuse(who: Voter | str, reason: str = "no", **more: Any) -> Refuse:
    return Refuse(voter(who) if isinstance(who, str) else who, more.pop("at", NOW), reason, **more)


def withdraw(who: Voter | str, reason: str = "a mistake", **more: Any) -> Withdraw:
    return Withdraw(voter(who) if isinstance(who, str) else who, more.pop("at", NOW), reason, **more)


def said(*commands: Any, **more: Any) -> list[Event]:
    """Return all that follows when commands are decided one after the other, each on what the ones before made."""
    facts = folded(requested(**more))
    events: list[Event] = []
    for command in commands:
        fresh = decide(command, facts.policy.approvals["a-1"])
        folded(*fresh, facts=facts)
        events += fresh
    return events


def after(*commands: Any, **more: Any) -> Approval:
    """Return the run after commands."""
    return approval(said(*commands, **more), **more)


def withdrawn(person: str, reason: str, *, whole: bool) -> ApprovalWithdrawn:
    """Return the fact that somebody took their vote back, or the whole request."""
    return ApprovalWithdrawn("a-1", whole, reason, voter(person).by)
