"""A freeze is an interval in which nothing is admitted on its clusters, with a reason and an owner.

`at: store` means each store's own wall clock; a freeze without it is one interval for all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, assert_never

from libs.contracts.absent import Absent
from libs.contracts.refusals import Invalid
from libs.fleet.checks import check_signoff
from services.policy.domain.checks import canonical_clusters, check_applications, check_clusters, check_text
from services.policy.events import FreezeDeclared, FreezeRemoved

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libs.fleet import Fleet

OWNER_CHARACTERS_MAX = 200
LAST_ZONE = timedelta(hours=12)
"""The largest offset behind UTC: this long after a local time has passed in UTC, it has passed everywhere."""

State = Absent | FreezeDeclared
Event = FreezeDeclared | FreezeRemoved


@dataclass(frozen=True, slots=True)
class DeclareFreeze:
    """Declare the freeze, whole; its `clusters` are as they were written."""

    freeze: FreezeDeclared
    actor: str
    at: datetime


@dataclass(frozen=True, slots=True)
class RemoveFreeze:
    """Remove the freeze."""

    name: str
    actor: str
    at: datetime


Command = DeclareFreeze | RemoveFreeze


def decide(command: Command, state: State, facts: Fleet) -> Sequence[Event]:
    """Return what follows from `command`; nothing, if the freeze is so already.

    Raises:
        Invalid, UnknownReference, SelectsNothing: why not.
    """
    match command:
        case DeclareFreeze():
            return _declare(command.freeze, state, facts)
        case RemoveFreeze():
            return [] if isinstance(state, Absent) else [FreezeRemoved(command.name)]
        case _:
            assert_never(command)


def warnings(command: Command, _facts: Fleet) -> list[str]:
    """Return the warnings: accepted, but probably not intended."""
    if isinstance(command, DeclareFreeze) and _over(command.freeze, command.at):
        return ["the freeze has already ended: it holds nothing back"]
    return []


def _over(freeze: FreezeDeclared, at: datetime) -> bool:
    ends = datetime.fromisoformat(freeze.ends)
    return at >= (ends.replace(tzinfo=UTC) + LAST_ZONE if freeze.local else ends)


def _declare(asked: FreezeDeclared, state: State, facts: Fleet) -> Sequence[Event]:
    check_text(asked.reason, "/spec/reason")
    check_text(asked.owner, "/spec/owner", OWNER_CHARACTERS_MAX)
    if datetime.fromisoformat(asked.ends) <= datetime.fromisoformat(asked.begins):
        raise Invalid("the freeze ends before it begins", pointer="/spec/until", fix="write until after from")
    declared = replace(asked, clusters=canonical_clusters(asked.clusters), applications=sorted(asked.applications))
    if declared == state:
        return []
    check_signoff(asked.signoff, facts)
    check_applications(asked.applications, facts)
    before = (None, None) if isinstance(state, Absent) else (state.clusters, state.allow_empty)
    if before != (declared.clusters, declared.allow_empty):
        check_clusters(declared.clusters, facts, allow_empty=declared.allow_empty)
    return [declared]
